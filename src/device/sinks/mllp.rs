//! HL7's minimal lower layer protocol (transport specification, release 1): one message in its frame over
//! TCP, and the frames that come back. Knows of a message only where its parts end; whoever asked
//! says whether a frame is its answer.
//!
//! What comes back and is no frame is named as that at once. Tolerated is what receivers do and
//! nobody can misread: blanks, line ends or a byte order mark before a frame, and an end without
//! its carriage return.

use std::io::{Error, ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

const BEGIN: u8 = 0x0b;
const END: u8 = 0x1c;
const MARK: &[u8] = "\u{feff}".as_bytes();
/// Longest acknowledgement.
const LONGEST: usize = 64 << 10;
/// Within a frame, and behind one that answers another message, no pause is longer.
const PAUSE: Duration = Duration::from_secs(2);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// No connection.
    #[error("no connection: {0}")]
    Unreachable(Error),
    /// Connected, and no byte in time.
    #[error("no answer within {0} seconds")]
    Silent(u64),
    /// It hung up without a word.
    #[error("the connection was closed before the answer")]
    Closed,
    /// What came is no frame.
    #[error("the answer is badly framed: {0}")]
    Frame(&'static str),
}

/// Sends a message on a connection of its own; gives what `hear` makes of the first frame that it
/// takes for the answer, and `None` where all that came were answers to others.
pub(super) fn exchange<T>(
    address: &str,
    message: &str,
    patience: Duration,
    mut hear: impl FnMut(&[u8]) -> Option<T>,
) -> Result<Option<T>, Fault> {
    let mut stream = connect(address, patience).map_err(Fault::Unreachable)?;
    let frame = [&[BEGIN], message.as_bytes(), &[END, b'\r']].concat();
    let sent = stream.set_write_timeout(Some(patience));
    sent.and_then(|()| stream.write_all(&frame))
        .map_err(|error| Fault::of(&error, patience))?;
    let mut frames = Frames::new(stream, patience);
    while let Some(frame) = frames.next()? {
        if let Some(answer) = hear(&frame) {
            return Ok(Some(answer));
        }
    }
    Ok(None)
}

impl Fault {
    fn of(error: &Error, patience: Duration) -> Self {
        match error.kind() {
            ErrorKind::TimedOut | ErrorKind::WouldBlock => Self::Silent(patience.as_secs()),
            _ => Self::Closed,
        }
    }
}

/// The first of the name's addresses that takes the connection.
fn connect(address: &str, patience: Duration) -> Result<TcpStream, Error> {
    let mut failed = Error::from(ErrorKind::AddrNotAvailable);
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

/// The frames that come back.
struct Frames {
    stream: TcpStream,
    patience: Duration,
    until: Instant,
    came: Vec<u8>,
    /// A frame came already.
    is_answered: bool,
}

impl Frames {
    fn new(stream: TcpStream, patience: Duration) -> Self {
        Self {
            stream,
            patience,
            until: Instant::now() + patience,
            came: Vec::new(),
            is_answered: false,
        }
    }

    /// The next one; `None` where nothing more comes behind one.
    fn next(&mut self) -> Result<Option<Vec<u8>>, Fault> {
        loop {
            match look(&self.came) {
                Look::Frame { frame, length } => {
                    let frame = self.came[frame].to_vec();
                    self.came.drain(..length);
                    self.is_answered = true;
                    return Ok(Some(frame));
                }
                Look::Broken(why) => return Err(Fault::Frame(why)),
                Look::Nothing | Look::Part => {}
            }
            let has_begun = matches!(look(&self.came), Look::Part);
            match self.read(has_begun || self.is_answered) {
                Ok(()) => {}
                Err(fault) if has_begun => {
                    return Err(Fault::Frame(match fault {
                        Fault::Closed => "the connection was closed before its end (0x1C 0x0D)",
                        _ => "its end (0x1C 0x0D) does not come",
                    }));
                }
                Err(Fault::Silent(_) | Fault::Closed) if self.is_answered => return Ok(None),
                Err(fault) => return Err(fault),
            }
        }
    }

    /// Takes what comes next.
    fn read(&mut self, is_soon: bool) -> Result<(), Fault> {
        let (mut bytes, silent) = ([0; 1024], Fault::Silent(self.patience.as_secs()));
        let left = self.until.saturating_duration_since(Instant::now());
        let wait = if is_soon { left.min(PAUSE) } else { left };
        if wait.is_zero() {
            return Err(silent);
        }
        let read = self.stream.set_read_timeout(Some(wait));
        match read.and_then(|()| self.stream.read(&mut bytes)) {
            Ok(0) => Err(Fault::Closed),
            Ok(count) => {
                self.came.extend_from_slice(&bytes[..count]);
                Ok(())
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => Ok(()),
            Err(error) => Err(Fault::of(&error, self.patience)),
        }
    }
}

/// What the bytes that came are.
#[derive(Debug, PartialEq, Eq)]
enum Look {
    /// Nothing, or what may stand before a frame.
    Nothing,
    /// A frame that has not ended.
    Part,
    /// A whole one, and the bytes that it takes with all around it.
    Frame {
        frame: std::ops::Range<usize>,
        length: usize,
    },
    /// No frame.
    Broken(&'static str),
}

fn look(bytes: &[u8]) -> Look {
    let mut begin = 0;
    while let Some(byte) = bytes.get(begin) {
        begin += match byte {
            b' ' | b'\t' | b'\r' | b'\n' => 1,
            _ if bytes[begin..].starts_with(MARK) => MARK.len(),
            // A mark of which the rest is still to come.
            _ if MARK.starts_with(&bytes[begin..]) => return Look::Nothing,
            _ => break,
        };
    }
    let Some(first) = bytes.get(begin) else {
        return match bytes.len() {
            0..=LONGEST => Look::Nothing,
            _ => Look::Broken("there is nothing but blanks in it"),
        };
    };
    if *first != BEGIN {
        return Look::Broken("it does not begin with 0x0B");
    }
    let rest = &bytes[begin + 1..];
    let end = rest.iter().position(|byte| [BEGIN, END].contains(byte));
    match end {
        Some(end) if end > LONGEST || rest[end] == BEGIN => {
            Look::Broken("it goes on without an end (0x1C 0x0D)")
        }
        Some(end) => {
            let end = begin + 1 + end;
            let has_return = bytes.get(end + 1) == Some(&b'\r');
            Look::Frame {
                frame: begin + 1..end,
                length: end + 1 + usize::from(has_return),
            }
        }
        None if rest.len() > LONGEST => Look::Broken("it goes on without an end (0x1C 0x0D)"),
        None => Look::Part,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_told_from_what_is_none_as_soon_as_it_can_be() {
        let frame = |frame, length| Look::Frame { frame, length };
        let without_end = "it goes on without an end (0x1C 0x0D)";
        let huge = [&[BEGIN][..], &vec![b'A'; LONGEST + 1]].concat();
        let huge_and_ended = [&huge[..], b"\x1c\r"].concat();
        let marked = [MARK, b"\r\n\x0bMSH"].concat();
        for (bytes, expected) in [
            (&b""[..], Look::Nothing),
            (b"\r\n", Look::Nothing),
            (b"\xef\xbb", Look::Nothing),
            (b"\x0bMSH|", Look::Part),
            (&marked, Look::Part),
            (b"\x0bMSH|\r\x1c", frame(1..6, 7)),
            (b"\x0bMSH|\r\x1c\r\x0b", frame(1..6, 8)),
            (b"\n\x0bMSH|\x1c\n", frame(2..6, 7)),
            (b"\x0b\x1c\r", frame(1..1, 3)),
            (b"MSH|^~\\&|", Look::Broken("it does not begin with 0x0B")),
            (b"HTTP/1.1 400", Look::Broken("it does not begin with 0x0B")),
            (b"\xff", Look::Broken("it does not begin with 0x0B")),
            (b"\x0bMSH|\x0bMSH|", Look::Broken(without_end)),
            (&huge, Look::Broken(without_end)),
            (&huge_and_ended, Look::Broken(without_end)),
        ] {
            let start = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]).into_owned();
            assert_eq!(look(bytes), expected, "{start:?}");
        }
    }
}
