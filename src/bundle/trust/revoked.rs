//! The file of what is trusted no longer: keys and bundles, one a line.
//!
//! ```text
//! # a lost key, and a release with a fault
//! key 3B1A2C3D4E5F6071
//! bundle 0a883101506091419d...
//! ```
//!
//! It is read whole or not at all: where it is missing, may be written by others, or has a line
//! that is not understood, no bundle is used. A list that somebody took away must not be as good
//! as an empty one.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::read_guarded;
use crate::bundle::BundleError;

/// Bytes of the file: some thousand lines.
const MOST: u64 = 1 << 18;

/// What is trusted no longer.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked {
    path: PathBuf,
    keys: BTreeSet<String>,
    bundles: BTreeSet<String>,
}

impl Revoked {
    /// Reads the file.
    ///
    /// # Errors
    /// [`BundleError::Revoked`], which names the file and the line.
    pub fn read(path: &Path) -> Result<Self, BundleError> {
        let wrong = |why: String| BundleError::RevokedList {
            path: path.to_owned(),
            why,
        };
        let text = read_guarded(path, MOST).map_err(wrong)?;
        let mut found = Self {
            path: path.to_owned(),
            ..Self::default()
        };
        for (number, line) in text.lines().enumerate() {
            let line = line.split_once('#').map_or(line, |(line, _)| line).trim();
            if !line.is_empty() {
                let at = |why| wrong(format!("line {}: {why}", number + 1));
                found.take(line).map_err(at)?;
            }
        }
        Ok(found)
    }

    fn take(&mut self, line: &str) -> Result<(), &'static str> {
        const EXPECTED: &str = "expected 'key' and 16, or 'bundle' and 64 hexadecimal digits";
        let (what, digits) = line.split_once(char::is_whitespace).ok_or(EXPECTED)?;
        let digits = digits.trim();
        let is_hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
        match (what, digits.len()) {
            ("key", 16) if is_hex => self.keys.insert(digits.to_ascii_uppercase()),
            ("bundle", 64) if is_hex => self.bundles.insert(digits.to_ascii_lowercase()),
            _ => return Err(EXPECTED),
        };
        Ok(())
    }

    /// Whether a key stands here.
    pub(super) fn names_keys(&self) -> bool {
        !self.keys.is_empty()
    }

    /// Refuses the bundle of this manifest's hash where it, or the key that signed it, stands
    /// here.
    pub(super) fn check(
        &self,
        folder: &Path,
        sha256: &str,
        key: Option<&str>,
    ) -> Result<(), BundleError> {
        let key = key.filter(|key| self.keys.contains(*key));
        let what = match key {
            Some(key) => format!("its key {key}"),
            None if self.bundles.contains(sha256) => format!("its SHA-256 {sha256}"),
            None => return Ok(()),
        };
        Err(BundleError::Revoked {
            path: folder.to_owned(),
            why: format!("{what} stands in {}", self.path.display()),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn read(text: &str, mode: u32) -> Result<Revoked, BundleError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revoked");
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        Revoked::read(&path)
    }

    #[test]
    fn what_is_not_understood_whole_is_not_believed_at_all() {
        let key = "key 00112233445566aa # lost\n";
        let bundle = format!("  bundle {}\n", "Ab".repeat(32));
        let both = read(&format!("# list\n\n{key}{bundle}"), 0o644).unwrap();
        assert!(both.keys.contains("00112233445566AA"));
        assert!(both.bundles.contains(&"ab".repeat(32)));
        assert!(read("", 0o600).unwrap().keys.is_empty());
        for (text, mode) in [
            ("key 0011", 0o644),
            ("keys 00112233445566aa", 0o644),
            ("key 00112233445566ag", 0o644),
            ("bundle 00112233445566aa", 0o644),
            (key, 0o664),
            (key, 0o646),
        ] {
            let error = read(text, mode).unwrap_err();
            assert_eq!(error.code(), "revoked_list", "{text} {mode:o}");
        }
        let missing = Revoked::read(Path::new("/no/such/list")).unwrap_err();
        assert_eq!(missing.code(), "revoked_list");
        let endless = Revoked::read(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(endless.code(), "revoked_list");
    }
}
