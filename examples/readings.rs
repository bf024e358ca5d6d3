//! What the program itself reads off images, for `scripts/starter`: one line of standard
//! input is a file, one line of output is JSON with the unit embeddings of its `whole` and
//! its `focused` picture. Neither gate nor guard is asked: both are made from these numbers.
//!
//! `readings BUNDLE`.

use std::io::BufRead;
use std::path::Path;

use anyhow::{Context, Result};
use medfocus::bundle::Bundle;
use medfocus::image;
use medfocus::pipeline::{self, Overrides, Timings};

fn main() -> Result<()> {
    let bundle = std::env::args().nth(1).context("usage: readings BUNDLE")?;
    let bundle = Bundle::load(Path::new(&bundle))?;
    for file in std::io::stdin().lock().lines() {
        let image = image::read(Path::new(&file?))?;
        let reading = pipeline::read(
            &bundle,
            &image,
            &Overrides::default(),
            &mut Timings::default(),
        )?;
        let line = serde_json::json!({ "whole": reading.whole, "focused": reading.focused });
        println!("{line}");
    }
    Ok(())
}
