//! What a JPEG-LS file says before its samples: frame, coding parameters and scans (T.87, C).

use super::Fault;

pub(super) struct Segments<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) at: usize,
}

impl<'a> Segments<'a> {
    pub(super) fn marker(&mut self) -> Result<u8, String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let fill = rest.iter().take_while(|&&byte| byte == 0xff).count();
        match rest.get(fill) {
            Some(&marker) if fill > 0 => {
                self.at += fill + 1;
                Ok(marker)
            }
            _ => Err("a marker is missing".to_owned()),
        }
    }

    pub(super) fn body(&mut self) -> Result<&'a [u8], String> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        let short = || "a segment is cut short".to_owned();
        let length = usize::from(word(rest, 0).ok_or_else(short)?);
        let body = rest.get(2..length).ok_or_else(short)?;
        self.at += length;
        Ok(body)
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u16> {
    let pair = bytes.get(at..at + 2)?;
    Some(u16::from_be_bytes([pair[0], pair[1]]))
}

pub(super) struct Frame {
    pub(super) bits: u32,
    pub(super) width: usize,
    pub(super) height: usize,
    pub(super) components: usize,
    pub(super) samples: Vec<u16>,
}

impl Frame {
    pub(super) fn read(body: &[u8], most: usize) -> Result<Self, Fault> {
        let (Some(&bits), Some(height), Some(width), Some(&components)) =
            (body.first(), word(body, 1), word(body, 3), body.get(5))
        else {
            return Err("the frame header is cut short".into());
        };
        let (width, height) = (usize::from(width), usize::from(height));
        let components = usize::from(components);
        if !(2..=16).contains(&bits) || !(1..=4).contains(&components) || width * height == 0 {
            let what = format!(
                "{width} x {height} with {components} components of {bits} bits is no picture"
            );
            return Err(what.into());
        }
        let count = width * height * components;
        if count > most {
            return Err(Fault::TooMany(format!(
                "{width} x {height} pixels of {components} samples are {count} samples; at most {most} \
                 a frame are read"
            )));
        }
        Ok(Self {
            bits: bits.into(),
            width,
            height,
            components,
            samples: vec![0; count],
        })
    }
}

/// Coding parameters of an LSE segment (T.87, C.2.4.1); zero stands for the default.
#[derive(Default)]
pub(super) struct Preset {
    pub(super) max_value: i32,
    pub(super) thresholds: [i32; 3],
    pub(super) reset: i32,
}

impl Preset {
    pub(super) fn read(body: &[u8]) -> Result<Self, Fault> {
        match body.first() {
            Some(1) if body.len() >= 11 => {
                let at = |index| word(body, index).map_or(0, i32::from);
                Ok(Self {
                    max_value: at(1),
                    thresholds: [at(3), at(5), at(7)],
                    reset: at(9),
                })
            }
            Some(1) => Err("the coding parameters are cut short".into()),
            _ => Err(Fault::Unread(
                "mapping tables and extended sizes are not read",
            )),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
pub(super) enum Interleave {
    None,
    Line,
    Sample,
}

/// The constants of one scan (T.87, A.2).
pub(super) struct Scan {
    pub(super) first: usize,
    pub(super) components: usize,
    pub(super) interleave: Interleave,
    pub(super) near: i32,
    pub(super) max_value: i32,
    pub(super) thresholds: [i32; 3],
    pub(super) reset: i32,
    pub(super) range: i32,
    pub(super) value_bits: u32,
    pub(super) limit: u32,
}

impl Scan {
    pub(super) fn read(
        head: &[u8],
        frame: &Frame,
        preset: &Preset,
        first: usize,
    ) -> Result<Self, String> {
        let count = usize::from(*head.first().ok_or("an empty scan header")?);
        let tail = head
            .get(1 + 2 * count..4 + 2 * count)
            .ok_or("the scan header is cut short")?;
        let (near, interleave, transform) = (i32::from(tail[0]), tail[1], tail[2]);
        let interleave = match interleave {
            0 if count == 1 => Interleave::None,
            1 if count > 1 => Interleave::Line,
            2 if count > 1 => Interleave::Sample,
            // A single component may be called interleaved as well.
            1 | 2 if count == 1 => Interleave::None,
            other => return Err(format!("interleave mode {other} with {count} components")),
        };
        if count == 0 || first + count > frame.components || transform != 0 {
            return Err("the scan does not fit the frame".to_owned());
        }
        let full = (1 << frame.bits) - 1;
        let max_value = if preset.max_value == 0 {
            full
        } else {
            preset.max_value
        };
        if max_value > full || near > 255.min(max_value / 2) {
            return Err("the coding parameters do not fit the frame".to_owned());
        }
        let defaults = default_thresholds(max_value, near);
        let mut thresholds = preset.thresholds;
        for (threshold, default) in thresholds.iter_mut().zip(defaults) {
            if *threshold == 0 {
                *threshold = default;
            }
        }
        let range = (max_value + 2 * near) / (2 * near + 1) + 1;
        let bits_for = |values: i32| (values - 1).max(1).ilog2() + 1;
        let sample_bits = bits_for(max_value + 1).max(2);
        Ok(Self {
            first,
            components: count,
            interleave,
            near,
            max_value,
            thresholds,
            reset: if preset.reset < 3 { 64 } else { preset.reset },
            range,
            value_bits: bits_for(range),
            limit: 2 * (sample_bits + sample_bits.max(8)),
        })
    }
}

/// T.87, C.2.4.1.1.1.
fn default_thresholds(max_value: i32, near: i32) -> [i32; 3] {
    let clamp = |value: i32, least: i32| {
        if value > max_value || value < least {
            least
        } else {
            value
        }
    };
    let basic = [3, 7, 21];
    let mut least = near + 1;
    let mut thresholds = [0; 3];
    for (i, threshold) in thresholds.iter_mut().enumerate() {
        let width = [3, 5, 7][i] * near;
        let value = if max_value >= 128 {
            let factor = (max_value.min(4095) + 128) / 256;
            factor * (basic[i] - [2, 3, 4][i]) + [2, 3, 4][i] + width
        } else {
            let factor = 256 / (max_value + 1);
            [2, 3, 4][i].max(basic[i] / factor + width)
        };
        least = clamp(value, least);
        *threshold = least;
    }
    thresholds
}
