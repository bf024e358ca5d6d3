//! Why an archive and this device do not come to terms: each reason has a code of its own, and the
//! way out. Made by the association that the device asks for; told by the archive of `sinks`.

use std::io::{Error, ErrorKind};

/// Why there is no association, or none any more.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    /// No connection.
    #[error("no connection: {0}")]
    Unreachable(Error),
    /// Connected, and no word in time.
    #[error("no answer within {0} seconds")]
    Silent(u64),
    /// It hung up.
    #[error("the connection was closed before the answer")]
    Closed,
    /// What answers speaks another protocol.
    #[error("what answers there does not speak DICOM")]
    NoDicom,
    /// What it says does not fit together.
    #[error("its answer does not fit together")]
    Garbled,
    /// A-ASSOCIATE-RJ: it is not called so.
    #[error("the association was rejected: the called title is not recognised")]
    CalledTitle,
    /// A-ASSOCIATE-RJ: it does not know the device.
    #[error("the association was rejected: the calling title is not recognised")]
    CallingTitle,
    /// A-ASSOCIATE-RJ: it is busy.
    #[error("the association was rejected for now: congestion, or a limit of its own")]
    Congested,
    /// A-ASSOCIATE-RJ for another reason.
    #[error("the association was rejected (result {result}, source {source_}, reason {reason})")]
    Rejected {
        /// 1: for ever; 2: for now.
        result: u8,
        /// Who rejects.
        source_: u8,
        /// Why, in that one's numbers.
        reason: u8,
    },
    /// A-ABORT.
    #[error("the association was aborted (source {0}, reason {1})")]
    Aborted(u8, u8),
}

impl Fault {
    /// A stable word for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => "unreachable",
            Self::Silent(_) => "silent",
            Self::Closed => "closed",
            Self::NoDicom => "no_dicom",
            Self::Garbled => "garbled",
            Self::CalledTitle => "called_title_unknown",
            Self::CallingTitle => "calling_title_unknown",
            Self::Congested => "congested",
            Self::Rejected { .. } => "association_rejected",
            Self::Aborted(..) => "aborted",
        }
    }

    /// What a person can do about it.
    pub fn help(&self) -> &'static str {
        match self {
            Self::Unreachable(_) => {
                "see whether the archive runs, and whether its address and port are those of pacs.to"
            }
            Self::Silent(_) => "see why the archive does not answer: it took the connection",
            Self::Closed | Self::Aborted(..) => "see in the archive's log why it hung up",
            Self::Garbled => "see which program the archive is, and report this with the log",
            Self::NoDicom => {
                "name the archive's DICOM port in pacs.to: another service answers there"
            }
            Self::CalledTitle => "write the archive's own title in pacs.to",
            Self::CallingTitle => {
                "have the archive's operator allow the device's title (dicom.title) and address"
            }
            Self::Congested => "wait: the archive takes no more associations now",
            Self::Rejected { .. } => "see in the archive's log why it rejects the device",
        }
    }

    /// A-ASSOCIATE-RJ's three numbers (PS3.8, 9.3.4).
    pub fn rejected(result: u8, source_: u8, reason: u8) -> Self {
        match (source_, reason) {
            (1, 3) => Self::CallingTitle,
            (1, 7) => Self::CalledTitle,
            (3, 1 | 2) => Self::Congested,
            _ => Self::Rejected {
                result,
                source_,
                reason,
            },
        }
    }

    /// What went wrong with a socket that is connected.
    pub fn of(error: &Error, patience: u64) -> Self {
        match error.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => Self::Silent(patience),
            _ => Self::Closed,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_of_a_rejection_has_its_code() {
        for (numbers, code) in [
            ([1, 1, 3], "calling_title_unknown"),
            ([1, 1, 7], "called_title_unknown"),
            ([2, 3, 1], "congested"),
            ([2, 3, 2], "congested"),
            ([1, 1, 1], "association_rejected"),
            ([1, 2, 2], "association_rejected"),
            ([9, 9, 9], "association_rejected"),
        ] {
            let [result, source_, reason] = numbers;
            assert_eq!(Fault::rejected(result, source_, reason).code(), code);
        }
    }
}
