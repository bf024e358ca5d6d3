//! An image that keeps a device busy for as long as a test likes: a named pipe, which the
//! device opens and then waits for.

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rustix::fs::{CWD, FileType, Mode, OFlags, mknodat};

use super::device::PATIENCE;

/// The pipe.
pub struct Pipe(PathBuf);

impl Pipe {
    /// Lays it.
    pub fn lay(path: &Path) -> Self {
        mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).expect("a pipe");
        Self(path.to_owned())
    }

    /// Its path.
    pub fn path(&self) -> String {
        self.0.display().to_string()
    }

    /// Waits until the device has opened it, and lets it go on: it read nothing.
    pub fn let_go(&self) {
        let begin = Instant::now();
        let open = || {
            OpenOptions::new()
                .write(true)
                .custom_flags(OFlags::NONBLOCK.bits().cast_signed())
                .open(&self.0)
        };
        // Without a reader it cannot be opened for writing.
        while open().is_err() {
            assert!(begin.elapsed() < PATIENCE, "nobody reads the pipe");
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }
}
