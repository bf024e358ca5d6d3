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
use std::io::{ErrorKind, Read};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::Signal;

use super::limits::{MAX_DECODED_BYTES, too_hard};
use super::{FrameChoice, Image};
use crate::case::{Refusal, RefusalCode};
use crate::sandbox::{DECODER_MEMORY, DECODER_SECONDS, Report};

use answer::{Head, understand};

pub use child::{decode_as_child, decode_as_child_by};

/// Wall time of a child.
const DEADLINE: Duration = Duration::from_secs(30);
/// For an image's priority, which nobody else's image may wait for long.
const PRIORITY_DEADLINE: Duration = Duration::from_secs(3);
/// How often whoever waits is asked whether it still does.
const TURN: Duration = Duration::from_millis(500);
/// Most bytes of the line that comes before the pixels.
const MOST_HEAD: usize = 1 << 20;
const PRIORITY: &str = "priority";
const SANDBOX: &str = "sandbox";

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// What a child is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A picture and what the file says of it.
    Picture(FrameChoice),
    /// Only how much the file says that it hurries.
    Priority,
    /// What holds of its confinement; its input is not read.
    Sandbox,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Picture(frame) => frame.fmt(f),
            Self::Priority => f.write_str(PRIORITY),
            Self::Sandbox => f.write_str(SANDBOX),
        }
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            PRIORITY => Ok(Self::Priority),
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
    } = ask(program, file.into(), Wanted::Picture(frame), waits);
    let said = match said {
        Ok(bytes) => understand(bytes).unwrap_or_else(|| Err(ended(status))),
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
    let ended = ask(program, file.into(), Wanted::Priority, &mut waits);
    let said = ended.said.ok();
    Decoded {
        said: said.and_then(|bytes| serde_json::from_slice(&bytes).ok()?),
        processor: ended.processor,
    }
}

/// What confines a child of this program on this system; `None` where none can be started.
pub fn sandbox_of_child() -> Option<Report> {
    let ended = ask(program()?, Stdio::null(), Wanted::Sandbox, &mut || true);
    serde_json::from_slice(&ended.said.ok()?).ok()
}

/// Why a child was not heard to its end.
enum Unheard {
    /// It took too long.
    Late,
    /// Whoever asked no longer waited.
    Stopped,
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
struct Ended {
    said: Result<Vec<u8>, Unheard>,
    status: Option<ExitStatus>,
    processor: Duration,
}

/// All that a child says, and how it ended.
fn ask(program: &Path, input: Stdio, wanted: Wanted, waits: &mut dyn FnMut() -> bool) -> Ended {
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
    let said = hear(&mut child, Instant::now() + DEADLINE, waits);
    // Whatever it may still be doing, it is done.
    let _ = child.kill();
    let (status, processor) = reap(child);
    Ended {
        said,
        status,
        processor,
    }
}

/// How a child ended, and its processor time: only whoever takes an ended child off the system
/// is told what that one took, and not what others did meanwhile.
fn reap(mut child: Child) -> (Option<ExitStatus>, Duration) {
    #[cfg(target_os = "linux")]
    {
        let pid = child.id().cast_signed();
        loop {
            let mut status = 0;
            let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
            // SAFETY: both places are valid for writing as long as the call takes, and of the
            // types that it writes. The child is ours and nobody waited for it, so the number
            // is no other process'; it is dropped below, and never waited for again.
            #[allow(unsafe_code)]
            let waited = unsafe { libc::wait4(pid, &raw mut status, 0, usage.as_mut_ptr()) };
            if waited == pid {
                // SAFETY: the call wrote it; all zeros, as before, would be a value as well.
                #[allow(unsafe_code)]
                let usage = unsafe { usage.assume_init() };
                let spent = span(usage.ru_utime) + span(usage.ru_stime);
                return (Some(ExitStatus::from_raw(status)), spent);
            }
            if std::io::Error::last_os_error().kind() != ErrorKind::Interrupted {
                break;
            }
        }
    }
    (child.wait().ok(), Duration::ZERO)
}

#[cfg(target_os = "linux")]
fn span(time: libc::timeval) -> Duration {
    let seconds = time.tv_sec.try_into().unwrap_or(0);
    let micros = time.tv_usec.try_into().unwrap_or(0);
    Duration::from_secs(seconds) + Duration::from_micros(micros)
}

/// All that the child writes, until it closes its output.
fn hear(
    child: &mut Child,
    deadline: Instant,
    waits: &mut dyn FnMut() -> bool,
) -> Result<Vec<u8>, Unheard> {
    let closed = || Unheard::from(std::io::Error::from(ErrorKind::BrokenPipe));
    let mut out = child.stdout.take().ok_or_else(closed)?;
    let most = MAX_DECODED_BYTES as usize + MOST_HEAD;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        if !waits() {
            return Err(Unheard::Stopped);
        }
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(Unheard::Late);
        }
        let turn = Timespec::try_from(left.min(TURN)).unwrap_or_default();
        match poll(&mut [PollFd::new(&out, PollFlags::IN)], Some(&turn)) {
            // A turn is over, or a signal came: how long there is left is looked at again.
            Ok(0) | Err(Errno::INTR) => continue,
            Ok(_) => {}
            Err(error) => return Err(std::io::Error::from(error).into()),
        }
        match out.read(&mut buffer)? {
            0 => return Ok(bytes),
            count if bytes.len() + count > most => {
                return Err(std::io::Error::from(ErrorKind::FileTooLarge).into());
            }
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
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
