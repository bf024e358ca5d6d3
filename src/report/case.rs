//! What every form of a finding is written from, and what may be written of whose image it
//! is.
//!
//! UIDs are made from the image, the program, the bundle and the whole finding: sent twice, or
//! made again after a power failure, an output is the same instance; one that says anything
//! else, as after another prompt, is another instance, so that an archive never keeps a stale
//! one in its place.

use dicom_core::VR;
use dicom_core::header::Tag;
use dicom_dictionary_std::tags;
use sha2::{Digest, Sha256};

use serde::Serialize;

use super::Moment;
use crate::case::{
    Anatomy, BundleId, Check, Finding, Labels, MaskReport, PredictionSet, Record, Refusal,
    SOFTWARE, TriageLevel,
};
use crate::focus::Mask;
use crate::image::dicom::fitting::fit;
use crate::image::{Image, Origin};
use crate::patient::{Age, Patient, Sex};

/// Everything that an output needs.
#[derive(Debug, Clone, Copy)]
pub struct Case<'a> {
    /// The record.
    pub record: &'a Record,
    /// Its finding.
    pub finding: &'a Finding,
    /// The exam's title.
    pub title: &'a str,
    /// The image.
    pub image: &'a Image,
    /// The region, in the image's own pixels.
    pub mask: &'a Mask,
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

static UNSAID: Labels = Labels {
    patient_id: None,
    accession: None,
    label: None,
};

impl Case<'_> {
    /// What the case is called.
    pub fn id(&self) -> &str {
        self.record.case.as_deref().unwrap_or_default()
    }

    /// Which bundle answered.
    pub(super) fn bundle(&self) -> &BundleId {
        &self.record.provenance.bundle
    }

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

    /// A value that is carried over, as an object may hold it.
    pub(super) fn fitted(&self, tag: Tag, vr: VR) -> Option<String> {
        fit(tag, vr, self.carried(tag)?).written()
    }

    /// An attribute of the request that the image answers, unless it must not be told.
    pub(super) fn requested(&self, tag: Tag) -> Option<&str> {
        self.origin().filter(|_| !self.deidentify)?.request(tag)
    }

    /// The patient's sex: the source's, else the one that was given, unless it must not be.
    pub(super) fn sex(&self) -> Option<String> {
        let given = self.finding.patient.sex.filter(|_| !self.deidentify);
        let carried = self.fitted(tags::PATIENT_SEX, VR::CS);
        let is_word = |word: &String| word.parse::<Sex>().is_ok();
        carried
            .filter(is_word)
            .or_else(|| given.map(|sex| sex.word().to_owned()))
    }

    /// Whose image it is and what it is called, as its giver said, unless it must not be told.
    pub(super) fn labels(&self) -> &Labels {
        match self.deidentify {
            true => &UNSAID,
            false => &self.record.labels,
        }
    }

    /// What of the body the image shows. Findings of before did not say it.
    pub(super) fn anatomy(&self) -> Anatomy {
        let anatomy = match self.finding.anatomy.is_unsaid() {
            true => self.image.metadata.anatomy(),
            false => self.finding.anatomy.clone(),
        };
        match self.deidentify {
            true => anatomy.deidentified(),
            false => anatomy,
        }
    }

    /// Whether all times of an object are known to be so many minutes before UTC (PS3.3,
    /// C.12.1.1.8): those of the source are as it says, and ours become so; where it has times and
    /// does not say, nobody knows.
    pub(super) fn offset(&self) -> Option<i16> {
        let dates = [tags::STUDY_DATE, tags::STUDY_TIME];
        let has_times = dates.into_iter().any(|tag| self.carried(tag).is_some());
        let said = self.origin().and_then(|origin| origin.offset);
        said.or((!has_times).then_some(0))
    }

    /// Date and time as they stand in an object. Where nothing may tell whose image it is,
    /// they are made up: an answer comes within a minute of its image (PS3.15, table E.1-1,
    /// action D).
    pub(super) fn moment(&self) -> (String, String) {
        if self.deidentify {
            ("19000101".to_owned(), "000000".to_owned())
        } else {
            let now = self.now.before_utc(self.offset().unwrap_or_default());
            (now.date(), now.time())
        }
    }

    /// A UID for `what`: 2.25 and 128 bits of a hash (PS3.5, B.2), marked as a UUID of
    /// one's own making (RFC 9562, version 8).
    pub(super) fn uid(&self, what: &str) -> String {
        let (bundle, deidentify) = (&self.bundle().sha256, self.deidentify);
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

    /// All that the finding says.
    fn said(&self) -> String {
        let said = Said::of(self.id(), self.finding);
        // Texts, numbers and lists of them: there is nothing that JSON could not hold.
        serde_json::to_string(&said).unwrap_or_default()
    }

    /// Program and bundle.
    pub(super) fn maker(&self) -> String {
        let bundle = self.bundle();
        format!("{SOFTWARE}, {} {}", bundle.name, bundle.version)
    }

    /// The line that every output carries.
    pub(super) fn limits(&self) -> String {
        format!(
            "For {} only, not for care. Not checked by a person.",
            self.record.provenance.intended_use.word()
        )
    }
}

/// A finding as UIDs are made from it. Its form never changes: a case that is sent again must be
/// the same instance, whatever version sends it.
#[derive(Serialize)]
struct Said<'a> {
    case: &'a str,
    exam: &'a str,
    answer: usize,
    patient: Patient,
    probabilities: Vec<SaidClass<'a>>,
    prediction_set: &'a Option<PredictionSet>,
    triage_level: TriageLevel,
    mask: &'a MaskReport,
    film: Option<[u32; 4]>,
    focus: &'a str,
    gate: Check,
    guard: Check,
    guard_distance: Option<f64>,
    reasons: &'a [String],
}

#[derive(Serialize)]
struct SaidClass<'a> {
    class: &'a str,
    /// Always empty: labels follow from the bundle, which may have been replaced.
    label: &'static str,
    probability: f64,
}

impl<'a> Said<'a> {
    fn of(case: &'a str, finding: &'a Finding) -> Self {
        let classes = finding.probabilities.iter();
        Self {
            case,
            exam: &finding.exam,
            answer: finding.answer,
            patient: finding.patient,
            probabilities: classes
                .map(|of| SaidClass {
                    class: &of.class,
                    label: "",
                    probability: of.probability,
                })
                .collect(),
            prediction_set: &finding.prediction_set,
            triage_level: finding.triage_level,
            mask: &finding.mask,
            film: finding.film,
            focus: &finding.focus,
            gate: finding.gate,
            guard: finding.guard,
            guard_distance: finding.guard_distance,
            reasons: &finding.reasons,
        }
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
    use super::*;
    use crate::case::{Anatomy, ClassProbability, IntendedUse, Outcome, Provenance, Rle};
    use crate::image;

    /// With everything that a finding may say, or with as little as possible.
    fn finding(is_full: bool) -> Finding {
        let class = |class: &str, probability| ClassProbability {
            class: class.to_owned(),
            label: format!("Label of {class}"),
            probability,
        };
        let patient = Patient {
            age: Age::new(93),
            sex: Some(Sex::F),
        };
        Finding {
            exam: "brain4".to_owned(),
            answer: 1,
            patient: if is_full { patient } else { Patient::default() },
            // Outputs of before did not say it, and are the same instances.
            anatomy: Anatomy {
                body_part: is_full.then(|| "BRAIN".to_owned()),
                ..Anatomy::default()
            },
            probabilities: vec![class("normal", 0.1 + 0.2), class("glioma", 0.7)],
            prediction_set: is_full.then(|| PredictionSet {
                coverage: 0.9,
                by_class: true,
                classes: vec!["glioma".to_owned()],
            }),
            triage_level: TriageLevel::Urgent,
            mask: MaskReport {
                bbox: [1, 2, 3, 4],
                area_fraction: 1.0 / 3.0,
                rle: Rle {
                    size: [8, 9],
                    counts: vec![60, 12],
                },
                predicted_iou: 0.9,
            },
            film: is_full.then_some([5, 6, 70, 80]),
            focus: "crop".to_owned(),
            gate: Check::Passed,
            guard: if is_full {
                Check::Forced
            } else {
                Check::Absent
            },
            guard_distance: is_full.then_some(0.1 + 0.2),
            reasons: vec!["unsure: a person decides".to_owned()],
        }
    }

    /// Made by the program of commit 39cdd1b, version 0.1.0: archives have such instances.
    #[test]
    fn uids_are_those_of_the_version_before() {
        struct Case(&'static str, bool, bool, &'static str);
        for Case(case, is_full, deidentify, known) in [
            Case(
                "17",
                true,
                true,
                "2.25.135950819792958341661813947515815729832",
            ),
            Case(
                "17",
                true,
                false,
                "2.25.60818601726448808629414570864033869677",
            ),
            Case(
                "52334e263d9b4178-brain4",
                false,
                true,
                "2.25.230576710573853784117829298404992080269",
            ),
            Case(
                "52334e263d9b4178-brain4",
                false,
                false,
                "2.25.222821852347409600175671553358969822709",
            ),
        ] {
            let image = Image {
                width: 9,
                height: 8,
                pixels: image::Pixels::Luma(vec![0; 72]),
                metadata: image::ImageMetadata::default(),
                sha256: crate::sha256::Sha256([0xab; 32]),
                origin: None,
            };
            let bundle = BundleId {
                name: "starter".to_owned(),
                version: "1".to_owned(),
                sha256: "cd".repeat(32),
            };
            let by = Provenance::of(&bundle, IntendedUse::Research);
            let finding = finding(is_full);
            let outcome = Outcome::Finding(Box::new(finding.clone()));
            let output = super::Case {
                record: &Record::new(Some(case.to_owned()), "a.png", outcome, by),
                finding: &finding,
                title: "Title",
                image: &image,
                mask: &Mask::new(9, 8, vec![false; 72]),
                now: Moment::now(),
                point: None,
                deidentify,
            };
            assert_eq!(output.uid("instance"), known, "{case} {deidentify}");
        }
    }

    #[test]
    fn a_hashed_uid_is_a_uid() {
        let uid = hashed_uid("anything");
        assert!(uid.len() <= 64 && uid.starts_with("2.25.") && uid != hashed_uid("other"));
    }
}
