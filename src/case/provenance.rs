//! Who answered: the program, the bundle, and what the bundle may be used for. Part of every
//! record.

use serde::{Deserialize, Serialize};

/// Which bundle answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BundleId {
    /// Name in the manifest.
    pub name: String,
    /// Version in the manifest.
    pub version: String,
    /// SHA-256 of `bundle.toml`, which holds the hash of every other file.
    pub sha256: String,
}

/// What a bundle may be used for; printed on every output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IntendedUse {
    /// Shows that the path works; never for care.
    Demonstration,
    /// For studies; never for care.
    Research,
}

impl IntendedUse {
    /// The word in every output.
    pub fn word(self) -> &'static str {
        match self {
            Self::Demonstration => "demonstration",
            Self::Research => "research",
        }
    }
}

/// Name and version of this program, as every output names it.
pub const SOFTWARE: &str = concat!("medfocus ", env!("CARGO_PKG_VERSION"));

/// Who answered a case.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// What the bundle may be used for.
    pub intended_use: IntendedUse,
    /// Name and version of the program that answered.
    pub software: String,
    /// Which bundle answered.
    pub bundle: BundleId,
}

impl Provenance {
    /// This program with a bundle.
    pub fn of(bundle: &BundleId, intended_use: IntendedUse) -> Self {
        Self {
            intended_use,
            software: SOFTWARE.to_owned(),
            bundle: bundle.clone(),
        }
    }
}
