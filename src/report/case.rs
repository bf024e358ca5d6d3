//! What every form of a finding is written from, and what may be written of whose image it
//! is.
//!
//! UIDs are made from the image, the program, the bundle and the whole finding: sent twice, or
//! made again after a power failure, an output is the same instance; one that says anything
//! else, as after another prompt, is another instance, so that an archive never keeps a stale
//! one in its place.

use dicom_core::header::Tag;
use dicom_dictionary_std::tags;
use sha2::{Digest, Sha256};

use super::{Moment, SOFTWARE};
use crate::bundle::IntendedUse;
use crate::finding::{BundleId, Finding, Refusal};
use crate::focus::Mask;
use crate::image::{Image, Origin};
use crate::patient::{Age, Sex};

/// Everything that an output needs.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The finding.
    pub finding: &'a Finding,
    /// The exam's title.
    pub title: &'a str,
    /// The image.
    pub image: &'a Image,
    /// The region, in the image's own pixels.
    pub mask: &'a Mask,
    /// Which bundle answered.
    pub bundle: &'a BundleId,
    /// What for.
    pub intended_use: IntendedUse,
    /// When.
    pub now: Moment,
    /// Of a device, the signed point of its journal that the finding stands at.
    pub point: Option<&'a str>,
    /// Whether everything that tells whose image it is stays out.
    pub deidentify: bool,
}

/// Why something cannot be written.
#[derive(Debug, thiserror::Error)]
pub enum NotWritten {
    /// It cannot be encoded.
    #[error("it cannot be encoded: {0}")]
    Encoding(String),
    /// There is nothing that it could refer to.
    #[error("a segmentation belongs to a DICOM image; this one came from another file")]
    NoSource,
    /// The picture may tell whose it is.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Case<'_> {
    /// The source object's attributes, where it was a DICOM file.
    pub(super) fn origin(&self) -> Option<&Origin> {
        self.image.origin.as_deref()
    }

    /// A value that is carried over, unless it must not be.
    pub(super) fn carried(&self, tag: Tag) -> Option<&str> {
        self.origin().filter(|_| !self.deidentify)?.text(tag)
    }

    /// The patient's age when the image was taken, unless it must not be told.
    pub(super) fn age(&self) -> Option<Age> {
        self.finding.patient.age.filter(|_| !self.deidentify)
    }

    /// The patient's sex: the source's, else the one that was given, unless it must not be.
    pub(super) fn sex(&self) -> Option<&str> {
        let given = self.finding.patient.sex.filter(|_| !self.deidentify);
        let carried = self.carried(tags::PATIENT_SEX);
        carried.or_else(|| given.map(Sex::word))
    }

    /// Date and time as they stand in an output. Where nothing may tell whose image it is,
    /// they are made up: an answer comes within a minute of its image (PS3.15, table E.1-1,
    /// action D).
    pub(super) fn moment(&self) -> (String, String) {
        if self.deidentify {
            ("19000101".to_owned(), "000000".to_owned())
        } else {
            (self.now.date(), self.now.time())
        }
    }

    /// A UID for `what`: 2.25 and 128 bits of a hash (PS3.5, B.2), marked as a UUID of
    /// one's own making (RFC 9562, version 8).
    pub(super) fn uid(&self, what: &str) -> String {
        let (bundle, deidentify) = (&self.bundle.sha256, self.deidentify);
        let finding = self.said();
        self.uid_of_image(&format!(
            "{what} {SOFTWARE} {bundle} {deidentify} {finding}"
        ))
    }

    /// A UID for what all answers about one image share.
    pub(super) fn uid_of_image(&self, what: &str) -> String {
        let image = &self.image.sha256;
        let frame = self.image.metadata.frame.map_or(1, |(frame, _)| frame);
        hashed_uid(&format!("{what} {image} {frame} {}", self.deidentify))
    }

    /// All that the finding says. Labels follow from the bundle, which may have been replaced
    /// when an output is made again.
    fn said(&self) -> String {
        let mut finding = self.finding.clone();
        for class in &mut finding.probabilities {
            class.label.clear();
        }
        // Texts, numbers and lists of them: there is nothing that JSON could not hold.
        serde_json::to_string(&finding).unwrap_or_default()
    }

    /// Program and bundle.
    pub(super) fn maker(&self) -> String {
        format!("{SOFTWARE}, {} {}", self.bundle.name, self.bundle.version)
    }

    /// The line that every output carries.
    pub(super) fn limits(&self) -> String {
        format!(
            "For {} only, not for care. Not checked by a person.",
            self.intended_use.word()
        )
    }
}

/// The same UID for the same words, and no way back.
pub(super) fn hashed_uid(of: &str) -> String {
    let digest = Sha256::digest(of.as_bytes());
    let mut bytes: [u8; 16] = std::array::from_fn(|i| digest[i]);
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    format!("2.25.{}", u128::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::hashed_uid;

    #[test]
    fn a_hashed_uid_is_a_uid() {
        let uid = hashed_uid("anything");
        assert!(uid.len() <= 64 && uid.starts_with("2.25.") && uid != hashed_uid("other"));
    }
}
