//! Landlock: which paths a child may open. The decoder opens none, the worker those that are named.
//! What is open already stays open.

use std::path::PathBuf;

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus,
    PathBeneath, PathFd, Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope,
};

use super::{Holding, Role};

/// The newest that was tried; an older kernel holds what it knows of it.
const NEWEST: ABI = ABI::V7;

/// What each version of the kernel's interface brought that matters here.
const BROUGHT: [(i32, &str); 4] = [
    (3, "shortening files"),
    (4, "TCP"),
    (5, "devices that are open"),
    (6, "signals and abstract sockets"),
];

/// From now on this process opens nothing but these, to read; says what that holds for.
pub(super) fn restrict(role: Role, readable: &[PathBuf]) -> Holding {
    let abi = match enforce(readable) {
        Ok(LandlockStatus::Available { effective_abi, .. }) => effective_abi as i32,
        Ok(LandlockStatus::NotEnabled) => {
            return Holding::Nothing("Landlock is switched off (lsm=)".to_owned());
        }
        Ok(LandlockStatus::NotImplemented) => {
            return Holding::Nothing(why_none());
        }
        Err(error) => return Holding::Nothing(format!("Landlock failed: {error}")),
    };
    let paths = match role {
        Role::Decoder => "no path",
        Role::Worker => "the bundle to read, and no other path",
    };
    let lacking = lacking(abi);
    if lacking.is_empty() {
        return Holding::Whole(format!(
            "{paths}, no TCP, no signal to others (Landlock {abi})"
        ));
    }
    let lacking = lacking.join(", ");
    Holding::Partly(format!(
        "{paths} (Landlock {abi}, which does not know {lacking})"
    ))
}

/// Why there is no Landlock: the crate takes a call that is forbidden for one that is not there.
fn why_none() -> String {
    let asks_for_version = 1;
    let (nothing, size) = (std::ptr::null::<libc::c_void>(), 0_usize);
    // SAFETY: with this flag the call reads no memory, opens nothing and gives a number back.
    #[allow(unsafe_code)]
    let version = unsafe {
        libc::syscall(
            libc::SYS_landlock_create_ruleset,
            nothing,
            size,
            asks_for_version,
        )
    };
    let error = std::io::Error::last_os_error();
    if version < 0 && error.raw_os_error() != Some(libc::ENOSYS) {
        return format!("the container or the kernel forbids Landlock: {error}");
    }
    "this kernel has no Landlock, or the container hides it".to_owned()
}

/// What a kernel of this version of the interface cannot hold.
fn lacking(abi: i32) -> Vec<&'static str> {
    let newer = BROUGHT.iter().filter(|(since, _)| abi < *since);
    newer.map(|(_, what)| *what).collect()
}

fn enforce(readable: &[PathBuf]) -> Result<LandlockStatus, RulesetError> {
    let mut ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    for path in readable {
        // What is not there cannot be read either.
        let Ok(at) = PathFd::new(path) else { continue };
        ruleset = ruleset.add_rule(PathBeneath::new(at, reading(path)))?;
    }
    Ok(ruleset.restrict_self()?.landlock)
}

/// A folder is listed as well.
fn reading(path: &std::path::Path) -> BitFlags<AccessFs> {
    if path.is_dir() {
        AccessFs::ReadFile | AccessFs::ReadDir
    } else {
        AccessFs::ReadFile.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_older_kernel_lacks_is_named() {
        for (abi, count) in [
            (1, 4),
            (2, 4),
            (3, 3),
            (4, 2),
            (5, 1),
            (6, 0),
            (7, 0),
            (9, 0),
        ] {
            assert_eq!(lacking(abi).len(), count, "{abi}");
        }
    }
}
