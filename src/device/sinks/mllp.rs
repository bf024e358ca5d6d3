//! The minimal lower layer protocol (HL7 MLLP, release 1): one message in its frame over TCP,
//! and the frame that comes back. Knows of a message only where its parts end.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::{Duration, Instant};

const BEGIN: u8 = 0x0b;
const END: &[u8] = b"\x1c\r";
/// Longest acknowledgement.
const LONGEST: usize = 64 << 10;

/// Sends a message on a connection of its own; gives what is answered. Each step may take
/// as long as `patience`.
pub(super) fn exchange(address: &str, message: &str, patience: Duration) -> Result<Vec<u8>> {
    let mut stream = connect(address, patience)?;
    stream.set_write_timeout(Some(patience))?;
    let frame = [&[BEGIN], message.as_bytes(), END].concat();
    stream.write_all(&frame)?;
    read_frame(&mut stream, Instant::now() + patience)
}

/// The first of the name's addresses that takes the connection.
fn connect(address: &str, patience: Duration) -> Result<TcpStream> {
    let mut failed = Error::from(ErrorKind::AddrNotAvailable);
    for address in address.to_socket_addrs()? {
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => return Ok(stream),
            Err(error) => failed = error,
        }
    }
    Err(failed)
}

fn read_frame(stream: &mut TcpStream, deadline: Instant) -> Result<Vec<u8>> {
    let (mut came, mut bytes) = (Vec::new(), [0; 1024]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ErrorKind::TimedOut.into());
        }
        stream.set_read_timeout(Some(left))?;
        match stream.read(&mut bytes) {
            Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
            Ok(count) => came.extend_from_slice(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                return Err(ErrorKind::TimedOut.into());
            }
            Err(error) => return Err(error),
        }
        if let Some(frame) = framed(&came) {
            return Ok(frame.to_vec());
        }
        if came.len() > LONGEST {
            return Err(ErrorKind::InvalidData.into());
        }
    }
}

/// What stands in the first whole frame; bytes before it belong to nothing.
fn framed(bytes: &[u8]) -> Option<&[u8]> {
    let begin = bytes.iter().position(|byte| *byte == BEGIN)? + 1;
    let rest = &bytes[begin..];
    let end = rest.windows(END.len()).position(|two| two == END)?;
    Some(&rest[..end])
}

#[cfg(test)]
mod tests {
    use super::framed;

    #[test]
    fn a_frame_is_taken_whole_from_whatever_is_around_it() {
        let bytes = b"noise\x0bMSH|\x1cMSA\r\x1c\r\x0bnext";
        assert_eq!(framed(bytes), Some(&b"MSH|\x1cMSA\r"[..]));
        for length in 0..17 {
            assert_eq!(framed(&bytes[..length]), None, "{length}");
        }
    }
}
