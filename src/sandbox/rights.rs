//! Capabilities of a child: all are given up, and no program that it starts gets one back. Called
//! once, by [`begin`](super::begin).

use rustix::thread::{CapabilitySet, CapabilitySets, capabilities, set_capabilities};

use super::{Holding, Role};

/// Gives up all rights beside those of the user.
pub(super) fn give_up(role: Role) -> Holding {
    if let Err(error) = rustix::thread::set_no_new_privs(true) {
        return Holding::Nothing(format!("new privileges cannot be ruled out: {error}"));
    }
    let kept = match role {
        Role::Decoder => CapabilitySet::empty(),
        // Root may run a device on a bundle that is another user's; what may be read at all,
        // Landlock bounds.
        Role::Worker => CapabilitySet::DAC_READ_SEARCH,
    };
    match drop_but(kept) {
        Ok(kept) if kept.is_empty() => Holding::Whole("no capability, no way to one".to_owned()),
        Ok(_) => Holding::Whole("no capability but to read what root may".to_owned()),
        Err(error) => Holding::Partly(format!("capabilities cannot be dropped: {error}")),
    }
}

fn drop_but(kept: CapabilitySet) -> rustix::io::Result<CapabilitySet> {
    let has = capabilities(None)?;
    // Whoever has none need not drop any; a unit may forbid even that.
    if !kept.contains(has.permitted | has.inheritable) {
        let kept = kept & has.permitted;
        let sets = CapabilitySets {
            effective: kept,
            permitted: kept,
            inheritable: CapabilitySet::empty(),
        };
        set_capabilities(None, sets)?;
    }
    Ok(kept & has.permitted)
}
