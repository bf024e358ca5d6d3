//! Floats that a graph and its plans share: in memory of their own, or where they lie in a
//! mapped file.

use std::fmt;
use std::ops::{Deref, Range};
use std::sync::Arc;

use super::kernels::floats_of;

/// The bytes of a file, held as long as anything in it is in use.
pub(super) type File = Arc<dyn AsRef<[u8]> + Send + Sync>;

/// Floats that never change.
#[derive(Clone)]
pub(super) enum Floats {
    /// A slice in an [`Arc`] would have to be copied there, and of some constants the copy
    /// takes as long as their making.
    Own(Arc<Vec<f32>>),
    /// Bytes of a file, checked by [`Floats::mapped`].
    Mapped(File, Range<usize>),
}

impl Floats {
    /// The floats in these bytes of a file; `None` where they are not there or not aligned.
    pub fn mapped(file: File, range: Range<usize>) -> Option<Self> {
        floats_of((*file).as_ref().get(range.clone())?)?;
        Some(Self::Mapped(file, range))
    }
}

impl Deref for Floats {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Self::Own(values) => values,
            Self::Mapped(file, range) => {
                floats_of(&(**file).as_ref()[range.clone()]).unwrap_or_default()
            }
        }
    }
}

impl Default for Floats {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl From<Vec<f32>> for Floats {
    fn from(values: Vec<f32>) -> Self {
        Self::Own(Arc::new(values))
    }
}

impl PartialEq for Floats {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl fmt::Debug for Floats {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} floats", self.len())
    }
}
