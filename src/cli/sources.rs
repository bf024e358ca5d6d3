//! The images that a command line names: files as given; of a folder whatever is an image
//! by its first bytes, whether it is of a kind that is read or not, in order. What is no
//! image is told of on standard error: nothing is passed over in silence.

use std::io::Read;
use std::path::{Path, PathBuf};

use medfocus::image::format::{ENOUGH, Kind};
use medfocus::image::open::open;
use medfocus::shown;

use super::tell;

/// Endings by which a file claims to be an image, so that it is refused where it is none.
const ENDINGS: [&str; 12] = [
    "dcm", "dicom", "png", "jpg", "jpeg", "pgm", "ppm", "pnm", "pbm", "tif", "tiff", "bmp",
];

/// How many files that are no images are named.
const NAMED: usize = 20;

/// What was found.
#[derive(Debug, Default)]
struct Found {
    images: Vec<PathBuf>,
    /// What lies in folders and is no image.
    others: Others,
}

/// The files to be read. Those given stay as given, whatever they are; folders are walked
/// deeply, by name.
pub fn expand(given: &[PathBuf]) -> Vec<PathBuf> {
    let (images, others) = found(given);
    if !others.is_empty() {
        tell(&left_out(&others));
    }
    images
}

/// The same; what was left out is counted, and no name is told.
pub fn expand_unnamed(given: &[PathBuf]) -> Vec<PathBuf> {
    let (images, others) = found(given);
    if !others.is_empty() {
        tell(&format!("left out: {}", counted(others.len())));
    }
    images
}

/// What is no image, and what it is where that is known.
type Others = Vec<(PathBuf, Option<&'static str>)>;

fn found(given: &[PathBuf]) -> (Vec<PathBuf>, Others) {
    let mut found = Found::default();
    for path in given {
        if path.is_dir() {
            found.walk(path);
        } else {
            found.images.push(path.clone());
        }
    }
    (found.images, found.others)
}

impl Found {
    fn walk(&mut self, folder: &Path) {
        let listed = std::fs::read_dir(folder).and_then(|entries| {
            let paths = entries.map(|entry| Ok(entry?.path()));
            paths.collect::<Result<Vec<_>, std::io::Error>>()
        });
        // A folder that cannot be listed is passed on as a source: reading it is then
        // refused by name, and by why, instead of passed over.
        let Ok(mut paths) = listed else {
            self.images.push(folder.to_owned());
            return;
        };
        paths.sort();
        for path in paths {
            let is_link = path.symlink_metadata().is_ok_and(|m| m.is_symlink());
            match path.is_dir() {
                true if is_link => self.others.push((path, Some("a link to a folder"))),
                true => self.walk(&path),
                false => self.sort(path),
            }
        }
    }

    fn sort(&mut self, path: PathBuf) {
        match kind(&path) {
            Some(Kind::NoPicture(what)) => self.others.push((path, Some(what))),
            Some(Kind::Unknown) if !has_image_ending(&path) => self.others.push((path, None)),
            // What cannot be opened may be an image: reading it is refused by name.
            _ => self.images.push(path),
        }
    }
}

/// What a file is; `None` where it cannot be read.
fn kind(path: &Path) -> Option<Kind> {
    let file = open(path).ok()?;
    let mut head = Vec::new();
    file.take(ENOUGH as u64).read_to_end(&mut head).ok()?;
    Some(Kind::of(&head))
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

/// One sentence that counts and names them.
fn left_out(others: &[(PathBuf, Option<&'static str>)]) -> String {
    let name = |(path, what): &(PathBuf, Option<&str>)| match what {
        Some(what) => format!("{} ({what})", shown::name(path)),
        None => shown::name(path).to_string(),
    };
    let names: Vec<String> = others.iter().take(NAMED).map(name).collect();
    let more = match others.len().saturating_sub(NAMED) {
        0 => String::new(),
        count => format!(" and {count} more"),
    };
    format!(
        "left out: {}: {}{more}",
        counted(others.len()),
        names.join(", ")
    )
}

fn counted(others: usize) -> String {
    match others {
        1 => "1 file is no image".to_owned(),
        count => format!("{count} files are no images"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_judged_by_first_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        let dicom = |class: &str| {
            let length = class.len() as u8;
            let element = [&b"\x02\0\x02\0UI"[..], &[length, 0], class.as_bytes()];
            [&[0; 128][..], b"DICM", &element.concat()].concat()
        };
        std::fs::create_dir(at("deep")).unwrap();
        for (name, bytes) in [
            ("IM000001", dicom("1.2.840.10008.5.1.4.1.1.1.1.")),
            ("DICOMDIR", dicom("1.2.840.10008.1.3.10")),
            ("a.csv", b"name,age\n".to_vec()),
            ("b.png", b"no PNG at all".to_vec()),
            ("c.txt", b"GIF89a".to_vec()),
            ("deep/1.2.3", b"\x89PNG\r\n\x1a\n".to_vec()),
            ("empty", Vec::new()),
        ] {
            std::fs::write(at(name), bytes).unwrap();
        }
        std::os::unix::fs::symlink(at("gone"), at("link")).unwrap();
        std::os::unix::fs::symlink(folder.path(), at("round")).unwrap();
        let mut found = Found::default();
        found.walk(folder.path());
        let others: Vec<PathBuf> = found.others.iter().map(|(path, _)| path.clone()).collect();
        let names = |paths: &[PathBuf]| -> Vec<String> {
            let name = |path: &PathBuf| {
                path.strip_prefix(folder.path())
                    .unwrap()
                    .display()
                    .to_string()
            };
            paths.iter().map(name).collect()
        };
        assert_eq!(
            names(&found.images),
            ["IM000001", "b.png", "c.txt", "deep/1.2.3", "link"]
        );
        assert_eq!(names(&others), ["DICOMDIR", "a.csv", "empty", "round"]);
    }

    #[test]
    fn many_are_counted_and_some_named() {
        let paths = |count: usize| vec![(PathBuf::from("a b"), None); count];
        assert_eq!(left_out(&paths(1)), "left out: 1 file is no image: a b");
        let report = [(PathBuf::from("x"), Some("a structured report"))];
        assert!(left_out(&report).ends_with(": x (a structured report)"));
        let many = left_out(&paths(NAMED + 2));
        assert!(many.contains("22 files are no images"), "{many}");
        assert!(many.ends_with("a b and 2 more"), "{many}");
    }
}
