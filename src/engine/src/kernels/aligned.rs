//! Memory that starts on a cache line, seen as bytes, codes or floats.
//!
//! What it must never do: hand out memory that was not written.

/// Plain values: every bit pattern is one, and there is no padding.
pub(super) use bytemuck::Pod as Plain;
use bytemuck::{cast_slice, cast_slice_mut};

/// Bytes in a cache line, and the alignment of everything packed.
pub(super) const LINE: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

// SAFETY: bytes alone, with no padding: zeros are such a line.
unsafe impl bytemuck::Zeroable for Line {}
// SAFETY: as above, and any other bytes are one, too.
unsafe impl Plain for Line {}

/// A buffer that grows and is kept from one use to the next.
#[derive(Default)]
pub(super) struct Aligned(Vec<Line>);

impl Aligned {
    /// A buffer of at least `bytes` zeros.
    pub(super) fn zeroed(bytes: usize) -> Self {
        Self(vec![Line([0; LINE]); bytes.div_ceil(LINE)])
    }

    /// Grows to at least `bytes`; what is in it stays.
    pub(super) fn grow(&mut self, bytes: usize) -> &mut [u8] {
        let lines = bytes.div_ceil(LINE);
        if self.0.len() < lines {
            self.0.resize(lines, Line([0; LINE]));
        }
        self.bytes_mut()
    }

    pub(super) fn bytes(&self) -> &[u8] {
        cast_slice(&self.0)
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        cast_slice_mut(&mut self.0)
    }
}

/// Bytes of `count` values, filled up to whole lines.
pub(super) const fn lines_of<T>(count: usize) -> usize {
    (count * size_of::<T>()).next_multiple_of(LINE)
}

/// Splits the first `count` values off the front of a buffer of whole lines.
///
/// # Panics
/// Where the buffer is too short or not aligned: a fault of this module's.
pub(super) fn take<'a, T: Plain>(buffer: &mut &'a mut [u8], count: usize) -> &'a mut [T] {
    let (front, rest) = std::mem::take(buffer).split_at_mut(lines_of::<T>(count));
    *buffer = rest;
    cast_slice_mut(&mut front[..count * size_of::<T>()])
}

/// Values seen as others; what does not fill a whole one is left out.
///
/// # Panics
/// Where they are not aligned for `T`: a fault of this module's.
pub(super) fn view_as<F: Plain, T: Plain>(from: &[F]) -> &[T] {
    let count = size_of_val(from) / size_of::<T>();
    let bytes: &[u8] = cast_slice(from);
    cast_slice(&bytes[..count * size_of::<T>()])
}

/// [`view_as`], to write to.
///
/// # Panics
/// As [`view_as`].
pub(super) fn view_as_mut<F: Plain, T: Plain>(from: &mut [F]) -> &mut [T] {
    let count = size_of_val(from) / size_of::<T>();
    let bytes: &mut [u8] = cast_slice_mut(from);
    cast_slice_mut(&mut bytes[..count * size_of::<T>()])
}

/// Bytes seen as values; what does not fill a whole value is left out.
///
/// # Panics
/// Where the bytes are not aligned for `T`: a fault of this module's.
pub(super) fn view<T: Plain>(bytes: &[u8]) -> &[T] {
    view_as(bytes)
}

/// Bytes that are floats of this machine; `None` where they are not aligned or not whole.
pub fn floats_of(bytes: &[u8]) -> Option<&[f32]> {
    bytemuck::try_cast_slice(bytes).ok()
}

/// [`view`], to write to.
///
/// # Panics
/// As [`view`].
pub(super) fn view_mut<T: Plain>(bytes: &mut [u8]) -> &mut [T] {
    view_as_mut(bytes)
}
