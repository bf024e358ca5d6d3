//! Exponentials over lanes, of which activations and softmax are made. Each states its error; the tests measure it.
#![allow(clippy::needless_range_loop)]

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

/// `2^x`, to 2 units in the last place; below -126 it is `2^-126`, above 127 `2^127`; NaN
/// stays. The polynomial is the minimax one on -0.5..0.5.
#[allow(clippy::approx_constant)] // One coefficient is near ln 2, not equal to it.
#[inline(always)]
pub(super) fn exp2<I: Isa>(isa: I, x: I::F) -> I::F {
    let x = isa.min(isa.splat(127.0), isa.max(isa.splat(-126.0), x));
    let coefficients = [
        1.326_472_6e-3,
        9.671_513e-3,
        5.550_733_6e-2,
        2.402_224_2e-1,
        6.931_47e-1,
        1.0,
    ];
    power(isa, x, coefficients)
}

/// `127 * 2^x` for `x <= 0`, to 1e-4 of itself: enough for what becomes an int8 code. Small
/// enough to be code 0 below -126; NaN stays.
#[inline(always)]
pub(super) fn code_of_exp2<I: Isa>(isa: I, x: I::F) -> I::F {
    let x = isa.max(isa.splat(-126.0), x);
    power(isa, x, [6.986_134, 30.760_79, 88.046_93, 127.0])
}

/// `2^n p(f)`, where `x = n + f`, `n` whole and `f` in -0.5..0.5.
#[inline(always)]
fn power<I: Isa, const N: usize>(isa: I, x: I::F, coefficients: [f32; N]) -> I::F {
    let n = isa.round(x);
    let f = isa.sub(x, n);
    let mut p = isa.splat(coefficients[0]);
    for i in 1..N {
        p = isa.mul_add(p, f, isa.splat(coefficients[i]));
    }
    isa.scale_by_power(p, n)
}
