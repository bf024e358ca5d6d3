//! The folders that images are put into: whether each is there now and can be read and written.
//! Called by the doctor. Looks at no file in them.

use rustix::fs::{Access, access};

use crate::device::config::Watched;
use crate::journal::SelfCheck;

/// Whether each can be looked into, and what was answered be moved; `None` where there are
/// none.
pub(super) fn watched(folders: &[Watched]) -> Option<SelfCheck> {
    let folder = |watched: &&Watched| watched.path.is_dir();
    let (here, away): (Vec<&Watched>, Vec<&Watched>) = folders.iter().partition(folder);
    let needed = Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK;
    let closed = here.iter().filter(|w| access(&w.path, needed).is_err());
    let closed: Vec<&Watched> = closed.copied().collect();
    let list = |folders: &[&Watched]| {
        let paths: Vec<String> = folders
            .iter()
            .map(|w| w.path.display().to_string())
            .collect();
        paths.join(", ")
    };
    let name = "folders";
    if !closed.is_empty() {
        let help = "give this user the right to read and to write there";
        let what = format!("this user may not move files in {}", list(&closed));
        return Some(SelfCheck::warned(name, what, help));
    }
    if !away.is_empty() {
        let help = "make the folder, or plug in what it lies on: the device waits for it";
        let what = format!("not there: {}", list(&away));
        return Some(SelfCheck::warned(name, what, help));
    }
    (!here.is_empty()).then(|| SelfCheck::passed(name, list(&here)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Verdict;

    #[test]
    fn a_folder_that_is_away_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| Watched::at(folder.path().join(name));
        assert_eq!(watched(&[]), None);
        assert_eq!(watched(&[at("")]).unwrap().verdict, Verdict::Passed);
        let away = watched(&[at(""), at("stick")]).unwrap();
        assert_eq!(away.verdict, Verdict::Warned);
        assert!(away.what.ends_with("stick"), "{}", away.what);
    }
}
