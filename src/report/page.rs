//! The one-page report: the overlay picture, large, with where it comes from and what it
//! is not for under it. Of the patient it says age and sex, and never an exact age over 89.

use embedded_graphics::mono_font::MonoTextStyle;
use embedded_graphics::mono_font::ascii::FONT_10X20;
use embedded_graphics::pixelcolor::{Rgb888, RgbColor};
use embedded_graphics::prelude::{Drawable, Point, Size};
use embedded_graphics::primitives::Rectangle;
use embedded_graphics::text::{Baseline, Text};
use image::imageops::overlay as paste;
use image::{Rgb, RgbImage};

use super::case::{Case, NotWritten};
use super::overlay::{Picture, fill, overlay};
use super::text::patient;
use crate::case::SOFTWARE;
use crate::image::stretched_rgb;
use crate::sha256::Sha256;

/// A page of A4 at 100 pixels an inch.
const WIDTH: u32 = 827;
const HEIGHT: u32 = 1169;
const MARGIN: u32 = 40;
const LINE: u32 = 24;
/// Characters that fit on a line.
const COLUMNS: usize = ((WIDTH - 2 * MARGIN) / 10) as usize;
/// Room for the picture.
const ROOM: u32 = 740;

/// Draws the page.
///
/// # Errors
/// As [`overlay`].
pub fn page(case: &Case<'_>) -> Result<RgbImage, NotWritten> {
    let mut page = Picture(RgbImage::from_pixel(WIDTH, HEIGHT, Rgb([255; 3])));
    say(
        &mut page,
        MARGIN,
        MARGIN,
        &format!("medfocus: {}", case.title),
    );
    let picture = fitted(overlay(case)?);
    let left = (WIDTH - picture.width()) / 2;
    paste(
        &mut page.0,
        &picture,
        left.into(),
        (MARGIN + 2 * LINE).into(),
    );
    let mut y = MARGIN + 3 * LINE + picture.height();
    for line in lines(case).iter().flat_map(|line| wrapped(line)) {
        if y + LINE > HEIGHT - MARGIN - 2 * LINE {
            break;
        }
        say(&mut page, MARGIN, y, &line);
        y += LINE;
    }
    let foot = HEIGHT - MARGIN - LINE;
    let rule = Rectangle::new(
        Point::new(MARGIN as i32, (foot - 8) as i32),
        Size::new(WIDTH - 2 * MARGIN, 2),
    );
    fill(&mut page, rule, Rgb888::BLACK);
    say(&mut page, MARGIN, foot, &case.limits());
    Ok(page.0)
}

/// A picture as a PNG file, which says of the image of which SHA-256 it was made.
///
/// # Errors
/// [`NotWritten::Encoding`].
pub fn png(picture: &RgbImage, image: Option<Sha256>) -> Result<Vec<u8>, NotWritten> {
    let failed = |error: png::EncodingError| NotWritten::Encoding(error.to_string());
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, picture.width(), picture.height());
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    if let Some(sha256) = image {
        let (keyword, text) = ("image_sha256".to_owned(), sha256.to_string());
        encoder.add_text_chunk(keyword, text).map_err(failed)?;
    }
    let mut writer = encoder.write_header().map_err(failed)?;
    writer.write_image_data(picture).map_err(failed)?;
    writer.finish().map_err(failed)?;
    Ok(file)
}

/// The picture at the largest size that there is room for.
fn fitted(picture: RgbImage) -> RgbImage {
    let from = [picture.width(), picture.height()];
    let [width, height] = from.map(f64::from);
    let by = (f64::from(WIDTH - 2 * MARGIN) / width).min(f64::from(ROOM) / height);
    let [width, height] = [width, height].map(|pixels| ((pixels * by).round() as u32).max(1));
    let bytes = stretched_rgb(picture.as_raw(), from, [width, height]);
    let (pixels, _) = bytes.as_chunks::<3>();
    RgbImage::from_fn(width, height, |x, y| Rgb(pixels[(y * width + x) as usize]))
}

fn lines(case: &Case<'_>) -> Vec<String> {
    let finding = case.finding;
    let when = if case.deidentify {
        String::new()
    } else {
        format!(", {} {} UTC", case.now.date(), case.now.time())
    };
    let mut lines = vec![
        format!(
            "Answer: {} ({:.3}), triage {}",
            finding.class().label,
            finding.class().probability,
            finding.triage_level.word()
        ),
        format!("Case {}, focus {}{when}", case.id(), finding.focus),
        format!(
            "{SOFTWARE}, bundle {} {}",
            case.bundle().name,
            case.bundle().version
        ),
        format!("bundle SHA-256 {}", case.bundle().sha256),
        format!("image SHA-256 {}", case.image.sha256),
    ];
    if let Some(patient) = patient(finding) {
        lines.insert(1, format!("Patient: {patient}"));
    }
    if let Some(anatomy) = case.anatomy().words() {
        lines.insert(1, format!("Image: {anatomy}"));
    }
    if let Some(set) = &finding.prediction_set {
        let (percent, words) = (set.percent(), set.words());
        lines.insert(
            1,
            format!("Holds the true class in {percent} % of cases: {words}"),
        );
    }
    lines.extend(
        finding
            .reasons
            .iter()
            .map(|reason| format!("Note: {reason}")),
    );
    lines
}

/// The text in lines that fit, parted at spaces where there are any.
fn wrapped(text: &str) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let mut word = word;
        loop {
            let last = lines.len() - 1;
            let used = lines[last].chars().count();
            let gap = usize::from(used > 0);
            if used + gap + word.chars().count() <= COLUMNS {
                if gap == 1 {
                    lines[last].push(' ');
                }
                lines[last].push_str(word);
                break;
            }
            if used == 0 {
                let cut = word
                    .char_indices()
                    .nth(COLUMNS)
                    .map_or(word.len(), |(at, _)| at);
                lines[last].push_str(&word[..cut]);
                word = &word[cut..];
            }
            lines.push(String::new());
        }
    }
    lines
}

fn say(page: &mut Picture, x: u32, y: u32, text: &str) {
    let style = MonoTextStyle::new(&FONT_10X20, Rgb888::BLACK);
    let at = Point::new(x as i32, y as i32);
    let Ok(_) = Text::with_baseline(text, at, style, Baseline::Top).draw(page);
}

#[cfg(test)]
mod tests {
    use super::{COLUMNS, wrapped};

    #[test]
    fn every_line_fits_and_no_word_is_lost() {
        let text = format!(
            "short {} and {}",
            "x".repeat(3 * COLUMNS),
            "words ".repeat(40)
        );
        let lines = wrapped(&text);
        assert!(lines.iter().all(|line| line.chars().count() <= COLUMNS));
        let letters = |text: &str| text.chars().filter(|c| *c != ' ').count();
        assert_eq!(letters(&lines.concat()), letters(&text));
    }
}
