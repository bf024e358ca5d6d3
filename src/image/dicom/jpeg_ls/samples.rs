//! The samples of a scan: contexts, predictions, runs (T.87, A).

use super::bits::Bits;
use super::headers::{Frame, Interleave, Scan};

/// Longest run for each run index (T.87, A.2.1, `J`).
const RUN_BITS: [u32; 32] = [
    0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4, 4, 5, 5, 6, 6, 7, 7, 8, 9, 10, 11, 12, 13,
    14, 15,
];
const REGULAR_CONTEXTS: usize = 365;

impl Scan {
    /// Decodes the scan's data into the frame; gives how many bytes it took.
    pub(super) fn decode(&self, data: &[u8], frame: &mut Frame) -> Result<usize, String> {
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
