//! How much memory one run may take: what was asked for, or what the system has free.
//!
//! A plan knows its need beforehand, so that a device refuses a case it has no room for
//! rather than being killed over it.

use std::sync::atomic::{AtomicU64, Ordering};

/// Bytes that a run may take; 0 where nothing was asked for.
static BUDGET: AtomicU64 = AtomicU64::new(0);

/// Sets the bytes that a run may take, beside its graph's weights; 0 leaves it to what the
/// system has free.
pub fn set_memory_budget(bytes: u64) {
    BUDGET.store(bytes, Ordering::Relaxed);
}

/// A run that needs more than it may take.
pub(super) struct Lacking {
    pub needed: u64,
    pub allowed: u64,
}

/// Whether a run lacks memory, which takes `whole` bytes and `new` of them from the system:
/// memory that is held already is free there, but counts where a budget was asked for.
pub(super) fn lacking(whole: u64, new: u64) -> Option<Lacking> {
    let (needed, allowed) = match BUDGET.load(Ordering::Relaxed) {
        0 => (new, available_memory()?),
        asked => (whole, asked),
    };
    (needed > allowed).then_some(Lacking { needed, allowed })
}

/// Bytes that Linux says can be had without swapping, and no more than the control group's
/// limit leaves; `None` where nobody says.
pub fn available_memory() -> Option<u64> {
    let system = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = system
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let number = |file: &str| -> Option<u64> {
        std::fs::read_to_string(format!("/sys/fs/cgroup/{file}"))
            .ok()?
            .trim()
            .parse()
            .ok()
    };
    let group = number("memory.max")
        .map(|limit| limit.saturating_sub(number("memory.current").unwrap_or(0)));
    Some(group.map_or(kib << 10, |group| group.min(kib << 10)))
}
