//! What is wrong on the DICOM side, said in the log now and then: whoever makes trouble must not
//! fill the log. Called by the door, by receiving and by feeding.

use std::time::Instant;

use crate::device::log_throttle::LogThrottle;

/// Kinds of trouble.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Somebody who may not send.
    Stranger,
    /// No seat is free.
    NoSeat,
    /// An association ended before its time.
    Ended,
    /// The disk takes no instance.
    Disk,
    /// The inbox is full.
    InboxFull,
    /// A sender's share of the inbox is.
    ShareFull,
    /// An instance is larger than any may be.
    TooLarge,
    /// An instance cannot be read.
    Unfit,
    /// How much an instance hurries cannot be read in time.
    Slow,
    /// An instance cannot become a case now.
    HeldUp,
}

/// A static, since the log that must not be filled is the process's.
static SAID: LogThrottle<Kind> = LogThrottle::new();

/// Says it, unless one of its kind was said lately.
pub(super) fn say(kind: Kind, what: &str) {
    let Some(line) = SAID.line(kind, what, Instant::now()) else {
        return;
    };
    match kind {
        Kind::Disk | Kind::InboxFull | Kind::ShareFull | Kind::HeldUp => {
            log::error!("dicom: {line}");
        }
        _ => log::warn!("dicom: {line}"),
    }
}
