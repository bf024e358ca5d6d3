//! How much memory one run may take: what was asked for, or what the system has free.
//!
//! A plan knows its need beforehand, so that a device refuses a case it has no room for
//! rather than being killed over it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::LazyLock;
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
    let [system, limit, used] = &*SAYS;
    let system = text(system.as_ref()?)?;
    let line = system
        .lines()
        .find_map(|line| line.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    let number = |file: &Option<File>| -> Option<u64> { text(file.as_ref()?)?.trim().parse().ok() };
    let group = number(limit).map(|limit| limit.saturating_sub(number(used).unwrap_or(0)));
    Some(group.map_or(kib << 10, |group| group.min(kib << 10)))
}

/// Where the system says it: opened once, since a confined process opens nothing later.
static SAYS: LazyLock<[Option<File>; 3]> = LazyLock::new(|| {
    let paths = [
        "/proc/meminfo",
        "/sys/fs/cgroup/memory.max",
        "/sys/fs/cgroup/memory.current",
    ];
    paths.map(|path| File::open(path).ok())
});

/// What a file of the system says now; more than its beginning is not needed.
fn text(file: &File) -> Option<String> {
    let mut bytes = [0; 1 << 12];
    let length = file.read_at(&mut bytes, 0).ok()?;
    Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
}
