//! The state folder: whether it can be written, and whether a device uses it. Called by the
//! doctor. The one file that it writes there it removes again.

use std::io::ErrorKind;
use std::path::Path;

use rustix::fs::{Access, access};

use crate::device::health::{Places, Snapshot};
use crate::files::{Folder, OWN};
use crate::journal::SelfCheck;

/// Whether it can be written, or made.
pub(super) fn folder(state: &Path) -> SelfCheck {
    const NAME: &str = "state";
    let name = state.display();
    let help = "name a folder that this user may write with --state, or give it the right to";
    let tried = if state.is_dir() {
        try_in(state).map(|()| format!("{name} can be written"))
    } else {
        may_make(state).map(|()| format!("{name} will be made"))
    };
    match tried {
        Ok(what) => SelfCheck::passed(NAME, what),
        Err(error) => SelfCheck::failed(NAME, "state", format!("{name}: {error}"), help),
    }
}

fn try_in(state: &Path) -> std::io::Result<()> {
    // A file that goes again as soon as it is there.
    Folder::open(state)?.fresh(OWN)?;
    Ok(())
}

fn may_make(state: &Path) -> std::io::Result<()> {
    let above = nearest(state);
    if !above.is_dir() {
        return Err(ErrorKind::NotADirectory.into());
    }
    Ok(access(above, Access::WRITE_OK | Access::EXEC_OK)?)
}

/// The folder, or what is there of the way to it.
pub(super) fn nearest(state: &Path) -> &Path {
    let there = state.ancestors().find(|above| above.exists());
    there.unwrap_or(Path::new("."))
}

/// The device that works on it now.
pub(super) fn at_work(state: &Path) -> Option<SelfCheck> {
    let snapshot = Snapshot::read(&Places::of(state, true)).ok();
    let snapshot = snapshot.filter(|snapshot| !snapshot.is_stale())?;
    let what = format!("a device is at work here: {}", snapshot.state.word());
    Some(SelfCheck::passed("device", what))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    use crate::journal::Verdict;

    #[test]
    fn a_folder_that_can_be_written_or_made_is_well_and_nothing_is_left_in_it() {
        let state = tempfile::tempdir().unwrap();
        assert_eq!(folder(state.path()).verdict, Verdict::Passed);
        assert_eq!(fs::read_dir(state.path()).unwrap().count(), 0);
        assert_eq!(folder(&state.path().join("a/b")).verdict, Verdict::Passed);
        let file = state.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(folder(&file.join("in")).verdict, Verdict::Failed);
    }
}
