//! `medfocus serve`: the device, until it is switched off.

use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use firmware_host::screens::Language;
use medfocus::bundle::{self, Bundle};
use medfocus::device::dicom::{self, Pacs, Peer};
use medfocus::device::place::Place;
use medfocus::device::{Cases, Displays, Event, Events, Health, Port, talk};
use medfocus::self_test;

use super::state::StateFolder;
use super::{Failure, exam};

/// What the displays get to show why the device ends; e-paper takes two seconds.
const LAST_PICTURE: Duration = Duration::from_secs(5);

#[derive(Debug, Args)]
#[command(after_help = "\
The console takes one line and answers with one line (HELP? lists the commands):
  EXAM brain4
  CASE:RUN \"/images/slice.png\"   answers with the case's number
  CASE:STAT? 1                   waiting, running, finding, refusal or aborted
  CASE:RES? 1                    the answer; CASE:RES? 1,JSON for all of it

The device may be switched off at any time: what was accepted is answered after the
next start. `--serial -` talks on standard input and output.

Examples:
  medfocus serve --serial /dev/ttyUSB0 --baud 115200
  medfocus serve --serial /dev/ttyAMA0 --display ssd1306:/dev/i2c-1 --language sw
  medfocus serve --serial - --display png:pictures
  medfocus serve --dicom-port 11112 --aet MEDFOCUS --pacs ARCHIVE@10.0.0.5:104")]
pub struct Arguments {
    /// Serial port to answer on, `-` for standard input and output; may be given several times
    #[arg(long, value_name = "PORT", required_unless_present = "dicom_port")]
    serial: Vec<String>,
    /// Bits a second of the serial ports
    #[arg(long, value_name = "N", default_value_t = 115_200, value_parser = clap::value_parser!(u32).range(300..=4_000_000))]
    baud: u32,
    /// Display: ssd1306, st7789, ili9341, epd, fb or png, and its place, as
    /// `ssd1306:/dev/i2c-1` or `png:FOLDER`; may be given several times
    #[arg(long, value_name = "KIND:PLACE[,KEY=VALUE]")]
    display: Vec<Place>,
    /// Language of the displays: en, fr, es, sw or hi
    #[arg(long, value_name = "CODE", default_value = "en", value_parser = language)]
    language: Language,
    /// Port to receive DICOM images on, by C-STORE
    #[arg(long, value_name = "PORT")]
    dicom_port: Option<u16>,
    /// Address to receive DICOM images on
    #[arg(
        long,
        value_name = "ADDRESS",
        default_value = "0.0.0.0",
        requires = "dicom_port"
    )]
    dicom_bind: IpAddr,
    /// The device's own DICOM AE title
    #[arg(long, value_name = "TITLE", default_value = "MEDFOCUS", value_parser = dicom::title_of)]
    aet: String,
    /// Who may send DICOM images; may be given several times, anyone where absent
    #[arg(long, value_name = "TITLE[@ADDRESS]", requires = "dicom_port")]
    dicom_allow: Vec<Peer>,
    /// Exam that every DICOM image is asked; where absent, the one that it asks for itself
    #[arg(long, value_name = "NAME", requires = "dicom_port")]
    dicom_exam: Option<String>,
    /// Send the answers of DICOM images there: report, region and picture
    #[arg(long, value_name = "TITLE@HOST:PORT", requires = "dicom_port")]
    pacs: Option<Pacs>,
    /// Leave out of what is sent what tells whose image it is, in words and in pixels
    #[arg(long, requires = "pacs")]
    deidentify: bool,
    #[command(flatten)]
    state: StateFolder,
    /// Folder of the model bundle; where absent, the starter bundle
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    limits: super::limits::Arguments,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    arguments.limits.apply();
    let ports = ports(arguments)?;
    let events = Arc::new(Events::default());
    let displays = Displays::start(arguments.display.clone(), arguments.language, &events);
    let served = serve(arguments, ports, &events, &displays);
    if let Err(Failure::Device { code, cure, .. }) = &served {
        events.tell(&Event::Health(Health::Fault { code, cure }));
    }
    displays.stop(LAST_PICTURE);
    served
}

fn serve(
    arguments: &Arguments,
    ports: Vec<Port>,
    events: &Arc<Events>,
    displays: &Displays,
) -> Result<(), Failure> {
    let state = arguments.state.path()?;
    let cases = start(arguments, &state, events)?;
    let cases: &'static Cases = Box::leak(Box::new(cases));
    displays.watch(cases);
    std::thread::spawn(|| cases.work());
    log::info!("self-test passed; ready");
    events.tell(&Event::Health(Health::Ready {
        bundle: cases.bundle().id.clone(),
        intended_use: cases.bundle().manifest.intended_use,
    }));
    if let Some(options) = dicom_options(arguments) {
        dicom::start(options, &state, cases).map_err(|error| Failure::Device {
            code: "dicom",
            message: format!("DICOM: {error}"),
            cure: "name a port that is free with --dicom-port, above 1023 or with the right to it",
        })?;
        // Without a serial line there is nothing that could end.
        if ports.is_empty() {
            loop {
                std::thread::park();
            }
        }
    }
    let lines: Vec<_> = ports
        .into_iter()
        .map(|port| std::thread::spawn(move || talk(&port, cases)))
        .collect();
    for line in lines {
        // A line's thread ends with its standard input, or by a fault of the program.
        if line.join().is_err() {
            return Err(Failure::Device {
                code: "line",
                message: "a line's thread failed".to_owned(),
                cure: "start the device again and report this",
            });
        }
    }
    Ok(())
}

/// From nothing to a device that may accept cases.
fn start(arguments: &Arguments, state: &Path, events: &Arc<Events>) -> Result<Cases, Failure> {
    events.tell(&Event::Health(Health::Loading));
    let folder = arguments.bundle.clone().map_or_else(bundle::find, Ok)?;
    let bundle = Bundle::load(&folder)?;
    if let Some(name) = &arguments.dicom_exam {
        exam(&bundle, name)?;
    }
    events.tell(&Event::Health(Health::SelfTest));
    // A device that computes wrongly must not answer at all.
    self_test::run(&bundle)?;
    Ok(Cases::open(bundle, state, Arc::clone(events))?)
}

fn dicom_options(arguments: &Arguments) -> Option<dicom::Options> {
    Some(dicom::Options {
        listen: SocketAddr::new(arguments.dicom_bind, arguments.dicom_port?),
        title: arguments.aet.clone(),
        peers: arguments.dicom_allow.clone(),
        pacs: arguments.pacs.clone(),
        exam: arguments.dicom_exam.clone(),
        deidentify: arguments.deidentify,
    })
}

fn ports(arguments: &Arguments) -> Result<Vec<Port>, Failure> {
    let mut names = arguments.serial.clone();
    names.sort();
    names.dedup();
    if names.len() != arguments.serial.len() {
        return Err(Failure::Usage("a port is named twice".to_owned()));
    }
    let baud = arguments.baud;
    let port = |path: String| match path.as_str() {
        "-" => Port::Standard,
        _ => Port::Device { path, baud },
    };
    Ok(names.into_iter().map(port).collect())
}

fn language(code: &str) -> Result<Language, String> {
    Language::of_code(code).ok_or_else(|| {
        let codes = Language::ALL.map(Language::code);
        format!("there are {}", codes.join(", "))
    })
}
