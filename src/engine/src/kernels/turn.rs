//! Matrices of 32-bit and 64-bit values turned over: `[row][column]` to `[column][row]`.
//!
//! Every panel is one of these: a unit of codes, or a float, is one value. Four by four
//! values turn in registers that every x86-64 and every 64-bit ARM has.

use super::ShapeError;
use super::aligned::{LINE, Plain, view_as, view_as_mut};
use super::cpu::{Cpu, Parts};

/// Columns turned together: a cache line of each row, which is read once and wholly.
const BAND: usize = LINE / size_of::<f32>();

/// Values in one task: enough to be worth a thread's while.
const TASK_VALUES: usize = 1 << 14;

/// A matrix turned over by all threads: value `c` of row `r` goes from
/// `r * from_stride + c` to `c * to_stride + r`.
///
/// # Errors
/// Where lengths do not fit, or columns would share a place.
pub fn transpose(
    cpu: &Cpu,
    [rows, columns]: [usize; 2],
    (from, from_stride): (&[f32], usize),
    (to, to_stride): (&mut [f32], usize),
) -> Result<(), ShapeError> {
    if rows == 0 || columns == 0 {
        return Ok(());
    }
    let reach = |count: usize, stride: usize, width: usize| (count - 1) * stride + width;
    let (read, written) = (
        reach(rows, from_stride, columns),
        reach(columns, to_stride, rows),
    );
    ShapeError::unless_at_least("the matrix' length", from.len(), read)?;
    ShapeError::unless_at_least("the turned matrix' length", to.len(), written)?;
    ShapeError::unless_at_least("the turned matrix' stride", to_stride, rows)?;
    let bands = (TASK_VALUES / (BAND * rows)).max(1);
    let parts = Parts::new(&mut to[..written], bands * BAND * to_stride);
    cpu.pool().run(parts.count(), |_, part| {
        // SAFETY: each task takes the part of its own number.
        let to = unsafe { parts.take(part) };
        let first = part * bands * BAND;
        let last = columns.min(first + bands * BAND);
        for (i, column) in (first..last).step_by(BAND).enumerate() {
            let sides = [rows, BAND.min(last - column)];
            let to = &mut to[i * BAND * to_stride..];
            turn_within(sides, &from[column..], from_stride, to, to_stride);
        }
    });
    Ok(())
}

/// Turns `rows` rows over. A row has `columns` values in `from`, and a column `rows` in
/// `to`.
#[inline(always)]
pub(super) fn turn<V: Plain>(rows: usize, columns: usize, from: &[V], to: &mut [V]) {
    turn_within([rows, columns], from, columns, to, rows);
}

/// Turns `rows` rows of `columns` values over, where rows lie `from_stride` apart, and
/// columns `to_stride`.
#[inline(always)]
pub(super) fn turn_within<V: Plain>(
    [rows, columns]: [usize; 2],
    from: &[V],
    from_stride: usize,
    to: &mut [V],
    to_stride: usize,
) {
    if rows == 0 || columns == 0 {
        return;
    }
    let from = &from[..(rows - 1) * from_stride + columns];
    let to = &mut to[..(columns - 1) * to_stride + rows];
    let whole = if size_of::<V>() == 4 {
        let whole = [rows / 4 * 4, columns / 4 * 4];
        let (from, to) = (view_as::<V, u32>(from), view_as_mut::<V, u32>(to));
        for r in (0..whole[0]).step_by(4) {
            for c in (0..whole[1]).step_by(4) {
                // SAFETY: four rows of four columns from (r, c) are in bounds of both.
                unsafe {
                    let from = from.as_ptr().add(r * from_stride + c);
                    let to = to.as_mut_ptr().add(c * to_stride + r);
                    turn_4x4(from, from_stride, to, to_stride);
                }
            }
        }
        whole
    } else {
        [0, 0]
    };
    for r in 0..rows {
        let done = if r < whole[0] { whole[1] } else { 0 };
        for c in done..columns {
            to[c * to_stride + r] = from[r * from_stride + c];
        }
    }
}

/// Turns four by four values; strides are in values.
///
/// # Safety
/// Four values at each of the first four strides are in bounds of both.
#[inline(always)]
#[cfg(target_arch = "x86_64")]
unsafe fn turn_4x4(from: *const u32, from_stride: usize, to: *mut u32, to_stride: usize) {
    use std::arch::x86_64::*;
    // SAFETY: the caller answers for the pointers; SSE2 is part of x86-64.
    unsafe {
        let row = |i: usize| _mm_loadu_si128(from.add(i * from_stride).cast());
        let (a, b, c, d) = (row(0), row(1), row(2), row(3));
        let (ab, cd) = (_mm_unpacklo_epi32(a, b), _mm_unpacklo_epi32(c, d));
        let (ab_high, cd_high) = (_mm_unpackhi_epi32(a, b), _mm_unpackhi_epi32(c, d));
        let columns = [
            _mm_unpacklo_epi64(ab, cd),
            _mm_unpackhi_epi64(ab, cd),
            _mm_unpacklo_epi64(ab_high, cd_high),
            _mm_unpackhi_epi64(ab_high, cd_high),
        ];
        for (i, column) in columns.into_iter().enumerate() {
            _mm_storeu_si128(to.add(i * to_stride).cast(), column);
        }
    }
}

/// Turns four by four values; strides are in values.
///
/// # Safety
/// Four values at each of the first four strides are in bounds of both.
#[inline(always)]
#[cfg(target_arch = "aarch64")]
unsafe fn turn_4x4(from: *const u32, from_stride: usize, to: *mut u32, to_stride: usize) {
    use std::arch::aarch64::*;
    // SAFETY: the caller answers for the pointers; NEON is part of 64-bit ARM.
    unsafe {
        let row = |i: usize| vld1q_u32(from.add(i * from_stride));
        let (a, b, c, d) = (row(0), row(1), row(2), row(3));
        let (ac, bd) = (vzip1q_u32(a, c), vzip1q_u32(b, d));
        let (ac_high, bd_high) = (vzip2q_u32(a, c), vzip2q_u32(b, d));
        let columns = [
            vzip1q_u32(ac, bd),
            vzip2q_u32(ac, bd),
            vzip1q_u32(ac_high, bd_high),
            vzip2q_u32(ac_high, bd_high),
        ];
        for (i, column) in columns.into_iter().enumerate() {
            vst1q_u32(to.add(i * to_stride), column);
        }
    }
}

/// Turns four by four values; strides are in values.
///
/// # Safety
/// Four values at each of the first four strides are in bounds of both.
#[inline(always)]
#[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
unsafe fn turn_4x4(from: *const u32, from_stride: usize, to: *mut u32, to_stride: usize) {
    for r in 0..4 {
        for c in 0..4 {
            // SAFETY: the caller answers for the pointers.
            unsafe { *to.add(c * to_stride + r) = *from.add(r * from_stride + c) };
        }
    }
}
