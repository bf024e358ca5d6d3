//! Bytes from a client and to one, each within its time: one that sends or takes them one by
//! one has no more of it than one that is silent.

use std::io::{ErrorKind, Read, Result, Write};
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::device::cases::images::LARGEST;

/// How long a client may be silent, and how long a line may take to come.
const SILENCE: Duration = Duration::from_secs(60);
/// Bytes of an image that must come in a second at least.
const SLOWEST: u64 = 256 << 10;
/// For an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a client sends, until its time is over.
pub(super) struct Incoming<'a> {
    stream: &'a UnixStream,
    until: Instant,
}

impl<'a> Incoming<'a> {
    pub fn new(stream: &'a UnixStream) -> Self {
        let until = Instant::now() + SILENCE;
        Self { stream, until }
    }

    /// The next request has its own time.
    pub fn begin(&mut self) {
        self.until = Instant::now() + SILENCE;
    }

    /// So many bytes follow, and have theirs: as much as an image may take.
    pub fn expect(&mut self, bytes: u64) {
        let seconds = bytes.min(LARGEST.into()) / SLOWEST;
        self.until = Instant::now() + SILENCE + Duration::from_secs(seconds);
    }
}

impl Read for Incoming<'_> {
    fn read(&mut self, bytes: &mut [u8]) -> Result<usize> {
        let left = left(self.until)?;
        self.stream.set_read_timeout(Some(left.min(SILENCE)))?;
        self.stream.read(bytes)
    }
}

/// Sends all of it, or none is sent any more.
pub(super) fn send(mut stream: &UnixStream, mut bytes: &[u8]) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(left(until)?))?;
        match stream.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn left(until: Instant) -> Result<Duration> {
    let left = until.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(ErrorKind::TimedOut.into());
    }
    Ok(left)
}
