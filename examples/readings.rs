//! What the program itself reads off images, for `scripts/starter` and `scripts/fewshot`: one
//! line of standard input is a file, one line of output is JSON with the unit embedding of the
//! `whole` picture and of the `focused` one by focus style. Neither gate nor guard is asked:
//! both are made from these numbers.
//!
//! `readings BUNDLE [STYLE...]`; without a style the bundle's own. Two words are no focus styles:
//! `mask` is the mask itself as the picture, the paper's ablation; `centre` is the crop moved to
//! the middle of the image, which tells what the region's place adds to a second, nearer look.

use std::collections::BTreeMap;
use std::io::BufRead;
use std::path::Path;

use anyhow::{Context, Result, anyhow};
use medfocus::bundle::Bundle;
use medfocus::case::Timings;
use medfocus::engine::{Engine, Tensor};
use medfocus::focus::{DecodedMask, Mask, Style};
use medfocus::image::{self, Image, Pixels, UnitBox};
use medfocus::pipeline::{self, Overrides};
use medfocus::triage::unit;

const MASK: &str = "mask";
const CENTRE: &str = "centre";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let bundle = arguments
        .next()
        .context("usage: readings BUNDLE [STYLE...]")?;
    let bundle = Bundle::load(Path::new(&bundle), &Engine::default())?;
    let mut words: Vec<String> = arguments.collect();
    if words.is_empty() {
        words.push(bundle.manifest.focus.style.word().to_owned());
    }
    for file in std::io::stdin().lock().lines() {
        let image = image::read(Path::new(&file?))?;
        let mut timings = Timings::default();
        let region = pipeline::region(&bundle, &image, &Overrides::default(), &mut timings)?;
        let (mut whole, mut focused) = (Vec::new(), BTreeMap::new());
        for word in &words {
            let (seen, shown) = embeddings(&bundle, &image, &region, word)?;
            whole = seen;
            focused.insert(word, shown);
        }
        println!(
            "{}",
            serde_json::json!({ "whole": whole, "focused": focused })
        );
    }
    Ok(())
}

/// The unit embeddings of the whole picture and of what `word` makes of it.
fn embeddings(
    bundle: &Bundle,
    image: &Image,
    region: &DecodedMask,
    word: &str,
) -> Result<(Vec<f32>, Vec<f32>)> {
    let style = match word {
        MASK | CENTRE => Style::None,
        word => word.parse().map_err(|why: String| anyhow!(why))?,
    };
    let mut timings = Timings::default();
    let reading = pipeline::read_region(bundle, image, style, region, &mut timings)?;
    let focused = match word {
        MASK => mask_alone(bundle, image, &reading.mask)?,
        CENTRE => centre(bundle, image, &reading.mask)?,
        _ => reading.focused,
    };
    Ok((reading.whole, focused))
}

/// The unit embedding of a crop as large as the region's own, from the middle of the image.
fn centre(bundle: &Bundle, image: &Image, mask: &Mask) -> Result<Vec<f32>> {
    let of = |part: u32, all: u32| f64::from(part) / f64::from(all);
    let [_, _, w, h] = mask.bbox().unwrap_or([0, 0, image.width, image.height]);
    let (w, h) = (of(w, image.width) / 2.0, of(h, image.height) / 2.0);
    let region = [0.5 - w, 0.5 - h, 0.5 + w, 0.5 + h];
    let [x0, y0, x1, y1] = bundle.manifest.focus.crop_region(region);
    embedding(bundle, image, UnitBox { x0, y0, x1, y1 })
}

/// The unit embedding of the mask as a picture: white inside, black outside.
fn mask_alone(bundle: &Bundle, image: &Image, mask: &Mask) -> Result<Vec<f32>> {
    let white = mask
        .bits()
        .iter()
        .map(|inside| 255 * u8::from(*inside))
        .collect();
    let picture = Image {
        pixels: Pixels::Luma(white),
        ..image.clone()
    };
    embedding(bundle, &picture, UnitBox::WHOLE)
}

/// The unit embedding of a part of a picture.
fn embedding(bundle: &Bundle, picture: &Image, part: UnitBox) -> Result<Vec<f32>> {
    let encoder = &bundle.manifest.image_encoder;
    let side = encoder.input_size;
    let values = picture
        .canvas(part, side)
        .normalised(encoder.mean, encoder.std);
    let output = bundle
        .image_encoder
        .run(&[Tensor::new(&[1, 3, side, side], values)])?
        .remove(0);
    Ok(unit(&output.data))
}
