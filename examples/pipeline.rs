//! The method alone, without a device: an image is read and answered in this process.
//!
//! `pipeline IMAGE EXAM`: prints the finding, or why there is none.

use std::path::Path;

use anyhow::{Context, Result, bail};
use medfocus::bundle::{self, Bundle};
use medfocus::case::Timings;
use medfocus::engine::Engine;
use medfocus::image;
use medfocus::pipeline::{self, Outcome, Overrides};

#[allow(dead_code, reason = "a test calls what it calls")]
fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [file, exam] = &arguments[..] else {
        bail!("usage: pipeline IMAGE EXAM");
    };
    match answer(file, exam)? {
        Ok((finding, _)) => println!("{}: {:?}", finding.exam, finding.probabilities),
        Err(refusal) => println!("refused ({}): {}", refusal.code.word(), refusal.message),
    }
    Ok(())
}

/// What the starter bundle answers for an image.
pub fn answer(file: &str, exam: &str) -> Result<Outcome> {
    let bundle = Bundle::load(&bundle::find()?, &Engine::default())?;
    let exam = bundle.exam(exam).context("the bundle has no such exam")?;
    let image = match image::read(Path::new(file)) {
        Ok(image) => image,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut timings = Timings::new();
    let outcomes = pipeline::run(
        &bundle,
        &image,
        &[exam],
        &Overrides::default(),
        &mut timings,
    )?;
    let (_, outcome) = outcomes.into_iter().next().context("one exam was asked")?;
    Ok(outcome)
}
