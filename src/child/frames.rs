//! Messages over a pipe: postcard, each behind its length in four bytes, little-endian. In go
//! typed values, out come bytes, and back. Of what is heard nothing is kept that is longer than
//! the hearer says; whether it can be believed is for the hearer to look at.

use std::io::{Error, ErrorKind, Read, Result, Write};
use std::os::fd::AsFd;
use std::time::Instant;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A message as it is said.
///
/// # Errors
/// Where it is too long.
pub fn bytes_of(message: &impl Serialize) -> Result<Vec<u8>> {
    let mut bytes = vec![0; size_of::<u32>()];
    bytes = postcard::to_extend(message, bytes).map_err(invalid)?;
    let length = bytes.len() - size_of::<u32>();
    let length = u32::try_from(length).map_err(invalid)?;
    bytes[..size_of::<u32>()].copy_from_slice(&length.to_le_bytes());
    Ok(bytes)
}

/// Says something.
///
/// # Errors
/// Where the other end has gone.
pub fn write(to: &mut impl Write, message: &impl Serialize) -> Result<()> {
    // One write: a message is there whole or, where its writer ends, is none.
    to.write_all(&bytes_of(message)?)?;
    to.flush()
}

/// Hears messages from a pipe.
#[derive(Debug)]
pub struct Inbox<R> {
    from: R,
    longest: u32,
    bytes: Vec<u8>,
}

impl<R: Read + AsFd> Inbox<R> {
    /// Nothing was heard yet; a message of more than `longest` bytes is none.
    pub fn new(from: R, longest: u32) -> Self {
        Self {
            from,
            longest,
            bytes: Vec::new(),
        }
    }

    /// The next message; `None` where the other end has gone.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] where none was whole by the deadline, and where what came is
    /// no message.
    pub fn next<M: DeserializeOwned>(&mut self, deadline: Option<Instant>) -> Result<Option<M>> {
        loop {
            if let Some(message) = self.whole()? {
                return Ok(Some(message));
            }
            if !self.hear(deadline)? {
                return Ok(None);
            }
        }
    }

    /// All that comes after the last message, until the other end has gone.
    ///
    /// # Errors
    /// [`ErrorKind::TimedOut`] where it has not gone by the deadline: what was heard is kept, so
    /// this may be asked again. [`ErrorKind::FileTooLarge`] where there is more than `most`.
    pub fn rest(&mut self, most: usize, deadline: Option<Instant>) -> Result<Vec<u8>> {
        while self.hear(deadline)? {
            if self.bytes.len() > most {
                return Err(ErrorKind::FileTooLarge.into());
            }
        }
        Ok(std::mem::take(&mut self.bytes))
    }

    /// Hears some more bytes; false where the other end has gone.
    fn hear(&mut self, deadline: Option<Instant>) -> Result<bool> {
        let mut buffer = [0; 1 << 16];
        loop {
            wait_for(&self.from, deadline)?;
            match self.from.read(&mut buffer) {
                Ok(count) => {
                    self.bytes.extend_from_slice(&buffer[..count]);
                    return Ok(count > 0);
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn whole<M: DeserializeOwned>(&mut self) -> Result<Option<M>> {
        let Some((length, rest)) = self.bytes.split_first_chunk() else {
            return Ok(None);
        };
        let length = u32::from_le_bytes(*length);
        if length > self.longest {
            return Err(ErrorKind::InvalidData.into());
        }
        let Some(body) = rest.get(..length as usize) else {
            return Ok(None);
        };
        let message = postcard::from_bytes(body).map_err(invalid)?;
        self.bytes.drain(..size_of::<u32>() + length as usize);
        Ok(Some(message))
    }
}

fn invalid(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Error {
    Error::new(ErrorKind::InvalidData, error)
}

fn wait_for(from: &impl AsFd, deadline: Option<Instant>) -> Result<()> {
    loop {
        let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
        let left = left.map(Timespec::try_from).transpose().map_err(invalid)?;
        match poll(&mut [PollFd::new(from, PollFlags::IN)], left.as_ref()) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Ok(_) => return Ok(()),
            // A signal came; how long there is left is looked at again.
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn silence_and_noise_are_told_from_messages() {
        let (read, mut written) = std::io::pipe().unwrap();
        let mut inbox = Inbox::new(read, 1 << 20);
        written.write_all(&[1, 0, 0]).unwrap();
        let error = inbox.next::<bool>(Some(Instant::now())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        written.write_all(&[0, 0xff]).unwrap();
        assert!(inbox.next::<bool>(None).is_err());
        let (read, mut written) = std::io::pipe().unwrap();
        written.write_all(&u32::MAX.to_le_bytes()).unwrap();
        assert!(Inbox::new(read, 1 << 20).next::<bool>(None).is_err());
    }

    #[test]
    fn what_comes_after_the_last_message_is_heard_to_its_end() {
        let (read, mut written) = std::io::pipe().unwrap();
        let mut inbox = Inbox::new(read, 16);
        write(&mut written, &7_u32).unwrap();
        written.write_all(b"pix").unwrap();
        assert_eq!(inbox.next::<u32>(None).unwrap(), Some(7));
        let error = inbox.rest(6, Some(Instant::now())).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TimedOut);
        written.write_all(b"els").unwrap();
        drop(written);
        assert_eq!(inbox.rest(6, None).unwrap(), b"pixels");
    }

    #[test]
    fn more_than_is_heard_is_an_error() {
        let (read, mut written) = std::io::pipe().unwrap();
        written.write_all(b"pixels").unwrap();
        drop(written);
        let error = Inbox::new(read, 16).rest(5, None).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::FileTooLarge);
    }
}
