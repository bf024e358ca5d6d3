//! A device in a program of your own: starts one, has an image answered, stops it.
//!
//! `device MEDFOCUS STATE IMAGE`: the program `medfocus`, whose processes decode and answer
//! images; a folder for what must not be lost; an image.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use medfocus::device::config::Config;
use medfocus::device::{Device, Setup};
use serde_json::Value;

#[allow(dead_code, reason = "a test calls what it calls")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [medfocus, state, image] = &arguments[..] else {
        bail!("usage: device MEDFOCUS STATE IMAGE");
    };
    println!("{:#}", answer(medfocus, state, image)?);
    Ok(())
}

/// What a device answers for an image.
pub fn answer(medfocus: &str, state: &str, image: &str) -> Result<Value> {
    let device = Device::start(Setup::new(Config::default(), state, medfocus))?;
    let case = device.submit(&std::fs::read(image)?, Some("brain4"))?;
    let answer = device.answer(case, Duration::from_secs(60))?;
    device.stop()?;
    let answer = answer.context("there is no answer yet; the next start goes on with it")?;
    Ok(serde_json::to_value(answer)?)
}
