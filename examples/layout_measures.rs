//! What the gate measures of pictures, for `scripts/starter`: one line of standard input is a
//! file, one line of output is JSON with the film's rectangle and the measures of its layout.
//!
//! `layout_measures BUNDLE`

use std::io::BufRead;
use std::path::Path;

use anyhow::{Context, Result};
use medfocus::bundle::Bundle;
use medfocus::engine::Engine;
use medfocus::{gate, image};

fn main() -> Result<()> {
    let bundle = std::env::args()
        .nth(1)
        .context("usage: layout_measures BUNDLE")?;
    let bundle = Bundle::load(Path::new(&bundle), &Engine::default())?;
    let spec = bundle.manifest.gate.as_ref().and_then(|gate| gate.film);
    let spec = spec.context("the bundle's gate looks for no film")?;
    for file in std::io::stdin().lock().lines() {
        let image = image::read(Path::new(&file?))?;
        let film = gate::film(&image, &spec);
        let measures = gate::layout::measures(&gate::square(&image.part(film)));
        println!(
            "{}",
            serde_json::json!({ "film": film, "measures": measures })
        );
    }
    Ok(())
}
