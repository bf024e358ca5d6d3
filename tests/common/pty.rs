//! A pseudo-terminal in place of a serial cable.
//!
//! No child process may inherit our end, or the line would stay up after we dropped it;
//! `serialport`'s own pair does not see to that.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

const READ_DEADLINE: Duration = Duration::from_millis(200);

/// Our end of the line.
pub struct End(File);

/// A line whose other end lies at `link`; gives our end, and the other one, which keeps
/// the line up as long as it is held.
pub fn pair(link: &Path) -> (End, File) {
    let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
    let end = openpt(flags).expect("a pseudo-terminal");
    grantpt(&end).and_then(|()| unlockpt(&end)).expect("ours");
    let name = ptsname(&end, Vec::new()).expect("a name");
    let name = name.into_string().expect("UTF-8");
    let other = OpenOptions::new()
        .read(true)
        .custom_flags(rustix::fs::OFlags::NOCTTY.bits().cast_signed())
        .open(&name)
        .expect("the other end");
    // A program of the system's own: an emulator of another CPU may not know the call.
    let stty = Command::new("stty")
        .args(["-F", &name, "raw", "-echo"])
        .status();
    assert!(stty.expect("stty starts").success(), "a raw line");
    let _ = std::fs::remove_file(link);
    symlink(name, link).expect("a link");
    (End(File::from(end)), other)
}

impl End {
    /// The same end, for another thread.
    pub fn again(&self) -> Self {
        Self(self.0.try_clone().expect("another handle"))
    }
}

impl Read for End {
    fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
        let deadline = Timespec::try_from(READ_DEADLINE).expect("short");
        let mut waiting = [PollFd::new(&self.0, PollFlags::IN)];
        match poll(&mut waiting, Some(&deadline))? {
            0 => Err(ErrorKind::TimedOut.into()),
            _ => self.0.read(bytes),
        }
    }
}

impl Write for End {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}
