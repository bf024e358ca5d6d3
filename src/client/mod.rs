//! Programs that talk to a device. [`Client`] keeps one link open over a serial port;
//! [`Conversation`] sends images over it and takes answers, beginning again whenever the line or
//! the device went away; [`Log`] keeps the answers. [`Control`] talks to a device on the same
//! computer over its socket.
//!
//! Called by `medfocus link` and `medfocus submit`. Nothing here reads an image or answers an exam,
//! and no answer about another image than the one that was sent is taken.

mod answer;
mod control;
mod conversation;
mod log;
mod requests;
mod task;

use std::hash::{BuildHasher, RandomState};
use std::io::{ErrorKind, Read, Write};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

use firmware_host::link::{Change, Endpoint, Role};
use firmware_host::message::{Inbox, Report, Request, pack, unpack};
use firmware_host::wire::{Damage, Run, Splitter, VERSION};

pub use answer::{Answer, Code, Device, Outcome};
pub use control::Control;
pub use conversation::{Conversation, Fetch, Status, Watcher};
pub use log::Log;
pub use requests::Requests;
pub use task::Task;

/// For bytes to be taken by the line.
const DEADLINE: Duration = Duration::from_millis(100);
const TURN: Duration = Duration::from_millis(5);

/// Why a client cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The port is not there or fails.
    #[error("{port}: {error}")]
    Port {
        /// Its path.
        port: String,
        /// Why.
        error: std::io::Error,
    },
    /// Nobody answers.
    #[error("{port}: no device answered within {seconds} s")]
    Silent {
        /// Its path.
        port: String,
        /// How long was waited.
        seconds: u64,
    },
    /// The device's protocol has another version.
    #[error("{port}: the device speaks version {device} of the protocol, this program {VERSION}")]
    Version {
        /// Its path.
        port: String,
        /// The device's version.
        device: u8,
    },
    /// No device listens at its control socket.
    #[error("{}: no device answers: {error}", path.display())]
    Socket {
        /// The socket.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// A device's answer is none that this program knows.
    #[error("{}: the device's answer is not understood", path.display())]
    Answer {
        /// The socket.
        path: PathBuf,
    },
    /// The device answers about another image than it was given.
    #[error("{}: the device's answer, case {case}, is about another image", path.display())]
    OtherImage {
        /// The image that was sent.
        path: PathBuf,
        /// The device's case.
        case: u64,
    },
    /// The total time is over.
    #[error("not everything was answered within {seconds} s{}", named(cases))]
    TimeIsUp {
        /// How long that was.
        seconds: u64,
        /// Cases that the device has and had not answered by then.
        cases: Vec<u64>,
    },
    /// A file of this computer fails.
    #[error("{}: {error}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        error: std::io::Error,
    },
    /// Another process writes to the log.
    #[error("{}: another program is using it", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
    },
}

crate::coded::coded!(ClientError);

impl ClientError {
    /// A stable word for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Port { .. } => "port",
            Self::Silent { .. } => "silent",
            Self::Version { .. } | Self::Answer { .. } => "protocol",
            Self::OtherImage { .. } => "other_image",
            Self::Socket { .. } => "no_device",
            Self::TimeIsUp { .. } => "time_is_up",
            Self::File { .. } | Self::InUse { .. } => "file",
        }
    }

    /// What the user can do.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Port { .. } => "check the cable, the port's name and the right to use it",
            Self::Silent { .. } => "check the cable, the baud rate and that the device runs",
            Self::Version { .. } | Self::Answer { .. } => {
                "use the program and the device of the same release"
            }
            Self::Socket { .. } => {
                "start it with `medfocus serve`, or name its socket with --socket and have the \
                 right to it"
            }
            Self::TimeIsUp { .. } => {
                "what got a number is answered all the same: ask again later, or see what the \
                 device says of itself with medfocus health"
            }
            Self::OtherImage { .. } => {
                "do not use the answer; send the image again and report this"
            }
            Self::File { .. } => "check the path, the right to it and the space left",
            Self::InUse { .. } => "end the other program, or name another file",
        }
    }
}

/// The first cases by number, where there are some.
fn named(cases: &[u64]) -> String {
    const MOST: usize = 8;
    if cases.is_empty() {
        return String::new();
    }
    let words: Vec<String> = cases.iter().take(MOST).map(u64::to_string).collect();
    let more = if cases.len() > MOST { ", ..." } else { "" };
    format!("; not answered yet: case {}{more}", words.join(", "))
}

/// What happened to the link.
#[derive(Debug)]
pub enum Heard {
    /// A link begins; whatever was asked before has to be asked again.
    Opened,
    /// The device says something: a body for [`Heard::report`].
    Said(Vec<u8>),
    /// Nothing, in that time.
    Nothing,
}

impl Heard {
    /// What the device says, where it follows the protocol.
    pub fn report(&self) -> Option<Report<'_>> {
        match self {
            Self::Said(body) => unpack(body),
            _ => None,
        }
    }
}

/// One link over one port, opened again when it is lost.
pub struct Client {
    path: String,
    baud: u32,
    port: Option<Box<dyn serialport::SerialPort>>,
    splitter: Splitter,
    endpoint: Endpoint,
    inbox: Inbox,
    began: Instant,
    /// When the device was last heard.
    heard: Instant,
    patience: Duration,
    nonce: u32,
}

impl Client {
    /// Opens a port at so many bits a second; the link opens with the first
    /// [`Client::hear`]. `patience` is how long the device may be away.
    ///
    /// # Errors
    /// [`ClientError::Port`].
    pub fn open(path: &str, baud: u32, patience: Duration) -> Result<Self, ClientError> {
        let mut client = Self {
            path: path.to_owned(),
            baud,
            port: None,
            splitter: Splitter::default(),
            endpoint: Endpoint::new(Role::Host, baud),
            inbox: Inbox::default(),
            began: Instant::now(),
            heard: Instant::now(),
            patience,
            // Another one than that of whoever used this line before.
            nonce: RandomState::new().hash_one(SystemTime::now()) as u32,
        };
        client.port = Some(client.plug()?);
        Ok(client)
    }

    /// Room for bytes to say: [`Client::say`] takes a whole message where there is as much
    /// as its length.
    pub fn room(&self) -> usize {
        self.endpoint.room()
    }

    /// Says something. False where there is no room for it now, or no link.
    pub fn say(&mut self, request: &Request<'_>) -> bool {
        match pack(request) {
            Some(bytes) if self.endpoint.is_open() && bytes.len() <= self.endpoint.room() => {
                self.endpoint.write(&bytes);
                true
            }
            _ => false,
        }
    }

    /// Whether the device has taken all that was said.
    pub fn is_settled(&self) -> bool {
        self.endpoint.is_settled()
    }

    /// Ends the link.
    pub fn close(mut self) {
        self.endpoint.close();
        // Where this is lost the device notices by the silence.
        let _ = self.speak();
    }

    /// Does what is due on the line, for a few milliseconds at most.
    ///
    /// # Errors
    /// [`ClientError::Silent`], [`ClientError::Port`] or [`ClientError::Version`].
    pub fn hear(&mut self) -> Result<Heard, ClientError> {
        if self.heard.elapsed() > self.patience {
            return Err(ClientError::Silent {
                port: self.path.clone(),
                seconds: self.patience.as_secs(),
            });
        }
        if !self.endpoint.is_alive() {
            self.nonce = self.nonce.wrapping_add(1);
            let now = self.now();
            self.endpoint.open(self.nonce, now);
            self.inbox.forget();
        }
        match self.turn() {
            Ok(heard) => heard,
            Err(_) => {
                self.replug();
                Ok(Heard::Nothing)
            }
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn plug(&self) -> Result<Box<dyn serialport::SerialPort>, ClientError> {
        crate::port::open(&self.path, self.baud, DEADLINE).map_err(|error| ClientError::Port {
            port: self.path.clone(),
            error: error.into(),
        })
    }

    /// The port failed, as when an adapter is pulled: it is tried again until patience ends.
    fn replug(&mut self) {
        self.port = None;
        self.splitter.forget();
        self.endpoint.abandon();
        std::thread::sleep(DEADLINE);
        self.port = self.plug().ok();
    }

    fn turn(&mut self) -> std::io::Result<Result<Heard, ClientError>> {
        if let Some(heard) = self.message() {
            return Ok(Ok(heard));
        }
        let patience = if self.speak()? { Duration::ZERO } else { TURN };
        let mut bytes = [0; 1024];
        let count = self.read(&mut bytes, patience)?;
        let now = self.now();
        let mut opened = false;
        for &byte in &bytes[..count] {
            // Lines are answers of the console, to someone else.
            let Some(Run::Frame(frame)) = self.splitter.push(byte) else {
                continue;
            };
            match frame {
                Ok(packet) => {
                    self.heard = Instant::now();
                    opened |= self.endpoint.receive(&packet, now) == Change::Opened;
                }
                Err(Damage::Version(device)) => {
                    let port = self.path.clone();
                    return Ok(Err(ClientError::Version { port, device }));
                }
                Err(_) => {}
            }
        }
        if opened {
            return Ok(Ok(Heard::Opened));
        }
        Ok(Ok(self.message().unwrap_or(Heard::Nothing)))
    }

    fn message(&mut self) -> Option<Heard> {
        match self.inbox.next(&mut self.endpoint) {
            Ok(body) => body.map(|body| Heard::Said(body.to_vec())),
            Err(_) => {
                self.endpoint.close();
                None
            }
        }
    }

    /// Sends one frame, if one is due.
    fn speak(&mut self) -> std::io::Result<bool> {
        let now = self.now();
        let Some(packet) = self.endpoint.next_packet(now) else {
            return Ok(false);
        };
        let (Some(wire), Some(port)) = (firmware_host::wire::pack(&packet), &mut self.port) else {
            return Ok(false);
        };
        port.set_timeout(DEADLINE)?;
        match port.write_all(&wire) {
            Err(error) if !is_silence(&error) => Err(error),
            // Half a frame is one that the line lost.
            _ => Ok(true),
        }
    }

    fn read(&mut self, bytes: &mut [u8], patience: Duration) -> std::io::Result<usize> {
        let Some(port) = &mut self.port else {
            return Err(ErrorKind::NotConnected.into());
        };
        port.set_timeout(patience)?;
        match port.read(bytes) {
            Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
            Err(error) if is_silence(&error) => Ok(0),
            other => other,
        }
    }
}

fn is_silence(error: &std::io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::TimedOut | ErrorKind::WouldBlock | ErrorKind::Interrupted
    )
}
