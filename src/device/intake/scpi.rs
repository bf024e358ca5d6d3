//! What was not done, as a number on a line: the only place where errors of the device become
//! SCPI's. Called by console and link alone.

use firmware_host::fault::Fault;

use crate::device::case_error::CaseError;
use crate::device::events::PageError;

impl From<CaseError> for Fault {
    fn from(error: CaseError) -> Self {
        match error {
            CaseError::NoSuchCase => Self::NoSuchCase,
            CaseError::NotFinished => Self::NotFinished,
            CaseError::OtherVersion => Self::OtherVersion,
            CaseError::NoSuchExam => Self::IllegalParameter,
            CaseError::TooManyWaiting => Self::TooManyWaiting,
            CaseError::TooManyRefused => Self::TooManyRefused,
            CaseError::Busy => Self::Busy,
            CaseError::Storage => Self::Storage,
            CaseError::StorageFull => Self::StorageFull,
            CaseError::StoreFull => Self::StoreFull,
            CaseError::Stopping => Self::Stopping,
            CaseError::ImageEmpty => Self::OutOfRange,
            CaseError::ImageTooLarge => Self::ImageTooLarge,
            CaseError::ImageDamaged => Self::ImageDamaged,
            CaseError::PieceOutOfPlace => Self::Message,
            CaseError::NoSuchImage => Self::NoSuchImage,
            CaseError::ImageBusy => Self::ImageBusy,
            CaseError::ImageUnsteady => Self::ImageUnsteady,
            CaseError::ImageTimeout => Self::ImageTimeout,
            CaseError::TimeRefused => Self::TimeRefused,
            CaseError::NotNameable => Self::NotNameable,
            CaseError::RequestReused { highest } => Self::RequestReused { highest },
        }
    }
}

impl From<PageError> for Fault {
    fn from(error: PageError) -> Self {
        match error {
            PageError::NoDisplay => Self::HardwareMissing,
            PageError::NoSuchPage => Self::OutOfRange,
        }
    }
}
