//! JPEG-LS (ITU-T T.87), lossless and near-lossless, every interleave mode: no
//! maintained decoder in Rust exists that needs no C++.
//!
//! Names follow the standard's, so that the two can be read side by side. Restart
//! intervals and the colour transforms of other makers are refused.

mod bits;
mod headers;
mod samples;

use headers::{Frame, Preset, Scan, Segments};

/// A decoded picture; samples of a pixel lie side by side.
pub(super) struct Picture {
    pub width: usize,
    pub height: usize,
    pub components: usize,
    pub samples: Vec<u16>,
}

/// Why there is no picture.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is damaged.
    Damaged(String),
    /// It is coded in a way that is not read: another copy would be as well.
    Unread(&'static str),
    /// It has more samples than are read.
    TooMany(String),
}

impl From<String> for Fault {
    fn from(why: String) -> Self {
        Self::Damaged(why)
    }
}

impl From<&str> for Fault {
    fn from(why: &str) -> Self {
        Self::Damaged(why.to_owned())
    }
}

/// Decodes one picture of at most `most` samples.
pub(super) fn decode(bytes: &[u8], most: usize) -> Result<Picture, Fault> {
    let mut segments = Segments { bytes, at: 0 };
    if segments.marker()? != 0xd8 {
        return Err("no start-of-image marker".into());
    }
    let mut frame: Option<Frame> = None;
    let mut preset = Preset::default();
    let mut planes_done = 0;
    loop {
        match segments.marker()? {
            0xd9 => return Err("the picture ends before its samples".into()),
            0xf7 => frame = Some(Frame::read(segments.body()?, most)?),
            0xf8 => preset = Preset::read(segments.body()?)?,
            0xdd => return Err(Fault::Unread("restart intervals are not read")),
            0xe8 if segments.body()?.starts_with(b"mrfx") => {
                return Err(Fault::Unread("HP colour transforms are not read"));
            }
            0xe8 => {}
            0xda => {
                let head = segments.body()?;
                let frame = frame.as_mut().ok_or("a scan before the frame header")?;
                let scan = Scan::read(head, frame, &preset, planes_done)?;
                planes_done += scan.components;
                let used = scan.decode(&bytes[segments.at..], frame)?;
                segments.at += used;
                if planes_done == frame.components {
                    break;
                }
            }
            _ => {
                segments.body()?;
            }
        }
    }
    let frame = frame.ok_or("no frame header")?;
    Ok(Picture {
        width: frame.width,
        height: frame.height,
        components: frame.components,
        samples: frame.samples,
    })
}
