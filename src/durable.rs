//! Files that are there whole or not at all, whenever power fails.

use std::fs::File;
use std::io::{Result, Write};
use std::path::Path;

/// Puts bytes in the place of a file, or makes it; once this returns they outlast a power
/// failure. The folder must be there.
///
/// # Errors
/// What the system says; the file is then as it was.
pub(crate) fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    put(path, bytes, |file| file.sync_all())?;
    sync_folder(path)
}

/// The same, for what nobody needs after the power failed: the disk is not waited for.
///
/// # Errors
/// What the system says; the file is then as it was.
pub(crate) fn swap(path: &Path, bytes: &[u8]) -> Result<()> {
    put(path, bytes, |_| Ok(()))
}

fn put(path: &Path, bytes: &[u8], finish: impl FnOnce(&File) -> Result<()>) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    // A name that no watcher takes for a whole file.
    let part = path.with_file_name(format!(".{name}.part"));
    let put = || {
        let mut file = File::create(&part)?;
        file.write_all(bytes)?;
        finish(&file)?;
        std::fs::rename(&part, path)
    };
    put().inspect_err(|_| {
        // Where even this fails, the next try writes over it.
        let _ = std::fs::remove_file(&part);
    })
}

/// A name in a folder lasts only once the folder was written.
pub(crate) fn sync_folder(path: &Path) -> Result<()> {
    let folder = path.parent().filter(|folder| *folder != Path::new(""));
    File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_nothing_is_left_of_a_failure() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.json");
        for (way, text) in [(replace as fn(&Path, &[u8]) -> _, "one"), (swap, "two")] {
            way(&path, text.as_bytes()).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
        }
        let taken = folder.path().join("folder");
        std::fs::create_dir_all(taken.join("full")).unwrap();
        assert!(replace(&taken, b"three").is_err());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
    }
}
