//! What the system tells of this process and of itself, on Linux; elsewhere nothing.
//!
//! Three lines of three files are read, every second: the crate `procfs` would read and keep all of
//! each. The worker, which asks for its memory after it gave up opening files, needs one that is held
//! open, which that crate does not have.

use std::fs;

/// The name that the system gave itself when it was started.
pub fn boot_id() -> Option<String> {
    let id = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(id.trim().to_owned())
}

/// Seconds since then; no clock that anybody can set.
pub(super) fn boot_seconds() -> Option<f64> {
    let text = fs::read_to_string("/proc/uptime").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

/// Bytes of memory that a process has.
pub(super) fn resident(pid: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib << 10)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_is_asked_and_not_guessed_at() {
        assert_eq!(boot_id().unwrap().len(), 36);
        assert!(boot_seconds().unwrap() > 0.0);
        assert!(resident(std::process::id()).unwrap() > 1 << 20);
        assert_eq!(resident(0), None);
    }
}
