//! How much memory the system has free.
//!
//! A plan knows its need beforehand, so that a run that would not fit is refused rather than
//! the whole program being ended over it.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Where the system says what is free: opened once, since a confined process opens nothing
/// later.
pub(super) struct SystemMemory {
    system: Option<File>,
    limit: Option<File>,
    used: Option<File>,
}

impl SystemMemory {
    pub fn open() -> Self {
        let open = |path: &str| File::open(path).ok();
        Self {
            system: open("/proc/meminfo"),
            limit: open("/sys/fs/cgroup/memory.max"),
            used: open("/sys/fs/cgroup/memory.current"),
        }
    }

    /// Bytes that Linux says can be had without swapping, and no more than the control group's
    /// limit leaves; `None` where nobody says.
    pub fn available(&self) -> Option<u64> {
        let system = text(self.system.as_ref()?)?;
        let line = system
            .lines()
            .find_map(|line| line.strip_prefix("MemAvailable:"))?;
        let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
        let number =
            |file: &Option<File>| -> Option<u64> { text(file.as_ref()?)?.trim().parse().ok() };
        let group = number(&self.limit);
        let group = group.map(|limit| limit.saturating_sub(number(&self.used).unwrap_or(0)));
        Some(group.map_or(kib << 10, |group| group.min(kib << 10)))
    }
}

/// Bytes of memory that can be had now; `None` where the system does not say.
#[must_use]
pub fn available_memory() -> Option<u64> {
    SystemMemory::open().available()
}

/// What a file of the system says now; more than its beginning is not needed.
fn text(file: &File) -> Option<String> {
    let mut bytes = [0; 1 << 12];
    let length = file.read_at(&mut bytes, 0).ok()?;
    Some(String::from_utf8_lossy(&bytes[..length]).into_owned())
}
