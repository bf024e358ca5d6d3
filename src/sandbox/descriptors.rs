//! Open files, sockets and pipes that a child was born with, beside its three streams: closed.
//! The device opens everything so that no child inherits it; whoever started the device may not
//! have.

use std::fs;

use rustix::io::Errno;

use super::Holding;

/// The first one behind standard input, output and error.
const FIRST: u32 = 3;
/// Where the system can say neither which are open nor close them all at once.
const MOST: u32 = 4096;

/// Closes them; to be called while nothing else of this process has any open.
pub(super) fn close_inherited() -> Holding {
    match close_from(FIRST) {
        Ok(()) => {}
        // Before Linux 5.9.
        Err(_) => open_ones().into_iter().for_each(close),
    }
    Holding::Whole("nothing inherited but its three streams".to_owned())
}

fn close_from(first: u32) -> Result<(), Errno> {
    // SAFETY: a child calls this before it opens anything, on its only thread: no value of
    // this program owns a descriptor from `first` on.
    #[allow(unsafe_code)]
    let closed = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    match closed {
        0 => Ok(()),
        _ => Err(Errno::NOSYS),
    }
}

/// All that are open by what the system says, else all that could be.
fn open_ones() -> Vec<u32> {
    let listed = fs::read_dir("/proc/self/fd").map(|entries| {
        let names = entries.flatten().map(|entry| entry.file_name());
        names
            .filter_map(|name| name.to_str()?.parse().ok())
            .collect()
    });
    // One of those listed was the listing's own, which is closed by now.
    let all: Vec<u32> = listed.unwrap_or_else(|_| (0..MOST).collect());
    all.into_iter().filter(|fd| *fd >= FIRST).collect()
}

fn close(fd: u32) {
    // SAFETY: as above; one that is not open is an error that says so and changes nothing.
    #[allow(unsafe_code)]
    unsafe {
        libc::close(fd.cast_signed());
    }
}
