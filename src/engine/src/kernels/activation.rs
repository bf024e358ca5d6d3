//! Activation functions: which there are, and each over lanes: GELU in its forms, and sigmoid. Each
//! states its error; the tests measure it. Called by the products' epilogues and by operators that
//! go value by value.

use serde::{Deserialize, Serialize};

use super::isa::Isa;
use super::math::exp2;

/// What follows a layer's product and bias.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Activation {
    /// Nothing.
    #[default]
    Identity,
    /// `max(x, 0)`
    Relu,
    /// `x Phi(x)`, by the error function.
    Gelu,
    /// `x sigmoid(1.702 x)`
    QuickGelu,
    /// `1 / (1 + e^-x)`
    Sigmoid,
}

/// The choice is made once: inside the loop it cost as much as the function.
#[inline(always)]
pub(super) fn activate<I: Isa>(isa: I, activation: Activation, out: &mut [f32]) {
    macro_rules! all {
        ($x:ident => $value:expr) => {
            for v in 0..out.len() / I::LANES {
                let to = &mut out[v * I::LANES..];
                let $x = isa.load(to);
                isa.store($value, to);
            }
        };
    }
    match activation {
        Activation::Identity => {}
        Activation::Relu => all!(x => isa.max(isa.splat(0.0), x)),
        Activation::Gelu => all!(x => gelu(isa, x)),
        Activation::QuickGelu => all!(x => quick_gelu(isa, x)),
        Activation::Sigmoid => all!(x => sigmoid(isa, x)),
    }
}

/// `x Phi(x)`, the GELU of the paper (Hendrycks & Gimpel 2016), to 6e-6.
///
/// `Phi(x) = 1/2 + x p(x^2)`, exactly 0 or 1 beyond 4.75; `p` is the minimax polynomial
/// of the GELU's error, in `2 x^2 / 4.75^2 - 1`, where it is well conditioned.
#[inline(always)]
pub(super) fn gelu<I: Isa>(isa: I, x: I::F) -> I::F {
    const END: f32 = 4.75;
    let inner = isa.min(isa.splat(END), isa.max(isa.splat(-END), x));
    let squared = isa.mul(inner, inner);
    let s = isa.mul_add(squared, isa.splat(2.0 / (END * END)), isa.splat(-1.0));
    let mut p = isa.splat(1.474_573_4e-3);
    for c in [
        -4.008_704_3e-3,
        4.731_161_5e-3,
        -6.777_603_6e-3,
        1.352_155_5e-2,
        -2.185_550_5e-2,
        3.039_530_3e-2,
        -4.053_015_3e-2,
        5.323_349e-2,
        -7.366_931_4e-2,
        1.487_483_5e-1,
    ] {
        p = isa.mul_add(p, s, isa.splat(c));
    }
    isa.mul(x, isa.mul_add(inner, p, isa.splat(0.5)))
}

/// `1 / (1 + e^-x)`, to 3 units in the last place.
#[inline(always)]
pub(super) fn sigmoid<I: Isa>(isa: I, x: I::F) -> I::F {
    let one = isa.splat(1.0);
    let power = exp2(isa, isa.mul(x, isa.splat(-std::f32::consts::LOG2_E)));
    isa.div(one, isa.add(one, power))
}

/// `x / (1 + e^(-1.702 x))`, the GELU of CLIP.
#[inline(always)]
pub(super) fn quick_gelu<I: Isa>(isa: I, x: I::F) -> I::F {
    let one = isa.splat(1.0);
    let power = exp2(
        isa,
        isa.mul(x, isa.splat(-1.702 * std::f32::consts::LOG2_E)),
    );
    isa.div(x, isa.add(one, power))
}
