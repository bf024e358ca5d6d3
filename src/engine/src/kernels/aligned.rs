//! Memory that starts on a cache line, seen as bytes, codes or floats.
//!
//! What it must never do: hand out memory that was not written.

/// Bytes in a cache line, and the alignment of everything packed.
pub(super) const LINE: usize = 64;

#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Line([u8; LINE]);

/// Plain values of which every bit pattern is one, with no padding.
///
/// # Safety
/// Only for such types, with an alignment that divides [`LINE`].
pub(super) unsafe trait Plain: Copy {}
// SAFETY: integers and floats are plain.
unsafe impl Plain for i8 {}
// SAFETY: as above.
unsafe impl Plain for u8 {}
// SAFETY: as above.
unsafe impl Plain for i16 {}
// SAFETY: as above.
unsafe impl Plain for i32 {}
// SAFETY: as above.
unsafe impl Plain for u32 {}
// SAFETY: as above.
unsafe impl Plain for u64 {}
// SAFETY: as above.
unsafe impl Plain for f32 {}

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
        // SAFETY: lines are bytes without padding, all initialised.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len() * LINE) }
    }

    pub(super) fn bytes_mut(&mut self) -> &mut [u8] {
        // SAFETY: as in `bytes`, and `self` is borrowed for as long.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len() * LINE) }
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
    assert!(front.as_ptr().addr().is_multiple_of(align_of::<T>()));
    // SAFETY: `front` holds `count` values' bytes, aligned, and any bytes are a `T`.
    unsafe { std::slice::from_raw_parts_mut(front.as_mut_ptr().cast(), count) }
}

/// Values seen as others.
///
/// # Panics
/// Where they are not aligned for `T`: a fault of this module's.
pub(super) fn view_as<F: Plain, T: Plain>(from: &[F]) -> &[T] {
    assert!(from.as_ptr().addr().is_multiple_of(align_of::<T>()));
    let count = size_of_val(from) / size_of::<T>();
    // SAFETY: aligned, in bounds, and any bytes are a `T`.
    unsafe { std::slice::from_raw_parts(from.as_ptr().cast(), count) }
}

/// [`view_as`], to write to.
///
/// # Panics
/// As [`view_as`].
pub(super) fn view_as_mut<F: Plain, T: Plain>(from: &mut [F]) -> &mut [T] {
    assert!(from.as_ptr().addr().is_multiple_of(align_of::<T>()));
    let count = size_of_val(from) / size_of::<T>();
    // SAFETY: as in `view_as`; any `T` written is an `F` too, and `from` is borrowed
    // for as long.
    unsafe { std::slice::from_raw_parts_mut(from.as_mut_ptr().cast(), count) }
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
    let fits = bytes.as_ptr().addr().is_multiple_of(align_of::<f32>())
        && bytes.len().is_multiple_of(size_of::<f32>());
    fits.then(|| view_as(bytes))
}

/// [`view`], to write to.
///
/// # Panics
/// As [`view`].
pub(super) fn view_mut<T: Plain>(bytes: &mut [u8]) -> &mut [T] {
    view_as_mut(bytes)
}
