//! A client of the control socket of a device on this computer.
//!
//! Everything that is asked may be asked twice, so a connection that breaks is opened again
//! and the request repeated, until the patience is over: a device that restarts only takes
//! longer.

use std::io::{BufRead, BufReader, Error, ErrorKind, Result as IoResult, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde::de::DeserializeOwned;

use super::ClientError;
use crate::control::{Accepted, Refused, Request, Submit, Waited, unpack};

/// Between two tries to reach the device.
const RETRY: Duration = Duration::from_millis(200);
/// For the device to take bytes, and to answer beyond what it was told to wait.
const DEADLINE: Duration = Duration::from_secs(90);

/// The system knows no shorter deadline than one that is none.
const SHORTEST: Duration = Duration::from_millis(1);

/// A connection to a device, opened again when it is lost.
#[derive(Debug)]
pub struct Control {
    path: PathBuf,
    patience: Duration,
    /// All has to be done by then, and how long that was.
    until: Option<(Instant, Duration)>,
    connection: Option<BufReader<UnixStream>>,
}

impl Control {
    /// A client of the socket at `path`; `patience` is how long the device may be away or
    /// its queue full.
    pub fn new(path: &Path, patience: Duration) -> Self {
        Self {
            path: path.to_owned(),
            patience,
            until: None,
            connection: None,
        }
    }

    /// The same, which ends after so long in all: what is asked after that is not done.
    #[must_use]
    pub fn within(self, total: Option<Duration>) -> Self {
        let until = total.map(|total| (Instant::now() + total, total));
        Self { until, ..self }
    }

    /// How much of the total time is left.
    fn left(&self) -> Result<Duration, ClientError> {
        let Some((until, total)) = self.until else {
            return Ok(Duration::MAX);
        };
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(ClientError::TimeIsUp {
                seconds: total.as_secs(),
                cases: Vec::new(),
            });
        }
        Ok(left)
    }

    /// Looks once whether a device listens there.
    ///
    /// # Errors
    /// [`ClientError::Socket`].
    pub fn reach(&mut self) -> Result<(), ClientError> {
        let reached = self.connect().map(drop);
        reached.map_err(|error| self.lost(error))
    }

    /// Asks for a case for an image. Where the queue is full, `Err` comes only after the
    /// patience.
    ///
    /// # Errors
    /// [`ClientError`] where no device answers; the inner error where it refuses.
    pub fn submit(
        &mut self,
        submit: &Submit,
        image: &[u8],
    ) -> Result<Result<Accepted, Refused>, ClientError> {
        let until = Instant::now() + self.patience;
        loop {
            let answer = self.ask(&Request::Submit(submit.clone()), image)?;
            let again = match &answer {
                Err(refused) => refused.retry_ms.map(Duration::from_millis),
                Ok(_) => None,
            };
            match again {
                // Where the time is up first, why it was refused says more.
                Some(wait)
                    if Instant::now() + wait < until
                        && self.left().is_ok_and(|left| wait < left) =>
                {
                    std::thread::sleep(wait);
                }
                _ => return Ok(answer),
            }
        }
    }

    /// Where a case stands, once it has ended or so many seconds are over.
    ///
    /// # Errors
    /// As [`Control::submit`].
    pub fn wait(
        &mut self,
        case: u64,
        seconds: u32,
    ) -> Result<Result<Waited, Refused>, ClientError> {
        let left = self.left()?.as_secs().saturating_add(1);
        let seconds = seconds.min(u32::try_from(left).unwrap_or(u32::MAX));
        self.ask(&Request::Wait { case, seconds }, &[])
    }

    /// Asks anything; `bytes` follow the request's line.
    ///
    /// # Errors
    /// As [`Control::submit`].
    pub fn ask<T: DeserializeOwned>(
        &mut self,
        request: &Request,
        bytes: &[u8],
    ) -> Result<Result<T, Refused>, ClientError> {
        let until = Instant::now() + self.patience;
        loop {
            let left = self.left()?;
            let error = match self.try_once(request, bytes, left) {
                Ok(line) => {
                    return unpack(&line).map_err(|_| ClientError::Answer {
                        path: self.path.clone(),
                    });
                }
                Err(error) => error,
            };
            self.connection = None;
            let left = self.left()?;
            if Instant::now() >= until {
                return Err(self.lost(error));
            }
            std::thread::sleep(RETRY.min(left));
        }
    }

    fn lost(&self, error: Error) -> ClientError {
        let path = self.path.clone();
        ClientError::Socket { path, error }
    }

    fn try_once(&mut self, request: &Request, bytes: &[u8], left: Duration) -> IoResult<Vec<u8>> {
        let connection = self.connect()?;
        let deadline = Some(left.clamp(SHORTEST, DEADLINE));
        connection.get_ref().set_read_timeout(deadline)?;
        connection.get_ref().set_write_timeout(deadline)?;
        let mut line = serde_json::to_vec(request)?;
        line.push(b'\n');
        let stream = connection.get_mut();
        // A device that refuses may hang up on the bytes: what it said before counts.
        let sent = stream
            .write_all(&line)
            .and_then(|()| stream.write_all(bytes));
        let mut answer = Vec::new();
        connection.read_until(b'\n', &mut answer)?;
        if answer.last() == Some(&b'\n') {
            return Ok(answer);
        }
        sent.and(Err(Error::from(ErrorKind::UnexpectedEof)))
    }

    fn connect(&mut self) -> IoResult<&mut BufReader<UnixStream>> {
        let connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(UnixStream::connect(&self.path)?),
        };
        Ok(self.connection.insert(connection))
    }
}
