//! Every channel of a device, and whether it tells of a trouble.

use std::time::{Duration, Instant};

use crate::common::device::PATIENCE;
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use firmware_host::screens::{
    self, Canvas, Language, Page, Painter, Panel, Screen, lay_out, words,
};
use serde_json::{Value, json};

use super::home::{Bench, Case, Home};

/// Far more than a tick, since several programs are asked one after the other on a machine that
/// does other things beside; far less than the minutes that it took before.
const AT_ONCE: Duration = Duration::from_secs(10);

/// A screen as the picture of a display.
pub fn drawn(screen: &Screen<'_>, code: &str, help: &str) -> Vec<u8> {
    let panel = Panel::COLOUR_320X240;
    let health = screens::Health {
        version: env!("CARGO_PKG_VERSION"),
        bundle: "",
        intended_use: Some(screens::Use::Demonstration),
        self_test: true,
        storage: true,
        waiting: 0,
        answered: 0,
        warning: code,
        warning_help: help,
    };
    let frame = lay_out(screen, Page::Summary, &health, panel, Language::English);
    let mut canvas = Canvas::<Vec<Rgb888>>::filled(panel.size, Rgb888::BLACK);
    let Ok(_) = Painter::default().paint(&frame, &mut canvas);
    canvas.bytes().collect()
}

pub fn shown(home: &Home) -> Vec<u8> {
    let picture = image::open(home.at("pictures/now.png"));
    picture.map_or_else(|_| Vec::new(), |picture| picture.into_rgb8().into_raw())
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Every channel, and whether it tells of this code and what to do about it. The last one makes
/// a case, so it comes last.
pub fn channels(home: &Home, bench: &mut Bench, case: &Case) -> Vec<(&'static str, bool, String)> {
    let code = case.code;
    let is_safe = case.state == "safe";
    let mut all = Vec::new();

    let file = home.state_file();
    let help = match is_safe {
        true => file["trouble"]["cure"].clone(),
        false => {
            let told = file["warning_help"].as_array().cloned().unwrap_or_default();
            let told = told.into_iter().find(|told| told["code"] == code);
            told.map_or(Value::Null, |told| told["cure"].clone())
        }
    };
    let help = help.as_str().unwrap_or_default().to_owned();
    let named = match is_safe {
        true => file["trouble"]["code"] == code,
        false => file["warnings"]
            .as_array()
            .is_some_and(|w| w.contains(&json!(code))),
    };
    let is_told = named && !help.is_empty() && file["state"] == case.state;
    all.push(("state file", is_told, file.to_string()));

    let health = home.health();
    let said = text(&health.stdout);
    let exit = if case.state == "ready" { 0 } else { 1 };
    let is_told = said.contains(code) && said.contains(&help) && health.status.code() == Some(exit);
    all.push(("medfocus health", is_told, said));

    let said = bench.console.ask("STAT?");
    let is_told =
        said.contains(code) && said.contains(&format!("cure=\"{}\"", help.replace('"', "'")));
    all.push(("STAT?", is_told, said));

    let said = std::fs::read_to_string(home.at("metrics.prom")).unwrap_or_default();
    let metric = if is_safe { "trouble" } else { "warning" };
    let named = said.contains(&format!("medfocus_{metric}{{code=\"{code}\"}} 1\n"));
    let is_told = named
        && said.contains(&format!(
            "medfocus_help{{code=\"{code}\",help=\"{help}\"}} 1\n"
        ));
    all.push(("metrics", is_told, said));

    let words = words::help(code, Language::English).unwrap_or(&help);
    let screen = match case.state {
        "ready" => Screen::Ready,
        _ => Screen::Fault { code, help: words },
    };
    let is_told = shown(home) == drawn(&screen, code, words);
    all.push(("display", is_told, "another picture".to_owned()));

    let said = home.status_by_socket();
    let mut notices = said["notices"].as_array().into_iter().flatten();
    let is_told = notices.any(|notice| notice["code"] == code && notice["cure"] == help.as_str());
    all.push(("control socket", is_told, said.to_string()));

    let said = text(&home.link(&["--console", "*IDN?"]).stderr);
    let words = match is_safe {
        true => format!("answers none: {code}; {help}"),
        false => format!("the device warns: {code}"),
    };
    let is_told = said.contains(&words) && said.contains(&help);
    all.push(("link", is_told, said));
    all
}

/// Waits until every channel tells of it, and says how long that took.
pub fn tell_within(home: &Home, bench: &mut Bench, case: &Case) {
    let begin = Instant::now();
    loop {
        let all = channels(home, bench, case);
        let took = begin.elapsed();
        let Some((channel, _, said)) = all.iter().find(|(_, is_told, _)| !is_told) else {
            println!(
                "{}: told on {} channels after {took:.2?}",
                case.name,
                all.len()
            );
            return;
        };
        assert!(
            took < AT_ONCE,
            "{}: {channel} does not tell of it: {said}\n{}",
            case.name,
            bench.device.log()
        );
        std::thread::sleep(Duration::from_millis(50));
    }
}

pub fn wait_until_well(home: &Home, bench: &Bench) {
    let begin = Instant::now();
    while home.state_file()["state"] != "ready" {
        assert!(begin.elapsed() < PATIENCE, "{}", bench.device.log());
        std::thread::sleep(Duration::from_millis(20));
    }
}
