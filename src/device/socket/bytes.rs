//! Bytes from a client, each within its time.

use std::io::{ErrorKind, Read, Result};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

/// How long a client may be silent.
const SILENCE: Duration = Duration::from_secs(60);
/// How long a request may take to come, line and bytes.
const LONGEST: Duration = Duration::from_secs(600);

/// What a client sends, until its time is over.
pub(super) struct Incoming<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl<'a> Incoming<'a> {
    pub fn new(stream: &'a UnixStream) -> Self {
        let until = Instant::now() + LONGEST;
        Self { stream, until }
    }

    /// The next request has its own time.
    pub fn begin(&mut self) {
        self.until = Instant::now() + LONGEST;
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let left = self.until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        self.stream.set_read_timeout(Some(left.min(SILENCE)))?;
        self.stream.read(bytes)
    }
}
