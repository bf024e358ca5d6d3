//! The kernel in force against the scalar reference: integer products must be the same to
//! the bit, on this very CPU, with these very threads.
//!
//! The tests hold the same against the definition, but on the machines of those who build.
//! A device asks itself.

use super::engine::Engine;
use super::error::EngineError;
use super::kernels::{
    Activation, Cpu, Input, Kernel, KernelError, Linear, Order, Output, PackError, PackedLinear,
    Residual, ShapeError, linear,
};
use super::made_up::MadeUp;

/// Rows, inputs and outputs: whole tiles of every kernel, tails on every side, a long sum.
const SHAPES: [[usize; 3]; 4] = [[1, 7, 5], [19, 150, 33], [64, 256, 96], [3, 2048, 65]];

/// What was compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compared {
    /// The kernel's name.
    pub kernel: &'static str,
    /// Threads that it ran on.
    pub threads: usize,
    /// Products that were the same.
    pub products: usize,
}

/// Why the kernel in force must not be used.
#[derive(Debug, thiserror::Error)]
pub enum ReferenceError {
    /// There is no such kernel.
    #[error(transparent)]
    Kernel(#[from] EngineError),
    /// This program has no reference.
    #[error(transparent)]
    Reference(#[from] KernelError),
    /// A product is another.
    #[error(
        "kernel {kernel}: product {place} of {rows} x {inputs} by {outputs} is {found}; \
         the scalar reference gives {expected}"
    )]
    Differs {
        /// The kernel's name.
        kernel: &'static str,
        /// Rows of the product.
        rows: usize,
        /// Length of each sum.
        inputs: usize,
        /// Columns of the product.
        outputs: usize,
        /// Where the first difference lies.
        place: usize,
        /// What the kernel gave.
        found: f32,
        /// What the reference gave.
        expected: f32,
    },
    /// The kernel refuses a shape.
    #[error(transparent)]
    Shape(#[from] ShapeError),
    /// The kernel refuses weights.
    #[error(transparent)]
    Pack(#[from] PackError),
}

/// Compares an engine's kernel with the scalar reference.
///
/// # Errors
/// [`ReferenceError`]: nothing that this device computes may be believed.
pub fn compare_with_reference(engine: &Engine) -> Result<Compared, ReferenceError> {
    let cpu = engine.cpu()?;
    let reference = Cpu::new(Kernel::named("scalar")?, 1);
    let mut products = 0;
    for (seed, [rows, inputs, outputs]) in (1..).zip(SHAPES) {
        let layer = Layer::new(seed, [rows, inputs, outputs]);
        let (found, expected) = (layer.through(cpu)?, layer.through(&reference)?);
        let mut pairs = found.iter().zip(&expected);
        if let Some(place) = pairs.position(|(a, b)| a.to_bits() != b.to_bits()) {
            return Err(ReferenceError::Differs {
                kernel: cpu.kernel().name(),
                rows,
                inputs,
                outputs,
                place,
                found: found[place],
                expected: expected[place],
            });
        }
        products += found.len();
    }
    Ok(Compared {
        kernel: cpu.kernel().name(),
        threads: cpu.threads(),
        products,
    })
}

/// A layer of int8 weights and what goes into it, from a seed.
struct Layer {
    shape: [usize; 3],
    values: Vec<f32>,
    codes: Vec<i8>,
    scales: Vec<f32>,
}

impl Layer {
    fn new(seed: u64, shape: [usize; 3]) -> Self {
        let [rows, inputs, outputs] = shape;
        let mut made_up = MadeUp::new(seed);
        let mut byte = || made_up.byte();
        // The ends of the range, too: there kernels that saturate go wrong.
        let codes = (0..inputs * outputs)
            .map(|_| byte().cast_signed())
            .collect();
        let value = |byte: u8| f32::from(byte.cast_signed()) / 8.0;
        Self {
            shape,
            codes,
            values: (0..rows * inputs).map(|_| value(byte())).collect(),
            scales: (0..outputs).map(|_| value(byte() | 1)).collect(),
        }
    }

    fn through(&self, cpu: &Cpu) -> Result<Vec<f32>, ReferenceError> {
        let [rows, inputs, outputs] = self.shape;
        let shape = [outputs, inputs];
        let order = Order::OutputsFirst;
        let weights = PackedLinear::int8(cpu.kernel(), &self.codes, order, &self.scales, shape)?;
        let layer = Linear {
            weights: &weights,
            norm: None,
            bias: Some(&self.scales),
            activation: Activation::Identity,
        };
        let input = Input::Rows {
            data: &self.values,
            stride: inputs,
        };
        let mut out = vec![f32::NAN; rows * outputs];
        let output = Output::rows(&mut out, outputs);
        linear(cpu, rows, &input, &layer, Residual::None, output)?;
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    #[test]
    fn the_kernel_in_force_is_the_reference_to_the_bit() {
        let compared = compare_with_reference(&Engine::new(&Settings::default())).unwrap();
        let products: usize = SHAPES.iter().map(|[rows, _, outputs]| rows * outputs).sum();
        assert_eq!(compared.products, products);
    }

    #[test]
    fn one_wrong_weight_is_found() {
        let cpu = Cpu::new(Kernel::available()[0], 1);
        let layer = Layer::new(7, SHAPES[1]);
        let mut other = Layer::new(7, SHAPES[1]);
        other.codes[40] ^= 1;
        assert_eq!(layer.through(&cpu).unwrap(), layer.through(&cpu).unwrap());
        assert_ne!(layer.through(&cpu).unwrap(), other.through(&cpu).unwrap());
    }
}
