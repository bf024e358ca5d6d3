//! Markers: small files by which a scanner says that an image is whole. Files of a look come in with
//! the markers that were found beside them; whether each is whole comes out. A marker that is older
//! than its file speaks of another one.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::settle::Mark;

/// The markers that were found, by their paths.
#[derive(Debug, Default)]
pub(super) struct Markers(BTreeMap<PathBuf, Mark>);

impl Markers {
    /// Takes one up.
    pub fn note(&mut self, path: PathBuf, mark: Mark) {
        self.0.insert(path, mark);
    }

    /// Whether a marker with this ending says that a file is whole: that of its name, of its name
    /// without its own ending, or one for all files of its folder.
    pub fn tell_of(&self, path: &Path, mark: &Mark, ending: &str) -> bool {
        let folder = path.with_file_name(ending);
        let mut known = own(path, ending).into_iter().chain([folder]);
        known.any(|marker| {
            let marker = self.0.get(&marker);
            marker.is_some_and(|marker| !marker.is_older_than(mark))
        })
    }

    /// The markers of one file alone, which go with it.
    pub fn of(&self, path: &Path, ending: &str) -> Vec<(PathBuf, Mark)> {
        let found = own(path, ending).into_iter();
        let found = found.map(|marker| self.0.get_key_value(&marker));
        let found = found.flatten();
        found.map(|(path, mark)| (path.clone(), *mark)).collect()
    }
}

/// `a.png.done` and `a.done` for `a.png`.
fn own(path: &Path, ending: &str) -> Vec<PathBuf> {
    let named = |name: &std::ffi::OsStr| {
        let mut name = OsString::from(name);
        name.push(ending);
        path.with_file_name(name)
    };
    let names = [path.file_name(), path.file_stem()];
    let mut paths: Vec<PathBuf> = names.into_iter().flatten().map(named).collect();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_marker_tells_of_its_file_unless_it_is_older() {
        struct Case(&'static str, &'static str, i64, bool);
        for Case(file, marker, marked, is_told) in [
            Case("a.png", "a.png.done", 5, true),
            Case("a.png", "a.done", 9, true),
            Case("a.png", "a.done", 4, false),
            Case("a.png", "b.done", 9, false),
            Case("one/a.png", "one/a.done", 9, true),
            Case("one/a.png", "a.done", 9, false),
            Case("one/a.png", "one/.done", 9, true),
            Case("one/a.png", "one/.done", 4, false),
            Case("one/a.png", ".done", 9, false),
            Case("IM0001", "IM0001.done", 9, true),
        ] {
            let mut markers = Markers::default();
            markers.note(marker.into(), Mark::changed_at(marked));
            let told = markers.tell_of(Path::new(file), &Mark::changed_at(5), ".done");
            assert_eq!(told, is_told, "{marker} of {file}");
        }
    }

    #[test]
    fn the_marker_of_a_folder_goes_with_no_file() {
        let mut markers = Markers::default();
        for marker in ["a.done", "a.png.done", ".done"] {
            markers.note(marker.into(), Mark::changed_at(1));
        }
        let own = markers.of(Path::new("a.png"), ".done");
        let names: Vec<_> = own.iter().map(|(path, _)| path.to_str().unwrap()).collect();
        assert_eq!(names, ["a.png.done", "a.done"]);
    }
}
