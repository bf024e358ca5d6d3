//! Whether the device may write the bundles that it answers from: whoever takes it over could
//! then change what it answers with after its next start.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use crate::bundle::Store;
use crate::journal::SelfCheck;

/// `None` where there is no bundle, no device yet, or the device runs as root.
pub(super) fn folder(state: &Path, bundle: Option<&Path>) -> Option<SelfCheck> {
    const NAME: &str = "bundles";
    // The device is whoever the state folder belongs to.
    let device = std::fs::metadata(state).ok()?.uid();
    let bundle = bundle?.canonicalize().ok()?;
    if device == 0 {
        return None;
    }
    let store = Store::of(state);
    let places = [Some(bundle.as_path()), bundle.parent()];
    let is_open = |place: &&Path| std::fs::metadata(place).is_ok_and(|about| may(&about, device));
    let open = places.into_iter().flatten().find(is_open);
    let Some(open) = open else {
        let what = format!("{}: the device itself only reads it", bundle.display());
        return Some(SelfCheck::passed(NAME, what));
    };
    let what = format!("{} may be written by the device itself", open.display());
    if store.is_apart() {
        let help = "install the bundle again as root: medfocus bundle install DIR";
        return Some(SelfCheck::warned(NAME, what, help));
    }
    Some(SelfCheck::passed(
        NAME,
        format!("{what}; a folder STATE-bundles of root's keeps them apart"),
    ))
}

/// Whether a user may change what lies there, or give itself the right to.
fn may(about: &Metadata, user: u32) -> bool {
    about.uid() == user || about.mode() & 0o022 != 0
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{chown, symlink};

    use super::*;
    use crate::journal::Verdict;

    #[test]
    fn a_bundle_that_the_device_may_write_is_told_where_it_need_not_be_so() {
        if !rustix::process::geteuid().is_root() {
            println!("skipped: only root can make folders of others");
            return;
        }
        let place = tempfile::tempdir().unwrap();
        let at = |name: &str| place.path().join(name);
        let (own, apart) = (at("state/bundles/b"), at("state-bundles/b"));
        std::fs::create_dir_all(&own).unwrap();
        for folder in ["state", "state/bundles", "state/bundles/b"] {
            chown(at(folder), Some(65534), None).unwrap();
        }
        symlink("b", at("state/bundles/current")).unwrap();
        let state = at("state");
        let verdict = |bundle: &Path| folder(&state, Some(bundle)).map(|check| check.verdict);
        let current = at("state/bundles/current");
        assert_eq!(
            verdict(&current),
            Some(Verdict::Passed),
            "there is no other"
        );
        std::fs::create_dir_all(&apart).unwrap();
        assert_eq!(verdict(&current), Some(Verdict::Warned));
        assert_eq!(verdict(&apart), Some(Verdict::Passed));
        chown(&apart, Some(65534), None).unwrap();
        assert_eq!(verdict(&apart), Some(Verdict::Warned));
        chown(&state, Some(0), None).unwrap();
        assert_eq!(verdict(&apart), None, "root may write everything");
    }
}
