//! What an archive's word on one object means: stored, tried again, or left out for ever. Statuses
//! and refused contexts come in (PS3.4, B.2.3; PS3.7, annex C), coded reasons go out. Knows no case
//! and sends nothing.

use crate::device::dicom::requested::NotTaken;
use crate::device::sinks::DeliveryError;

/// What came of one object.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The archive has it; and what it remarked.
    Stored(Option<String>),
    /// Later it may be taken.
    Later(DeliveryError),
    /// The standard calls it final, and archives say it of troubles of their own as well: some
    /// more tries tell.
    Unclear(DeliveryError),
    /// It will never be taken.
    Never(DeliveryError),
}

impl Outcome {
    /// What the status of a C-STORE means.
    pub fn of(status: u16) -> Self {
        let error = |code, what: &str, help| DeliveryError {
            code,
            why: format!("the archive answered status {status:04x}: {what}"),
            help,
        };
        match status {
            0 => Self::Stored(None),
            // The UID follows from the image, the bundle and all that the finding says: what is
            // there under it is this very object, sent before.
            0x0111 => Self::Stored(Some("duplicate".to_owned())),
            0x0001 | 0x0107 | 0x0116 | 0xb000..=0xbfff => {
                Self::Stored(Some(format!("warning_{status:04x}")))
            }
            0xa700..=0xa7ff => Self::Later(error(
                "out_of_resources",
                "out of resources",
                "make room in the archive",
            )),
            0xa900..=0xa9ff => Self::Never(error(
                "data_set_refused",
                "the data set does not match its class",
                IN_LOG,
            )),
            0x0122 => Self::Never(class_not_taken(
                "the archive answered status 0122: SOP class not supported",
            )),
            0xc000..=0xcfff => Self::Unclear(error("not_understood", "cannot understand", IN_LOG)),
            0x0124 => Self::Unclear(error(
                "not_authorised",
                "refused, not authorised",
                "have the archive's operator let the device store",
            )),
            0x0110 => Self::Unclear(error("processing_failure", "processing failure", IN_LOG)),
            _ => Self::Unclear(error("store_failed", "failure", IN_LOG)),
        }
    }
}

const IN_LOG: &str = "see in the archive's log why it refuses the object";

/// That objects of a class are not taken.
pub(super) fn not_taken(why: NotTaken) -> DeliveryError {
    match why {
        NotTaken::Class => class_not_taken("abstract syntax not supported"),
        NotTaken::Syntax => DeliveryError {
            code: "syntax_not_taken",
            why: "transfer syntaxes not supported, neither explicit nor implicit little endian"
                .to_owned(),
            help: "have the archive take this kind of object uncompressed",
        },
        NotTaken::Unsaid => DeliveryError {
            code: "context_refused",
            why: "the archive refuses this kind of object and does not say why".to_owned(),
            help: "see in the archive's settings which objects the device may store",
        },
    }
}

fn class_not_taken(why: &str) -> DeliveryError {
    DeliveryError {
        code: "class_not_taken",
        why: why.to_owned(),
        help: "have the archive take this kind of object, or know that it goes without",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_status_is_stored_waits_or_ends() {
        for (status, expected) in [
            (0x0000, "stored"),
            (0x0111, "stored duplicate"),
            (0x0001, "stored warning_0001"),
            (0x0107, "stored warning_0107"),
            (0xb000, "stored warning_b000"),
            (0xbfff, "stored warning_bfff"),
            (0xa700, "later out_of_resources"),
            (0xa7ff, "later out_of_resources"),
            (0xa900, "never data_set_refused"),
            (0xa901, "never data_set_refused"),
            (0x0122, "never class_not_taken"),
            (0xc000, "unclear not_understood"),
            (0xcfff, "unclear not_understood"),
            (0x0110, "unclear processing_failure"),
            (0x0124, "unclear not_authorised"),
            (0x0211, "unclear store_failed"),
            (0xff00, "unclear store_failed"),
        ] {
            let said = match Outcome::of(status) {
                Outcome::Stored(None) => "stored".to_owned(),
                Outcome::Stored(Some(remark)) => format!("stored {remark}"),
                Outcome::Later(error) => format!("later {}", error.code),
                Outcome::Unclear(error) => format!("unclear {}", error.code),
                Outcome::Never(error) => format!("never {}", error.code),
            };
            assert_eq!(said, expected, "{status:04x}");
        }
    }
}
