//! Int8 constants, and codes about any zero point as codes about zero.

use crate::onnx::{Constant, Values};

/// A constant in int8: `codes * scales`.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Quantised {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// The codes, row-major.
    pub codes: Vec<i8>,
    /// One scale, or one for each index of `axis`.
    pub scales: Vec<f32>,
    /// The axis that the scales run along.
    pub axis: usize,
}

impl Quantised {
    /// How many neighbouring codes share a scale.
    fn run(&self) -> usize {
        if self.scales.len() == 1 {
            self.codes.len().max(1)
        } else {
            self.shape[self.axis + 1..].iter().product()
        }
    }

    /// The floats that the codes stand for.
    pub fn floats(&self) -> Vec<f32> {
        let scales = self.scales.iter().cycle();
        self.codes
            .chunks(self.run())
            .zip(scales)
            .flat_map(|(codes, scale)| codes.iter().map(move |code| f32::from(*code) * scale))
            .collect()
    }

    /// The same with its two axes exchanged.
    pub(super) fn transposed(&self) -> Option<Self> {
        let [rows, columns] = self.shape[..] else {
            return None;
        };
        let code = |i: usize| self.codes[i % rows * columns + i / rows];
        Some(Self {
            shape: vec![columns, rows],
            codes: (0..rows * columns).map(code).collect(),
            scales: self.scales.clone(),
            axis: 1 - self.axis.min(1),
        })
    }
}

/// Scales multiplied: one by all, or pair by pair.
pub(super) fn times(a: &[f32], b: &[f32]) -> Option<Vec<f32>> {
    match (a, b) {
        ([a], b) => Some(b.iter().map(|b| a * b).collect()),
        (a, [b]) => Some(a.iter().map(|a| a * b).collect()),
        (a, b) if a.len() == b.len() => Some(a.iter().zip(b).map(|(a, b)| a * b).collect()),
        _ => None,
    }
}

pub(super) const UNEVEN: &str = "scales, zero points and weights do not fit each other";

/// `(code - zero) * scale` for codes of any width.
pub(super) fn read_back(
    shape: &[usize],
    codes: &[i64],
    scales: &[f32],
    zero: &[i64],
    axis: usize,
) -> Option<Vec<f32>> {
    let run = run_of(shape, scales.len(), zero.len(), axis)?;
    let channel = |i: usize| i / run % scales.len();
    let zero = |i: usize| zero[channel(i) % zero.len()];
    let value = |(i, code): (usize, &i64)| (code - zero(i)) as f32 * scales[channel(i)];
    Some(codes.iter().enumerate().map(value).collect())
}

fn run_of(shape: &[usize], scales: usize, zeros: usize, axis: usize) -> Option<usize> {
    if scales == 0 || (zeros != 1 && zeros != scales) {
        return None;
    }
    if scales == 1 {
        return Some(shape.iter().product::<usize>().max(1));
    }
    (shape.get(axis) == Some(&scales)).then(|| shape[axis + 1..].iter().product::<usize>().max(1))
}

/// Codes about any zero point as codes about zero. Signed codes about 0 and unsigned
/// ones about 128 are kept to the bit; others are spread over the whole range again,
/// which costs at most half a step of the wider scale.
pub(super) fn symmetric(
    codes: &Constant,
    scales: Vec<f32>,
    zero: &[i64],
    axis: usize,
) -> Option<Quantised> {
    let run = run_of(&codes.shape, scales.len(), zero.len(), axis)?;
    let quantised = |codes_: Vec<i8>, scales| Quantised {
        shape: codes.shape.clone(),
        codes: codes_,
        scales,
        axis,
    };
    match &codes.values {
        Values::I8(values) if zero.iter().all(|z| *z == 0) => {
            return Some(quantised(values.clone(), scales));
        }
        Values::U8(values) if zero.iter().all(|z| *z == 128) => {
            let codes = values.iter().map(|v| (v ^ 0x80).cast_signed()).collect();
            return Some(quantised(codes, scales));
        }
        _ => {}
    }
    let values = codes.ints()?;
    let channel = |i: usize| i / run % scales.len();
    let distance = |i: usize, code: i64| code - zero[channel(i) % zero.len()];
    let mut widest = vec![0_i64; scales.len()];
    for (i, code) in values.iter().enumerate() {
        let widest = &mut widest[channel(i)];
        *widest = (*widest).max(distance(i, *code).abs());
    }
    let stretched = |(i, code): (usize, &i64)| {
        let widest = widest[channel(i)].max(1) as f32;
        (distance(i, *code) as f32 * (127.0 / widest)).round_ties_even() as i8
    };
    let codes = values.iter().enumerate().map(stretched).collect();
    let scales = scales
        .iter()
        .zip(&widest)
        .map(|(scale, widest)| scale * (*widest).max(1) as f32 / 127.0)
        .collect();
    Some(quantised(codes, scales))
}
