//! Child processes, which are this same program started again: the worker that runs graphs, and
//! the decoder that reads what others sent.
//!
//! Here is what both share: how the two ends speak over pipes ([`Inbox`], [`write`]), that a child
//! ends with its parent, and what an ended child has cost. What they say to each other is typed
//! where it is said; what a child gives up is [`sandbox`](crate::sandbox)'s. Nothing here starts a
//! process.

mod frames;

use std::io::ErrorKind;
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, ExitStatus};
use std::time::Duration;

pub use frames::{Inbox, bytes_of, write};

/// What both ends must say first: the program, and the form of its messages. The program's file
/// may be replaced under a running device, and postcard does not say what its bytes mean: messages
/// of another form could be misread. The number is raised with every change of a message; tests
/// pin the bytes of each kind.
pub const FORM: &str = concat!("medfocus ", env!("CARGO_PKG_VERSION"), ", messages 5");

/// From now on this process, a child, ends when the thread that started it does: nobody else
/// waits for it, even where it is stuck.
///
/// # Errors
/// The system's.
pub fn end_with_parent() -> std::io::Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    Ok(())
}

/// How a child ended, and its processor time: only whoever takes an ended child off the system
/// is told what that one took, and not what others did meanwhile.
pub fn reap(mut child: Child) -> (Option<ExitStatus>, Duration) {
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
