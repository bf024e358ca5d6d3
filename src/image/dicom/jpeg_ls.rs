//! JPEG-LS (ITU-T T.87), lossless and near-lossless, every interleave mode: no
//! maintained decoder in Rust exists that needs no C++.
//!
//! Names follow the standard's, so that the two can be read side by side. Restart
//! intervals and the colour transforms of other makers are refused.

/// Longest run for each run index (T.87, A.2.1, `J`).
const RUN_BITS: [u32; 32] = [
    0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13,
    14, 15,
];
const REGULAR_CONTEXTS: usize = 365;

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

struct Segments<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Segments<'a> {
    fn marker(&mut self) -> Result<u8, String> {
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

    fn body(&mut self) -> Result<&'a [u8], String> {
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

struct Frame {
    bits: u32,
    width: usize,
    height: usize,
    components: usize,
    samples: Vec<u16>,
}

impl Frame {
    fn read(body: &[u8], most: usize) -> Result<Self, String> {
        let (Some(&bits), Some(height), Some(width), Some(&components)) =
            (body.first(), word(body, 1), word(body, 3), body.get(5))
        else {
            return Err("the frame header is cut short".to_owned());
        };
        let (width, height) = (usize::from(width), usize::from(height));
        let components = usize::from(components);
        if !(2..=16).contains(&bits) || !(1..=4).contains(&components) || width * height == 0 {
            return Err(format!(
                "{width} x {height} with {components} components of {bits} bits is no picture"
            ));
        }
        let count = width * height * components;
        if count > most {
            return Err(format!("{count} samples are too many"));
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
struct Preset {
    max_value: i32,
    thresholds: [i32; 3],
    reset: i32,
}

impl Preset {
    fn read(body: &[u8]) -> Result<Self, String> {
        match body.first() {
            Some(1) if body.len() >= 11 => {
                let at = |index| word(body, index).map_or(0, i32::from);
                Ok(Self {
                    max_value: at(1),
                    thresholds: [at(3), at(5), at(7)],
                    reset: at(9),
                })
            }
            _ => Err("mapping tables and extended sizes are not read".to_owned()),
        }
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Interleave {
    None,
    Line,
    Sample,
}

/// The constants of one scan (T.87, A.2).
struct Scan {
    first: usize,
    components: usize,
    interleave: Interleave,
    near: i32,
    max_value: i32,
    thresholds: [i32; 3],
    reset: i32,
    range: i32,
    value_bits: u32,
    limit: u32,
}

impl Scan {
    fn read(head: &[u8], frame: &Frame, preset: &Preset, first: usize) -> Result<Self, String> {
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

    /// Decodes the scan's data into the frame; gives how many bytes it took.
    fn decode(&self, data: &[u8], frame: &mut Frame) -> Result<usize, String> {
        let mut coder = Coder::new(self, data);
        let (width, all) = (frame.width, frame.components);
        let lines = self.components;
        // One margin pixel on either side of a line.
        let mut above = vec![vec![0i32; width + 2]; lines];
        let mut line = vec![vec![0i32; width + 2]; lines];
        let mut run_index = vec![0usize; lines];
        for y in 0..frame.height {
            for component in 0..lines {
                above[component][width + 1] = above[component][width];
                line[component][0] = above[component][1];
            }
            if self.interleave == Interleave::Sample {
                coder.lines_by_sample(&above, &mut line, &mut run_index[0])?;
            } else {
                for component in 0..lines {
                    let index = &mut run_index[component];
                    coder.line(&above[component], &mut line[component], index)?;
                }
            }
            for (component, values) in line.iter().enumerate() {
                for x in 0..width {
                    let at = (y * width + x) * all + self.first + component;
                    frame.samples[at] = values[x + 1] as u16;
                }
            }
            std::mem::swap(&mut above, &mut line);
        }
        Ok(coder.bits.end())
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

#[derive(Clone)]
struct Context {
    a: i32,
    b: i32,
    c: i32,
    n: i32,
}

#[derive(Clone)]
struct RunContext {
    a: i32,
    n: i32,
    negative: i32,
}

struct Coder<'a> {
    scan: &'a Scan,
    bits: Bits<'a>,
    contexts: Vec<Context>,
    runs: [RunContext; 2],
}

impl<'a> Coder<'a> {
    fn new(scan: &'a Scan, data: &'a [u8]) -> Self {
        let a = ((scan.range + 32) / 64).max(2);
        let context = Context {
            a,
            b: 0,
            c: 0,
            n: 1,
        };
        let run = RunContext {
            a,
            n: 1,
            negative: 0,
        };
        Self {
            scan,
            bits: Bits::new(data),
            contexts: vec![context; REGULAR_CONTEXTS],
            runs: [run.clone(), run],
        }
    }

    /// One line of one component.
    fn line(
        &mut self,
        above: &[i32],
        line: &mut [i32],
        run_index: &mut usize,
    ) -> Result<(), String> {
        let width = line.len() - 2;
        let mut x = 1;
        while x <= width {
            let q = self.gradients(above, line, x);
            if q != 0 {
                line[x] = self.regular(q, above, line, x)?;
                x += 1;
                continue;
            }
            let run = self.run_length(width + 1 - x, run_index)?;
            let left = line[x - 1];
            line[x..x + run].fill(left);
            x += run;
            if x <= width {
                line[x] = self.interruption(left, above[x], *run_index)?;
                *run_index = run_index.saturating_sub(1);
                x += 1;
            }
        }
        Ok(())
    }

    /// One line of all components, sample by sample.
    fn lines_by_sample(
        &mut self,
        above: &[Vec<i32>],
        lines: &mut [Vec<i32>],
        run_index: &mut usize,
    ) -> Result<(), String> {
        let width = lines[0].len() - 2;
        let mut x = 1;
        while x <= width {
            let flat = (0..lines.len()).all(|c| self.gradients(&above[c], &lines[c], x) == 0);
            if !flat {
                for (above, line) in above.iter().zip(lines.iter_mut()) {
                    let q = self.gradients(above, line, x);
                    line[x] = self.regular(q, above, line, x)?;
                }
                x += 1;
                continue;
            }
            let run = self.run_length(width + 1 - x, run_index)?;
            for line in lines.iter_mut() {
                let left = line[x - 1];
                line[x..x + run].fill(left);
            }
            x += run;
            if x <= width {
                for (above, line) in above.iter().zip(lines.iter_mut()) {
                    let (left, up) = (line[x - 1], above[x]);
                    let error = self.interruption_error(0, *run_index)?;
                    line[x] = self.rebuilt(up, error * (up - left).signum_or_one());
                }
                *run_index = run_index.saturating_sub(1);
                x += 1;
            }
        }
        Ok(())
    }

    /// The context of a pixel, signed (T.87, A.3.3 and A.3.4); 0 begins a run.
    fn gradients(&self, above: &[i32], line: &[i32], x: usize) -> i32 {
        let (a, b, c, d) = (line[x - 1], above[x], above[x - 1], above[x + 1]);
        let q = |difference| self.quantised(difference);
        81 * q(d - b) + 9 * q(b - c) + q(c - a)
    }

    fn quantised(&self, difference: i32) -> i32 {
        let size = difference.abs();
        let [t1, t2, t3] = self.scan.thresholds;
        let level = if size <= self.scan.near {
            0
        } else if size < t1 {
            1
        } else if size < t2 {
            2
        } else if size < t3 {
            3
        } else {
            4
        };
        level * difference.signum()
    }

    fn regular(&mut self, q: i32, above: &[i32], line: &[i32], x: usize) -> Result<i32, String> {
        let (a, b, c) = (line[x - 1], above[x], above[x - 1]);
        let sign = q.signum_or_one();
        let at = q.unsigned_abs() as usize;
        let context = &self.contexts[at];
        let predicted = if c >= a.max(b) {
            a.min(b)
        } else if c <= a.min(b) {
            a.max(b)
        } else {
            a + b - c
        };
        let predicted = (predicted + sign * context.c).clamp(0, self.scan.max_value);
        let k = golomb(context.n, context.a)?;
        let mapped = self.bits.value(k, self.scan.limit, self.scan.value_bits)?;
        let mut error = if mapped & 1 == 1 {
            -((mapped + 1) >> 1)
        } else {
            mapped >> 1
        };
        let context = &mut self.contexts[at];
        if k == 0 && self.scan.near == 0 && 2 * context.b <= -context.n {
            error = -(error + 1);
        }
        context.update(error, 2 * self.scan.near + 1, self.scan.reset);
        Ok(self.rebuilt(predicted, error * sign))
    }

    /// T.87, A.7.1: how many pixels repeat the one to the left.
    fn run_length(&mut self, room: usize, run_index: &mut usize) -> Result<usize, String> {
        let mut run = 0;
        while self.bits.bit()? == 1 {
            let most = 1usize << RUN_BITS[*run_index];
            let take = most.min(room - run);
            run += take;
            if take == most {
                *run_index = (*run_index + 1).min(31);
            }
            if run == room {
                return Ok(run);
            }
        }
        run += self.bits.bits(RUN_BITS[*run_index])? as usize;
        if run > room {
            return Err("a run is longer than its line".to_owned());
        }
        Ok(run)
    }

    fn interruption(&mut self, left: i32, up: i32, run_index: usize) -> Result<i32, String> {
        if (left - up).abs() <= self.scan.near {
            let error = self.interruption_error(1, run_index)?;
            Ok(self.rebuilt(left, error))
        } else {
            let error = self.interruption_error(0, run_index)?;
            Ok(self.rebuilt(up, error * (up - left).signum_or_one()))
        }
    }

    /// T.87, A.7.2; `kind` is the standard's `RItype`.
    fn interruption_error(&mut self, kind: i32, run_index: usize) -> Result<i32, String> {
        let context = &self.runs[kind as usize];
        let k = golomb(context.n, context.a + (context.n >> 1) * kind)?;
        let limit = self.scan.limit - RUN_BITS[run_index] - 1;
        let coded = self.bits.value(k, limit, self.scan.value_bits)?;
        let context = &mut self.runs[kind as usize];
        let mapped = coded + kind;
        let is_odd = mapped & 1 == 1;
        let size = (mapped + 1) >> 1;
        let is_negative = (k != 0 || 2 * context.negative >= context.n) == is_odd;
        let error = if is_negative { -size } else { size };
        if error < 0 {
            context.negative += 1;
        }
        context.a = context.a.saturating_add((coded + 1 - kind) >> 1);
        if context.n == self.scan.reset {
            context.a >>= 1;
            context.n >>= 1;
            context.negative >>= 1;
        }
        context.n += 1;
        Ok(error)
    }

    /// The sample from its prediction and error, back inside the range (T.87, A.4.5).
    fn rebuilt(&self, predicted: i32, error: i32) -> i32 {
        let (near, max) = (self.scan.near, self.scan.max_value);
        let step = 2 * near + 1;
        let mut value = predicted + error * step;
        if value < -near {
            value += self.scan.range * step;
        } else if value > max + near {
            value -= self.scan.range * step;
        }
        value.clamp(0, max)
    }
}

impl Context {
    /// T.87, A.6.
    fn update(&mut self, error: i32, step: i32, reset: i32) {
        self.b += error * step;
        self.a = self.a.saturating_add(error.abs());
        if self.n == reset {
            self.a >>= 1;
            self.b >>= 1;
            self.n >>= 1;
        }
        self.n += 1;
        if self.b <= -self.n {
            self.b = (self.b + self.n).max(1 - self.n);
            self.c = (self.c - 1).max(-128);
        } else if self.b > 0 {
            self.b = (self.b - self.n).min(0);
            self.c = (self.c + 1).min(127);
        }
    }
}

/// The Golomb parameter: the least `k` with `n << k >= a`.
fn golomb(n: i32, a: i32) -> Result<u32, String> {
    (0..24)
        .find(|k| i64::from(n) << k >= i64::from(a))
        .ok_or_else(|| "the statistics overflow".to_owned())
}

trait SignumOrOne {
    /// -1 below zero, otherwise 1.
    fn signum_or_one(self) -> Self;
}

impl SignumOrOne for i32 {
    fn signum_or_one(self) -> Self {
        if self < 0 { -1 } else { 1 }
    }
}

/// Bits of the scan's data; after a byte 0xff follow only seven (T.87, A.1).
struct Bits<'a> {
    data: &'a [u8],
    at: usize,
    byte: u8,
    left: u32,
}

impl<'a> Bits<'a> {
    fn new(data: &'a [u8]) -> Self {
        Self {
            data,
            at: 0,
            byte: 0,
            left: 0,
        }
    }

    fn bit(&mut self) -> Result<u32, String> {
        if self.left == 0 {
            let before = self.byte;
            let ended = || "the samples end too soon".to_owned();
            let byte = *self.data.get(self.at).ok_or_else(ended)?;
            self.left = if before == 0xff && self.at > 0 { 7 } else { 8 };
            if self.left == 7 && byte & 0x80 != 0 {
                return Err(ended());
            }
            self.byte = byte;
            self.at += 1;
        }
        self.left -= 1;
        Ok(u32::from(self.byte >> self.left & 1))
    }

    fn bits(&mut self, count: u32) -> Result<u32, String> {
        let mut value = 0;
        for _ in 0..count {
            value = value << 1 | self.bit()?;
        }
        Ok(value)
    }

    /// A limited-length Golomb code (T.87, A.5.3).
    fn value(&mut self, k: u32, limit: u32, value_bits: u32) -> Result<i32, String> {
        let longest = limit.saturating_sub(value_bits + 1);
        let mut zeros = 0;
        while self.bit()? == 0 {
            zeros += 1;
            if zeros > longest {
                return Err("a code is longer than any".to_owned());
            }
        }
        let value = if zeros >= longest {
            self.bits(value_bits)? + 1
        } else {
            zeros << k | self.bits(k)?
        };
        i32::try_from(value)
            .ok()
            .filter(|value| *value < 1 << 18)
            .ok_or_else(|| "a code is out of range".to_owned())
    }

    /// Where the next marker is to be looked for: a last 0xff has a stuffed byte.
    fn end(&self) -> usize {
        if self.byte == 0xff && self.at > 0 {
            self.at + 1
        } else {
            self.at
        }
    }
}
