//! Which instruction set this process uses.

use super::isa::{Isa, Routine, Tile};
use super::scalar::Scalar;

/// The variable that forces a kernel by name.
const VARIABLE: &str = "MEDFOCUS_KERNEL";

/// An instruction set that this CPU has. To hold one is the proof.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Kernel(Which);

/// A kernel that cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KernelError {
    /// No kernel of this program has the name, or this CPU lacks its instructions.
    #[error("kernel {name:?} is not one of those that this CPU can run: {available}")]
    Unavailable {
        /// The name asked for.
        name: String,
        /// The names that can be had, the quickest first.
        available: String,
    },
}

macro_rules! kernels {
    ($($(#[$attribute:meta])* $variant:ident($isa:ty)),* $(,)?) => {
        #[derive(Clone, Copy, PartialEq, Eq)]
        enum Which {
            $($(#[$attribute])* $variant($isa),)*
        }

        impl Kernel {
            /// Every kernel that this CPU can run, the quickest first; the scalar
            /// reference is always the last.
            #[must_use]
            pub fn available() -> Vec<Self> {
                let all = [$($(#[$attribute])* <$isa>::new().map(Which::$variant),)*];
                all.into_iter().flatten().map(Self).collect()
            }

            /// The name that `MEDFOCUS_KERNEL` knows it by.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self.0 {
                    $($(#[$attribute])* Which::$variant(_) => <$isa>::NAME,)*
                }
            }

            /// The tile of its integer product.
            #[must_use]
            pub fn tile(self) -> Tile {
                match self.0 {
                    $($(#[$attribute])* Which::$variant(_) => <$isa>::TILE,)*
                }
            }

            /// Bytes of one code in a left panel.
            pub(super) fn code_bytes(self) -> usize {
                match self.0 {
                    $($(#[$attribute])* Which::$variant(_) => size_of::<<$isa as Isa>::Code>(),)*
                }
            }

            /// The tile of its float product.
            pub(super) fn float_tile(self) -> Tile {
                match self.0 {
                    $($(#[$attribute])* Which::$variant(_) => <$isa>::FLOAT_TILE,)*
                }
            }

            /// Runs a routine compiled for this instruction set.
            pub(super) fn enter<R: Routine>(self, routine: R) -> R::Output {
                match self.0 {
                    $($(#[$attribute])* Which::$variant(isa) => isa.enter(routine),)*
                }
            }
        }
    };
}

// The quickest first.
kernels! {
    #[cfg(target_arch = "x86_64")]
    Avx512Vnni(super::avx512_vnni::Avx512Vnni),
    #[cfg(target_arch = "x86_64")]
    AvxVnni(super::avx_vnni::AvxVnni),
    #[cfg(all(test, target_arch = "x86_64"))]
    AvxVnniEvex(super::ymm::Ymm<super::avx_vnni::evex::Evex>),
    #[cfg(target_arch = "x86_64")]
    Avx2(super::avx2::Avx2),
    #[cfg(target_arch = "aarch64")]
    NeonI8mm(super::neon_i8mm::NeonI8mm),
    #[cfg(target_arch = "aarch64")]
    NeonSdot(super::neon_sdot::NeonSdot),
    #[cfg(target_arch = "aarch64")]
    NeonSmlal(super::neon_smlal::NeonSmlal),
    Scalar(Scalar),
}

impl Kernel {
    /// The kernel that `MEDFOCUS_KERNEL` names, else the quickest this CPU can run.
    ///
    /// # Errors
    /// [`KernelError::Unavailable`] where the variable names another.
    pub fn detect() -> Result<Self, KernelError> {
        match std::env::var_os(VARIABLE) {
            Some(name) => Self::named(&name.to_string_lossy()),
            None => Ok(Self::available()[0]),
        }
    }

    /// The kernel of this name.
    ///
    /// # Errors
    /// [`KernelError::Unavailable`] where there is none or this CPU cannot run it.
    pub fn named(name: &str) -> Result<Self, KernelError> {
        let available = Self::available();
        let found = available.iter().find(|kernel| kernel.name() == name);
        found.copied().ok_or_else(|| KernelError::Unavailable {
            name: name.to_owned(),
            available: available
                .iter()
                .map(|kernel| kernel.name())
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}

impl std::fmt::Debug for Kernel {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Kernel({})", self.name())
    }
}
