//! The images that a command line names: files as given, folders walked in order.

use std::path::{Path, PathBuf};

const ENDINGS: [&str; 11] = [
    "dcm", "dicom", "png", "jpg", "jpeg", "pgm", "ppm", "pnm", "tif", "tiff", "bmp",
];

/// Files stay as given, whatever their name; of a folder all files with an image's
/// ending are taken, deeply, by name.
pub fn expand(given: &[PathBuf]) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for path in given {
        if path.is_dir() {
            walk(path, &mut files)
        } else {
            files.push(path.clone())
        }
    }
    files
}

fn walk(folder: &Path, files: &mut Vec<PathBuf>) {
    // A folder that cannot be listed is passed on as a source: reading it is then
    // refused by name instead of passed over.
    let Ok(entries) = std::fs::read_dir(folder) else {
        files.push(folder.to_owned());
        return;
    };
    let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let is_link = path.symlink_metadata().is_ok_and(|m| m.is_symlink());
        if path.is_dir() && !is_link {
            walk(&path, files);
        } else if has_image_ending(&path) {
            files.push(path);
        }
    }
}

fn has_image_ending(path: &Path) -> bool {
    let ending = path
        .extension()
        .and_then(|e| e.to_str())
        .unwrap_or_default();
    ENDINGS
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known))
}
