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

/// Decodes one picture of at most `most` samples.
pub(super) fn decode(bytes: &[u8], most: usize) -> Result<Picture, String> {
    let mut segments = Segments { bytes, at: 0 };
    if segments.marker()? != 0xd8 {
        return Err("no start-of-image marker".to_owned());
    }
    let mut frame: Option<Frame> = None;
    let mut preset = Preset::default();
    let mut planes_done = 0;
    loop {
        match segments.marker()? {
            0xd9 => return Err("the picture ends before its samples".to_owned()),
            0xf7 => frame = Some(Frame::read(segments.body()?, most)?),
            0xf8 => preset = Preset::read(segments.body()?)?,
            0xdd => return Err("restart intervals are not read".to_owned()),
            0xe8 if segments.body()?.starts_with(b"mrfx") => {
                return Err("HP colour transforms are not read".to_owned());
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
