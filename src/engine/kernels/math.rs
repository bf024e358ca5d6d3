//! Elementary functions over lanes. Each states its error; the tests measure it.

use super::isa::Isa;

/// `e^x`, to 2 units in the last place; 0 below -87.3, infinite above 88.3; NaN stays.
///
/// `x = n ln 2 + r`, with the polynomial of Cephes' `expf` in `r`.
#[inline(always)]
pub(super) fn exp<I: Isa>(isa: I, x: I::F) -> I::F {
    let clamped = isa.min(isa.splat(88.722_84), isa.max(isa.splat(-87.336_54), x));
    let n = isa.round(isa.mul(clamped, isa.splat(std::f32::consts::LOG2_E)));
    let r = isa.mul_add(n, isa.splat(-0.693_359_4), clamped);
    let r = isa.mul_add(n, isa.splat(2.121_944_4e-4), r);
    let mut p = isa.splat(1.987_569_1e-4);
    for c in [
        1.398_199_9e-3,
        8.333_452e-3,
        4.166_579_6e-2,
        1.666_666_5e-1,
        0.5,
    ] {
        p = isa.mul_add(p, r, isa.splat(c));
    }
    let squared = isa.mul(r, r);
    let power = isa.add(isa.mul_add(p, squared, r), isa.splat(1.0));
    // n reaches 128, which no float exponent holds: scale in two steps.
    let half = isa.round(isa.mul(n, isa.splat(0.5)));
    isa.scale_by_power(isa.scale_by_power(power, half), isa.sub(n, half))
}

/// The error function, to 4e-7; the rational approximation of Eigen's `perf`.
#[inline(always)]
pub(super) fn erf<I: Isa>(isa: I, x: I::F) -> I::F {
    let x = isa.min(isa.splat(4.0), isa.max(isa.splat(-4.0), x));
    let squared = isa.mul(x, x);
    let horner = |coefficients: &[f32]| {
        let mut p = isa.splat(coefficients[0]);
        for &c in &coefficients[1..] {
            p = isa.mul_add(p, squared, isa.splat(c));
        }
        p
    };
    let above = horner(&[
        -2.726_142_3e-10,
        2.770_681_4e-8,
        -2.101_024e-6,
        -5.692_506_2e-5,
        -7.349_906e-4,
        -2.954_6e-3,
        -1.609_603_3e-2,
    ]);
    let below = horner(&[
        -1.456_607_2e-5,
        -2.133_740_6e-4,
        -1.682_827e-3,
        -7.373_329e-3,
        -1.426_473_9e-2,
    ]);
    isa.div(isa.mul(x, above), below)
}

/// `x Phi(x)`, the GELU of the paper (Hendrycks & Gimpel 2016), by [`erf`].
#[inline(always)]
pub(super) fn gelu<I: Isa>(isa: I, x: I::F) -> I::F {
    let half = isa.mul(x, isa.splat(0.5));
    let e = erf(isa, isa.mul(x, isa.splat(std::f32::consts::FRAC_1_SQRT_2)));
    isa.mul_add(half, e, half)
}

/// `1 / (1 + e^-x)`
#[inline(always)]
pub(super) fn sigmoid<I: Isa>(isa: I, x: I::F) -> I::F {
    let one = isa.splat(1.0);
    let e = exp(isa, isa.sub(isa.splat(0.0), x));
    isa.div(one, isa.add(one, e))
}

/// `x / (1 + e^(-1.702 x))`, the GELU of CLIP.
#[inline(always)]
pub(super) fn quick_gelu<I: Isa>(isa: I, x: I::F) -> I::F {
    isa.mul(x, sigmoid(isa, isa.mul(x, isa.splat(1.702))))
}
