//! Why something that was asked of the cases was not done: nothing was accepted, and nothing is
//! half done. Called by every source and sink; knows no line and no number of SCPI (those are
//! `scpi`'s).

use std::time::Duration;

/// Why something that was asked of the cases was not done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
pub enum CaseError {
    /// No case has this number.
    #[error("No such case")]
    NoSuchCase,
    /// The case has no answer yet.
    #[error("Case not finished")]
    NotFinished,
    /// Another version of the program wrote the answer, in a form that this one does not know.
    #[error("Answer of another version")]
    OtherVersion,
    /// The bundle has no such exam.
    #[error("No such exam")]
    NoSuchExam,
    /// As many cases wait as the device holds, or as one source may have waiting.
    #[error("Too many cases waiting")]
    TooManyWaiting,
    /// Too many cases of this source came to nothing of late.
    #[error("Too many of your images were refused of late")]
    TooManyRefused,
    /// A case is running.
    #[error("A case is running")]
    Busy,
    /// The journal or the store cannot be written or read.
    #[error("Storage cannot be written")]
    Storage,
    /// There is hardly any space left on the disk.
    #[error("Storage is nearly full")]
    StorageFull,
    /// The images of cases that wait fill the store.
    #[error("The store of images is full")]
    StoreFull,
    /// The device is being switched off.
    #[error("Device is being switched off")]
    Stopping,
    /// The image has no byte.
    #[error("the image is empty")]
    ImageEmpty,
    /// The image is larger than the device takes.
    #[error("Image too large")]
    ImageTooLarge,
    /// The bytes of an image have another hash than was said.
    #[error("Image damaged")]
    ImageDamaged,
    /// Bytes of an image came that are not the next ones.
    #[error("Message out of place")]
    PieceOutOfPlace,
    /// No image of this hash is stored.
    #[error("No such image")]
    NoSuchImage,
    /// Another source sends this image.
    #[error("Another line sends this image")]
    ImageBusy,
    /// The file was written to while it was copied.
    #[error("The file is still being written")]
    ImageUnsteady,
    /// The file could not be copied in time.
    #[error("Time out error")]
    ImageTimeout,
    /// The file lies in none of the folders that a console may name files of.
    #[error("File in no folder of the console")]
    NotNameable,
    /// No clock shows that time, or this one cannot be set.
    #[error("Time not set")]
    TimeRefused,
    /// The number of a request was used before, for another image, exam or option.
    #[error("Request number in use for another image, exam or option")]
    RequestReused {
        /// The highest number that its asker has used: one above it is free.
        highest: u64,
    },
}

/// When to ask again where something is over before long.
const SOON: Duration = Duration::from_millis(500);
/// The same where too many were refused: the allowance fills slowly.
const LATER: Duration = Duration::from_secs(10);

crate::coded::coded!(CaseError);

impl CaseError {
    /// A stable word for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchCase => "no_such_case",
            Self::NotFinished => "not_finished",
            Self::OtherVersion => "other_version",
            Self::NoSuchExam => "no_such_exam",
            Self::TooManyWaiting => "busy",
            Self::TooManyRefused => "too_many_refused",
            Self::Storage => "storage",
            Self::StorageFull => "storage_full",
            Self::StoreFull => "store_full",
            Self::Stopping => "stopping",
            Self::ImageEmpty => "image_empty",
            Self::ImageTooLarge => "image_too_large",
            Self::ImageDamaged => "image_damaged",
            Self::NoSuchImage => "image_gone",
            Self::ImageBusy => "image_busy",
            Self::ImageUnsteady => "image_unsteady",
            Self::ImageTimeout => "image_timeout",
            Self::NotNameable => "not_nameable",
            Self::TimeRefused => "time_refused",
            Self::RequestReused { .. } => "request_reused",
            // What no program that knows the protocol makes.
            Self::Busy | Self::PieceOutOfPlace => "device_fault",
        }
    }

    /// What to do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::NoSuchCase => "medfocus journal list names the last ones",
            Self::NotFinished => "wait for the case to end",
            Self::OtherVersion => "medfocus journal show says what stands in it",
            Self::NoSuchExam => "name an exam that the bundle has",
            Self::TooManyWaiting | Self::ImageBusy => "ask again after retry_ms",
            Self::TooManyRefused => {
                "send images that the exam is for; the allowance fills again within an hour"
            }
            Self::Storage => "see to the device's disk, and ask again",
            Self::StorageFull => "make room on the device's disk",
            Self::StoreFull => "wait for cases to end, or send less at once",
            Self::Stopping => "ask again after the device's next start",
            Self::ImageEmpty => "send an image of at least one byte",
            Self::ImageTooLarge => "send a smaller one",
            Self::ImageDamaged => "send the bytes that the hash is of",
            Self::NoSuchImage => "send the image again",
            Self::ImageUnsteady => "ask again when the file is whole",
            Self::ImageTimeout => "see to the share that the file lies on",
            Self::NotNameable => "console.folders or --console-folder allows a folder",
            Self::TimeRefused => "give the time that it is now",
            Self::RequestReused { .. } => {
                "take a number above the highest, or draw a new client identity"
            }
            Self::Busy | Self::PieceOutOfPlace => "report this with the message",
        }
    }

    /// When to ask again; `None` where asking again does not help.
    pub fn retry(&self) -> Option<Duration> {
        match self {
            Self::TooManyRefused => Some(LATER),
            Self::TooManyWaiting
            | Self::NotFinished
            | Self::Storage
            | Self::StorageFull
            | Self::StoreFull
            | Self::Stopping
            | Self::NoSuchImage
            | Self::ImageBusy
            | Self::ImageUnsteady
            | Self::ImageTimeout => Some(SOON),
            _ => None,
        }
    }
}
