//! Decoding in a process of its own: this same program, started again, which confines itself
//! before it reads a byte ([`sandbox`](crate::sandbox)).
//!
//! A decoder over hostile bytes may exhaust memory, never end, or be taken over; here it
//! has one image on its standard input, nowhere to go, and ends with it. The parent
//! survives whatever happens and says why there is no image. The child is never told the
//! file's name and writes nothing but its answer, of which nothing is believed that does not
//! fit together.

mod answer;
mod child;

use std::fmt;
use std::fs::File;
use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStdout, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde::de::DeserializeOwned;

use super::limits::{MAX_DECODED_BYTES, too_hard};
use super::{Claims, FrameChoice, Image};
use crate::case::{Refusal, RefusalCode};
use crate::child::{FORM, Inbox, reap};
use crate::sandbox::{DECODER_MEMORY, DECODER_SECONDS, Report};

pub use answer::Checked;
use answer::{Head, understand};

pub use child::{decode_as_child, decode_as_child_by};

/// Wall time of a child.
const DEADLINE: Duration = Duration::from_secs(30);
/// For an image's priority, which nobody else's image may wait for long.
const PRIORITY_DEADLINE: Duration = Duration::from_secs(3);
/// How often whoever waits is asked whether it still does.
const TURN: Duration = Duration::from_millis(500);
/// Most bytes of the message that comes before the pixels.
const MOST_HEAD: u32 = 1 << 20;
const PRIORITY: &str = "priority";
const CHECK: &str = "check";
const SANDBOX: &str = "sandbox";

/// As much of another program's name as is told of.
const LONGEST_NAME: usize = 64;

/// What comes from a child.
type Answers = Inbox<ChildStdout>;

/// The program that decodes, once it was said. A static, so that no caller in this process can read a
/// file unconfined because it was not handed the program.
static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// What a child is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A picture and what the file says of it.
    Picture(FrameChoice),
    /// Only how much the file says that it hurries.
    Priority,
    /// Whether there is a picture in it, and what it says of itself; not the picture.
    Check,
    /// What holds of its confinement; its input is not read.
    Sandbox,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Picture(frame) => frame.fmt(f),
            Self::Priority => f.write_str(PRIORITY),
            Self::Check => f.write_str(CHECK),
            Self::Sandbox => f.write_str(SANDBOX),
        }
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            PRIORITY => Ok(Self::Priority),
            CHECK => Ok(Self::Check),
            SANDBOX => Ok(Self::Sandbox),
            frame => frame.parse().map(Self::Picture),
        }
    }
}

/// From now on every file is decoded by `program decode-image WANTED` as a child.
pub fn isolate(program: &Path) {
    // Said twice, it is the same program.
    let _ = PROGRAM.set(program.to_owned());
}

pub(super) fn program() -> Option<&'static Path> {
    PROGRAM.get().map(PathBuf::as_path)
}

/// What came of a child, and what it cost.
#[derive(Debug)]
pub struct Decoded<T> {
    /// What it said; `None` where whoever asked no longer waited.
    pub said: Option<T>,
    /// The processor time that it took, as the system counted it.
    pub processor: Duration,
}

/// Has a child decode a file, while `waits` says that its answer is still wanted.
pub(super) fn decode(
    program: &Path,
    file: File,
    frame: FrameChoice,
    waits: &mut dyn FnMut() -> bool,
) -> Decoded<Result<Image, Refusal>> {
    let Ended {
        said,
        status,
        processor,
    } = ask(program, file.into(), Wanted::Picture(frame), waits, picture);
    let said = match said {
        Ok(said) => said.unwrap_or_else(|| Err(ended(status))),
        Err(Unheard::Stopped) => {
            return Decoded {
                said: None,
                processor,
            };
        }
        Err(why) => Err(why.refusal()),
    };
    Decoded {
        said: Some(said),
        processor,
    }
}

/// The parent's side of [`super::priority`].
pub(super) fn priority(program: &Path, file: File) -> Decoded<String> {
    let begun = Instant::now();
    let mut waits = || begun.elapsed() < PRIORITY_DEADLINE;
    let word = |from: &mut Answers, turns: &mut Turns<'_>| turns.message::<Option<String>>(from);
    let ended = ask(program, file.into(), Wanted::Priority, &mut waits, word);
    Decoded {
        said: ended.said.ok().flatten().flatten(),
        processor: ended.processor,
    }
}

/// The parent's side of [`super::check`].
pub(super) fn check(program: &Path, file: File, patience: Duration) -> Decoded<Checked> {
    let begun = Instant::now();
    let mut waits = || begun.elapsed() < patience;
    let checked = |from: &mut Answers, turns: &mut Turns<'_>| turns.message(from);
    let Ended {
        said,
        status,
        processor,
    } = ask(program, file.into(), Wanted::Check, &mut waits, checked);
    let said = match said {
        Ok(Some(checked)) => Some(Checked::believed(checked)),
        // The decoder gave up: so it would again.
        Ok(None) => Some(Checked {
            refusal: Some(ended(status)),
            claims: Claims::default(),
        }),
        Err(_) => None,
    };
    Decoded { said, processor }
}

/// What confines a child of this program on this system; `None` where none can be started.
pub fn sandbox_of_child() -> Option<Report> {
    let report = |from: &mut Answers, turns: &mut Turns<'_>| turns.message(from);
    let ended = ask(
        program()?,
        Stdio::null(),
        Wanted::Sandbox,
        &mut || true,
        report,
    );
    ended.said.ok()?
}

/// Why a child was not heard to its end.
enum Unheard {
    /// It took too long.
    Late,
    /// Whoever asked no longer waited.
    Stopped,
    /// It is of another program: the file was replaced.
    Replaced(String),
    /// It could not be started, or not be spoken to.
    Failed(String),
}

impl Unheard {
    fn refusal(&self) -> Refusal {
        match self {
            Self::Late | Self::Stopped => {
                let seconds = DEADLINE.as_secs();
                too_hard(&format!("it was not decoded within {seconds} seconds"))
            }
            Self::Replaced(other) => Refusal::new(
                RefusalCode::DeviceFault,
                format!("the program on the disk is {other} now"),
                "start the device again",
            ),
            Self::Failed(why) => fault(why),
        }
    }
}

impl From<std::io::Error> for Unheard {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(error.to_string())
    }
}

/// A child that has ended.
struct Ended<T> {
    /// `None` where it cannot be understood.
    said: Result<Option<T>, Unheard>,
    status: Option<ExitStatus>,
    processor: Duration,
}

/// What a child says, as `hear` hears it, and how it ended.
fn ask<T>(
    program: &Path,
    input: Stdio,
    wanted: Wanted,
    waits: &mut dyn FnMut() -> bool,
    hear: impl FnOnce(&mut Answers, &mut Turns<'_>) -> Result<Option<T>, Unheard>,
) -> Ended<T> {
    let started = Command::new(program)
        .args(["decode-image", &wanted.to_string()])
        .env_clear()
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn();
    let mut child = match started {
        Ok(child) => child,
        Err(error) => {
            let why = format!("no process to decode it in: {error}");
            return Ended {
                said: Err(Unheard::Failed(why)),
                status: None,
                processor: Duration::ZERO,
            };
        }
    };
    let mut turns = Turns {
        deadline: Instant::now() + DEADLINE,
        waits,
    };
    let said = match child.stdout.take() {
        Some(out) => greeted(&mut Inbox::new(out, MOST_HEAD), &mut turns, hear),
        None => Err(std::io::Error::from(ErrorKind::BrokenPipe).into()),
    };
    // Whatever it may still be doing, it is done.
    let _ = child.kill();
    let (status, processor) = reap(child);
    Ended {
        said,
        status,
        processor,
    }
}

/// Hears a child in turns: between two of them whoever asked is looked at.
struct Turns<'a> {
    deadline: Instant,
    waits: &'a mut dyn FnMut() -> bool,
}

impl Turns<'_> {
    /// What is heard; `None` where it cannot be understood.
    fn hear<T>(
        &mut self,
        mut once: impl FnMut(Option<Instant>) -> std::io::Result<T>,
    ) -> Result<Option<T>, Unheard> {
        loop {
            if !(self.waits)() {
                return Err(Unheard::Stopped);
            }
            let now = Instant::now();
            if now >= self.deadline {
                return Err(Unheard::Late);
            }
            match once(Some(self.deadline.min(now + TURN))) {
                Ok(heard) => return Ok(Some(heard)),
                Err(error) if error.kind() == ErrorKind::TimedOut => {}
                Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(None),
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// One message; `None` where there was none, or none that can be understood.
    fn message<T: DeserializeOwned>(&mut self, from: &mut Answers) -> Result<Option<T>, Unheard> {
        Ok(self.hear(|until| from.next(until))?.flatten())
    }
}

/// Hears a child that says first that it is this very program.
fn greeted<T>(
    from: &mut Answers,
    turns: &mut Turns<'_>,
    hear: impl FnOnce(&mut Answers, &mut Turns<'_>) -> Result<Option<T>, Unheard>,
) -> Result<Option<T>, Unheard> {
    match turns.message::<String>(from)? {
        Some(form) if form == FORM => hear(from, turns),
        Some(other) => {
            // Whoever took over a decoder may say anything.
            let other = other.chars().filter(|c| c.is_ascii_graphic() || *c == ' ');
            Err(Unheard::Replaced(other.take(LONGEST_NAME).collect()))
        }
        None => Ok(None),
    }
}

/// An image or why there is none; `None` where the child did not finish its sentence, or says
/// what cannot be.
fn picture(
    from: &mut Answers,
    turns: &mut Turns<'_>,
) -> Result<Option<Result<Image, Refusal>>, Unheard> {
    let Some(head) = turns.message(from)? else {
        return Ok(None);
    };
    let most = MAX_DECODED_BYTES as usize;
    let pixels = turns.hear(|until| from.rest(most, until))?;
    Ok(pixels.and_then(|pixels| understand(head, pixels)))
}

/// Why a child ended without an answer.
fn ended(status: Option<ExitStatus>) -> Refusal {
    let signal = status.and_then(|status| status.signal());
    let why = match signal {
        Some(signal) if signal == Signal::XCPU.as_raw() || signal == Signal::KILL.as_raw() => {
            format!("it was not decoded within {DECODER_SECONDS} seconds of work")
        }
        Some(signal) if signal == Signal::ABORT.as_raw() => {
            format!(
                "the decoder gave up, or asked for more than {} MiB",
                DECODER_MEMORY >> 20
            )
        }
        Some(signal) if signal == Signal::SYS.as_raw() => {
            log::error!(
                "a decoder was ended: it tried what no decoder does, as one taken over would"
            );
            "the decoder tried what no decoder does, and was ended".to_owned()
        }
        _ => "the decoder failed".to_owned(),
    };
    too_hard(&why)
}

fn fault(why: &str) -> Refusal {
    Refusal::new(
        RefusalCode::DeviceFault,
        why,
        "check memory and processes of this device, and try again",
    )
}
