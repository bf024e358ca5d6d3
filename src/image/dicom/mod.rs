//! DICOM objects become images. In go the bytes of an object of any class that holds a picture, out
//! come pixels and metadata, or a refusal that names the transfer syntax.
//!
//! `file_meta` finds the data set, `mend` lets harmless oddities through, `legible` reads texts by their
//! `characters`, `header` knows attributes, `metadata` what the gate asks of them and `origin` what
//! goes out again, `stored` gives the values as they were stored, `rendering` makes of them what a
//! person would see.
//! Nothing here knows an exam.

pub mod anatomy;
mod characters;
mod claims;
mod classes;
mod codecs;
mod deflated;
mod element;
mod file_meta;
pub mod fitting;
mod frames;
mod header;
mod jpeg_ls;
mod layout;
mod legible;
mod lut;
mod mend;
mod metadata;
mod moment;
mod origin;
mod patient;
mod rendering;
mod rle;
mod stored;

pub(super) use claims::claims;
pub use claims::{Claims, Contradiction};
pub(super) use file_meta::is_dicom;
use file_meta::{Opened, Unopened, media_class};
use header::Header;
use layout::NoValues;
pub use moment::Taken;
pub use origin::{CARRIED, Origin, REQUESTED};
pub use stored::{Photometric, Stored};

use super::limits::{check_size, no_such_frame, unreadable};
use super::{FrameChoice, Image, ImageMetadata};
use crate::case::{Refusal, RefusalCode};
use crate::sha256::Sha256;

/// Reads the chosen frame; `sha256` is the file's.
pub(super) fn read(bytes: &[u8], choice: FrameChoice, sha256: Sha256) -> Result<Image, Refusal> {
    let Opened { object, notes } = open(bytes)?;
    let header = Header::new(bytes, &object);
    let frame = chosen(&header, choice)?;
    let stored = values(&header, frame)?;
    check_size(
        stored.columns as u32,
        stored.rows as u32,
        stored.samples as u64,
    )?;
    let stretch = stretch(header.pixel_aspect(frame));
    let [width, height] = [
        f64::from(stored.columns as u32) * stretch[0],
        f64::from(stored.rows as u32) * stretch[1],
    ]
    .map(|side| side.round() as u32);
    check_size(width, height, 3)?;
    let shown = rendering::show(&header, &stored, frame).map_err(|why| unusable(&why))?;
    let size = [stored.columns as u32, stored.rows as u32];
    let (origin, unfit) = header.origin(frame, size);
    let mut said = header.said(frame);
    said.window = shown.window;
    said.notes.extend(shown.notes);
    said.notes.extend(notes.into_iter().chain(unfit));
    let image = Image {
        width: size[0],
        height: size[1],
        pixels: shown.pixels,
        metadata: ImageMetadata::default(),
        sha256,
        origin: None,
    };
    drop(stored);
    let image = square_pixels(image, width, height);
    said.region = region(&header, stretch, &image);
    Ok(Image {
        metadata: said,
        origin: Some(Box::new(origin)),
        ..image
    })
}

/// The stored values of frame `frame`, counted from 0, before any table or window.
///
/// # Errors
/// As `image::decode`.
pub fn stored_values(bytes: &[u8], frame: usize) -> Result<Stored, Refusal> {
    let object = open(bytes)?.object;
    values(&Header::new(bytes, &object), frame)
}

/// What a file of DICOM with these first bytes is, where it is no picture.
pub(super) fn no_picture(head: &[u8]) -> Option<&'static str> {
    classes::no_picture(media_class(head)?)
}

/// The Requested Procedure Priority that an object carries.
pub(super) fn priority(bytes: &[u8]) -> Option<String> {
    let object = file_meta::open(bytes).ok()?.object;
    Header::new(bytes, &object).priority()
}

fn open(bytes: &[u8]) -> Result<Opened, Refusal> {
    file_meta::open(bytes).map_err(|why| match why {
        Unopened::TooMuch(why) => Refusal::new(
            RefusalCode::TooLarge,
            format!("{why}, which is the most that is read"),
            "export the image uncompressed, with fewer frames",
        ),
        Unopened::Read(error) => {
            // The outermost sentence says little; the innermost says what was wrong.
            let mut cause: &dyn std::error::Error = &*error;
            while let Some(inner) = cause.source() {
                cause = inner;
            }
            unreadable(&format!("DICOM: {cause}"))
        }
    })
}

/// Unlike the pictures of other files, the frames of an object are one study's.
fn chosen(header: &Header<'_>, choice: FrameChoice) -> Result<usize, Refusal> {
    let frames = header.frames();
    let choice = match choice {
        FrameChoice::Unsaid => FrameChoice::Middle,
        said => said,
    };
    choice
        .of(frames)
        .ok_or_else(|| no_such_frame(choice, frames))
}

fn values(header: &Header<'_>, frame: usize) -> Result<Stored, Refusal> {
    if let Some(what) = header.no_picture() {
        return Err(not_a_picture(what));
    }
    stored::read(header, frame).map_err(|error| match error {
        NoValues::Unsupported(why) => unsupported(&why),
        NoValues::TooMany(what) => too_many(what),
        NoValues::Contradicted(why) => contradicted(&format!(
            "{why}; {}",
            codecs::name_of(header.transfer_syntax)
        )),
        NoValues::Incomplete(why) => unusable(&why),
        NoValues::Broken(why) => unreadable(&format!(
            "{why}; {}",
            codecs::name_of(header.transfer_syntax)
        )),
    })
}

/// The way out where another copy of the file would say the same.
const ANEW: &str =
    "export the image anew from the unit that made it; another copy of this file will not help";

/// A header that says another thing than the pixel data is.
fn contradicted(why: &str) -> Refusal {
    let what = format!("header and pixel data contradict each other: {why}");
    Refusal::new(RefusalCode::Unreadable, what, ANEW)
}

/// A whole header by which no picture can be made.
fn unusable(why: &str) -> Refusal {
    let what = format!("the header does not say what a picture needs: {why}");
    Refusal::new(RefusalCode::Unreadable, what, ANEW)
}

fn too_many(what: String) -> Refusal {
    Refusal::new(
        RefusalCode::TooLarge,
        what,
        "export the image with fewer rows and columns",
    )
}

/// An object of a class that holds no picture.
pub(super) fn not_a_picture(what: &str) -> Refusal {
    Refusal::new(
        RefusalCode::UnsupportedFormat,
        format!("the object is {what}, no picture"),
        "give an object of the same study that is an image",
    )
}

fn unsupported(why: &str) -> Refusal {
    Refusal::new(
        RefusalCode::UnsupportedFormat,
        why,
        "export the image uncompressed or as JPEG, JPEG-LS, JPEG 2000 or RLE, 8 to 16 bits",
    )
}

/// How far columns and rows are stretched so that pixels are square; never shrunk.
fn stretch(aspect: f64) -> [f64; 2] {
    if aspect >= 1.0 {
        [aspect, 1.0]
    } else {
        [1.0, 1.0 / aspect]
    }
}

fn square_pixels(image: Image, width: u32, height: u32) -> Image {
    if (width, height) == (image.width, image.height) {
        return image;
    }
    let (from, to) = ([image.width, image.height], [width, height]);
    Image {
        width,
        height,
        pixels: image.pixels.stretched(from, to),
        ..image
    }
}

/// The ultrasound region as `[x, y, width, height]` in the image's own pixels, cut to it.
fn region(header: &Header<'_>, stretch: [f64; 2], image: &Image) -> Option<[u32; 4]> {
    let [x0, y0, x1, y1] = header.ultrasound_region()?;
    let place = |at: u32, by: f64, most: u32| ((f64::from(at) * by).round() as u32).min(most);
    let (left, top) = (
        place(x0, stretch[0], image.width),
        place(y0, stretch[1], image.height),
    );
    let (right, bottom) = (
        place(x1.saturating_add(1), stretch[0], image.width),
        place(y1.saturating_add(1), stretch[1], image.height),
    );
    let part = [
        left,
        top,
        right.checked_sub(left)?,
        bottom.checked_sub(top)?,
    ];
    (part[2] > 0 && part[3] > 0).then_some(part)
}
