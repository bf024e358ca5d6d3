//! Decoding in a process of its own: this same program, started again with bounds on
//! memory, time and files.
//!
//! A decoder over hostile bytes may exhaust memory, never end, or be taken over; here it
//! has one image on its standard input, nowhere to go, and ends with it. The parent
//! survives whatever happens and says why there is no image. The child is never told the
//! file's name and writes nothing but its answer.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::str::FromStr;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, Signal, setrlimit};
use serde::{Deserialize, Serialize};

use super::read::{MAX_DECODED_BYTES, decode_frame, too_hard};
use super::{FrameChoice, Image, Origin, Pixels, Said, dicom, open};
use crate::finding::{Refusal, RefusalCode};

/// Address space of a child.
const MEMORY: u64 = 512 << 20;
/// Processor seconds of a child.
const PROCESSOR_SECONDS: u64 = 20;
/// Wall time of a child.
const DEADLINE: Duration = Duration::from_secs(30);
/// Open files of a child: its three streams and those the loader needs.
const FILES: u64 = 8;
/// Most bytes of the line that comes before the pixels.
const MOST_HEAD: usize = 1 << 20;
/// What a child calls its image.
const NAME: &str = "image";
const PRIORITY: &str = "priority";

static PROGRAM: OnceLock<PathBuf> = OnceLock::new();

/// What a child is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wanted {
    /// A picture and what the file says of it.
    Picture(FrameChoice),
    /// Only how much the file says that it hurries.
    Priority,
}

impl fmt::Display for Wanted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Picture(frame) => frame.fmt(f),
            Self::Priority => f.write_str(PRIORITY),
        }
    }
}

impl FromStr for Wanted {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        match word {
            PRIORITY => Ok(Self::Priority),
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

/// The line that a child writes before the pixels.
#[derive(Serialize, Deserialize)]
enum Head {
    Image {
        width: u32,
        height: u32,
        is_rgb: bool,
        said: Box<Said>,
        sha256: String,
        origin: Option<Box<Origin>>,
    },
    Refusal(Refusal),
}

/// The child's side: bounds itself, decodes standard input, writes to standard output.
///
/// # Errors
/// Where the bounds cannot be set or the parent has gone.
pub fn decode_as_child(wanted: Wanted) -> std::io::Result<()> {
    // Whoever started it waits for it; where that one is ended, nobody does.
    #[cfg(target_os = "linux")]
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))?;
    bound(Resource::As, MEMORY)?;
    bound(Resource::Cpu, PROCESSOR_SECONDS)?;
    bound(Resource::Fsize, 0)?;
    bound(Resource::Nofile, FILES)?;
    bound(Resource::Core, 0)?;
    // A decoder's panic is told as a refusal; its words could hold the file's.
    std::panic::set_hook(Box::new(|_| {}));
    let bytes = open::bytes_of(std::io::stdin().lock());
    let mut out = std::io::stdout().lock();
    let frame = match wanted {
        Wanted::Picture(frame) => frame,
        Wanted::Priority => {
            let priority = bytes.ok().and_then(|bytes| dicom::priority(&bytes));
            serde_json::to_writer(&mut out, &priority)?;
            return out.flush();
        }
    };
    let decoded = bytes.map_err(|why| why.refusal(NAME));
    let decoded = decoded.and_then(|bytes| decode_frame(&bytes, NAME, frame));
    let (head, pixels) = match decoded {
        Ok(image) => told(image),
        Err(refusal) => (Head::Refusal(refusal), Vec::new()),
    };
    serde_json::to_writer(&mut out, &head)?;
    out.write_all(b"\n")?;
    out.write_all(&pixels)?;
    out.flush()
}

/// An image as it is written: its head, and its pixels.
fn told(image: Image) -> (Head, Vec<u8>) {
    let (is_rgb, pixels) = match image.pixels {
        Pixels::Luma(bytes) => (false, bytes),
        Pixels::Rgb(bytes) => (true, bytes),
    };
    let head = Head::Image {
        width: image.width,
        height: image.height,
        is_rgb,
        said: Box::new(image.said),
        sha256: image.sha256,
        origin: image.origin,
    };
    (head, pixels)
}

fn bound(resource: Resource, most: u64) -> std::io::Result<()> {
    let limit = Rlimit {
        current: Some(most),
        maximum: Some(most),
    };
    setrlimit(resource, limit)?;
    Ok(())
}

/// The parent's side.
pub(super) fn decode(
    program: &Path,
    file: File,
    frame: FrameChoice,
    name: &str,
) -> Result<Image, Refusal> {
    let (bytes, status) = ask(program, file, Wanted::Picture(frame), name)?;
    understand(&bytes, name).unwrap_or_else(|| Err(ended(name, status)))
}

/// The parent's side of [`super::priority`].
pub(super) fn priority(program: &Path, file: File) -> Option<String> {
    let (bytes, _) = ask(program, file, Wanted::Priority, NAME).ok()?;
    serde_json::from_slice(&bytes).ok()?
}

/// All that a child says, and how it ended.
fn ask(
    program: &Path,
    file: File,
    wanted: Wanted,
    name: &str,
) -> Result<(Vec<u8>, Option<ExitStatus>), Refusal> {
    let mut child = Command::new(program)
        .args(["decode-image", &wanted.to_string()])
        .env_clear()
        .stdin(file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| fault(name, &format!("no process to decode it in: {error}")))?;
    let said = hear(&mut child, Instant::now() + DEADLINE);
    // Whatever it may still be doing, it is done.
    let _ = child.kill();
    let status = child.wait().ok();
    match said {
        Ok(bytes) => Ok((bytes, status)),
        Err(error) if error.kind() == ErrorKind::TimedOut => {
            let seconds = DEADLINE.as_secs();
            Err(too_hard(
                name,
                &format!("it was not decoded within {seconds} seconds"),
            ))
        }
        Err(error) => Err(fault(name, &error.to_string())),
    }
}

/// All that the child writes, until it closes its output.
fn hear(child: &mut Child, deadline: Instant) -> std::io::Result<Vec<u8>> {
    let mut out = child.stdout.take().ok_or(ErrorKind::BrokenPipe)?;
    let most = MAX_DECODED_BYTES as usize + MOST_HEAD;
    let (mut bytes, mut buffer) = (Vec::new(), vec![0; 1 << 16]);
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let left = Timespec::try_from(left).map_err(|_| ErrorKind::InvalidInput)?;
        match poll(&mut [PollFd::new(&out, PollFlags::IN)], Some(&left)) {
            Ok(0) => return Err(ErrorKind::TimedOut.into()),
            Ok(_) => {}
            // A signal came; how long there is left is looked at again.
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error.into()),
        }
        match out.read(&mut buffer)? {
            0 => return Ok(bytes),
            count if bytes.len() + count > most => return Err(ErrorKind::FileTooLarge.into()),
            count => bytes.extend_from_slice(&buffer[..count]),
        }
    }
}

/// The child's answer; `None` where it did not finish its sentence.
fn understand(bytes: &[u8], name: &str) -> Option<Result<Image, Refusal>> {
    let end = bytes.iter().position(|&byte| byte == b'\n')?;
    match serde_json::from_slice(&bytes[..end]).ok()? {
        Head::Refusal(refusal) => {
            let message = refusal
                .message
                .strip_prefix(NAME)
                .map_or_else(|| refusal.message.clone(), |rest| format!("{name}{rest}"));
            Some(Err(Refusal { message, ..refusal }))
        }
        Head::Image {
            width,
            height,
            is_rgb,
            said,
            sha256,
            origin,
        } => {
            let pixels = bytes[end + 1..].to_vec();
            let channels = if is_rgb { 3 } else { 1 };
            if pixels.len() as u64 != u64::from(width) * u64::from(height) * channels {
                return None;
            }
            Some(Ok(Image {
                width,
                height,
                pixels: if is_rgb {
                    Pixels::Rgb(pixels)
                } else {
                    Pixels::Luma(pixels)
                },
                said: *said,
                sha256,
                origin,
            }))
        }
    }
}

/// Why a child ended without an answer.
fn ended(name: &str, status: Option<ExitStatus>) -> Refusal {
    let signal = status.and_then(|status| status.signal());
    let why = match signal {
        Some(signal) if signal == Signal::XCPU.as_raw() || signal == Signal::KILL.as_raw() => {
            format!("it was not decoded within {PROCESSOR_SECONDS} seconds of work")
        }
        Some(signal) if signal == Signal::ABORT.as_raw() => {
            format!(
                "the decoder gave up, or asked for more than {} MiB",
                MEMORY >> 20
            )
        }
        _ => "the decoder failed".to_owned(),
    };
    too_hard(name, &why)
}

fn fault(name: &str, why: &str) -> Refusal {
    Refusal::new(
        RefusalCode::DeviceFault,
        format!("{name}: {why}"),
        "check memory and processes of this device, and try again",
    )
}
