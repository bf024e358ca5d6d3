//! An archive (PACS): findings on DICOM images as Structured Report, Segmentation and Secondary
//! Capture, by C-STORE. The UIDs follow from the case, so that an object that is sent twice is the
//! same instance there.
//!
//! Each object goes for itself: one that the archive does not take is left out, and that is said;
//! one that it refuses for now is sent again alone. What was stored is remembered until its case is
//! settled, in memory: after a restart it is sent once more, and is the same instance.

mod outcome;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::time::Duration;

use dicom_object::{DefaultDicomObject, OpenFileOptions};
use dicom_transfer_syntax_registry::entries::{
    EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN,
};

use self::outcome::{Outcome, not_taken};
use super::{AnsweredCase, Delivered, DeliveryError, NotDelivered, Note, Sink, Spec};
use crate::device::dicom::Pacs;
use crate::device::dicom::fault::Fault;
use crate::device::dicom::requested::{Requested, Syntax};
use crate::report::{Case, NotWritten, secondary_capture, segmentation, structured_report};

/// How long a PACS may be silent.
const PATIENCE: Duration = Duration::from_secs(30);
/// An object that the archive says it cannot understand is sent so often; with the waits between,
/// that takes 8 minutes.
const MOST_TRIES: u32 = 10;

/// Where to send, and as whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ArchiveOptions {
    /// The sink's name.
    pub name: String,
    /// The archive.
    pub pacs: Pacs,
    /// The device's own title.
    pub title: String,
    /// Whether what tells whose image it is stays out.
    pub deidentify: bool,
}

/// One archive.
#[derive(Debug)]
pub struct Archive {
    options: ArchiveOptions,
    /// How far the cases are that were sent in part.
    begun: BTreeMap<u64, Progress>,
}

/// One of a case's objects.
struct Object {
    /// What it is, in the word of its file's ending.
    word: &'static str,
    class: String,
    instance: String,
    file: DefaultDicomObject,
}

/// What became of a case's objects so far, by their words.
#[derive(Debug, Default)]
struct Progress {
    settled: BTreeMap<&'static str, Settled>,
    /// How often the others were refused without a clear reason.
    tries: BTreeMap<&'static str, u32>,
}

#[derive(Debug)]
enum Settled {
    /// It is there; and what the archive remarked.
    Stored(Option<String>),
    /// The archive goes without it.
    LeftOut(DeliveryError),
}

impl Archive {
    /// An archive by these options.
    pub fn new(options: ArchiveOptions) -> Self {
        Self {
            options,
            begun: BTreeMap::new(),
        }
    }

    /// Sends what is not settled of these objects; whether all is settled then.
    fn send(&self, objects: &[Object], progress: &mut Progress) -> Result<(), NotDelivered> {
        let mut left: Vec<&Object> = objects.iter().collect();
        left.retain(|object| !progress.settled.contains_key(object.word));
        // What made trouble before does not keep back the others.
        left.sort_by_key(|object| progress.tries_of(object));
        // All are offered, whatever is left: an archive that takes none of them takes no case.
        let classes: Vec<&str> = objects.iter().map(|object| object.class.as_str()).collect();
        let (mut open, mut waits) = (None, None);
        for object in left {
            let mut association = match open.take() {
                Some(association) => association,
                None => self.associate(&classes)?,
            };
            match store(&mut association, object)? {
                Ok(outcome) => {
                    waits = progress.note(object, outcome).or(waits);
                    open = Some(association);
                }
                // Whether it is this object that the archive cannot bear, the next one tells, on
                // an association of its own; one that is silent is silent for all.
                Err(fault) => {
                    let is_silent = matches!(fault, Fault::Silent(_));
                    *progress.tries.entry(object.word).or_default() += 1;
                    waits = Some(self.error_of(&fault));
                    if is_silent {
                        break;
                    }
                }
            }
        }
        if let Some(association) = open {
            association.release();
        }
        waits.map_or(Ok(()), |error| Err(NotDelivered::Refused(error)))
    }

    fn associate(&self, classes: &[&str]) -> Result<Requested, NotDelivered> {
        let ArchiveOptions { pacs, title, .. } = &self.options;
        let asked = Requested::ask(pacs, title, classes, PATIENCE);
        let association = asked.map_err(|fault| NotDelivered::Away(self.error_of(&fault)))?;
        match association.takes_nothing() {
            // A setting of the archive's that a person may change: nothing is given up by that.
            Some(why) => {
                association.release();
                Err(NotDelivered::Away(not_taken(why)))
            }
            None => Ok(association),
        }
    }

    fn error_of(&self, fault: &Fault) -> DeliveryError {
        DeliveryError {
            code: fault.code(),
            why: format!("{}: {fault}", self.options.pacs),
            help: fault.help(),
        }
    }
}

impl Sink for Archive {
    fn spec(&self) -> Spec {
        Spec {
            name: self.options.name.clone(),
            takes_refusals: false,
            needs_image: true,
        }
    }

    fn deliver(&mut self, answered: &AnsweredCase<'_>) -> Result<Delivered, NotDelivered> {
        let drawn = answered.drawn().inspect_err(|why| {
            if matches!(why, NotDelivered::Never(_)) {
                self.begun.remove(&answered.number);
            }
        })?;
        let case = drawn.case(self.options.deidentify);
        if case.image.origin.is_none() {
            // An archive has no place for what belongs to no patient and no study.
            return Err(NotDelivered::Never("not_dicom"));
        }
        let objects = objects(&case)?;
        let mut progress = self.begun.remove(&answered.number).unwrap_or_default();
        if let Err(why) = self.send(&objects, &mut progress) {
            self.begun.insert(answered.number, progress);
            return Err(why);
        }
        progress.end()
    }
}

impl Progress {
    fn tries_of(&self, object: &Object) -> u32 {
        self.tries.get(object.word).copied().unwrap_or(0)
    }

    /// Notes what came of an object; gives why it has to be sent again.
    fn note(&mut self, object: &Object, outcome: Outcome) -> Option<DeliveryError> {
        let settled = match outcome {
            Outcome::Stored(remark) => Settled::Stored(remark),
            Outcome::Never(error) => Settled::LeftOut(error),
            Outcome::Later(error) => return Some(error),
            Outcome::Unclear(error) => {
                let tries = self.tries.entry(object.word).or_default();
                *tries += 1;
                if *tries < MOST_TRIES {
                    return Some(error);
                }
                Settled::LeftOut(error)
            }
        };
        self.settled.insert(object.word, settled);
        None
    }

    /// What a case came to whose objects are all settled.
    fn end(self) -> Result<Delivered, NotDelivered> {
        let mut is_there = false;
        let mut notes = Vec::new();
        for (word, settled) in self.settled {
            match settled {
                Settled::Stored(remark) => {
                    is_there = true;
                    notes.extend(remark.map(|remark| Note::Remark(word, remark)));
                }
                Settled::LeftOut(error) => notes.push(Note::Without(word, error)),
            }
        }
        if is_there {
            return Ok(Delivered { notes });
        }
        let first = notes.into_iter().find_map(|note| match note {
            Note::Without(_, error) => Some(error),
            Note::Remark(..) => None,
        });
        // A case has a report at least, so that one was left out where none is there.
        Err(first.map_or(NotDelivered::Never("not_written"), NotDelivered::Failed))
    }
}

/// The objects of one case. What may not be written, or has nothing to refer to, never will:
/// the rest goes without it.
fn objects(case: &Case<'_>) -> Result<Vec<Object>, NotDelivered> {
    let report = structured_report(case).map_err(not_written)?;
    let mut objects = vec![Object::of("sr", &report)?];
    for (made, word) in [(segmentation(case), "seg"), (secondary_capture(case), "sc")] {
        match made {
            Ok(file) => objects.push(Object::of(word, &file)?),
            Err(error @ NotWritten::Encoding(_)) => return Err(not_written(error)),
            Err(error) => {
                let case = case.id();
                log::warn!("case {case}: sent to the archive without its {word}: {error}");
            }
        }
    }
    Ok(objects)
}

impl Object {
    fn of(word: &'static str, file: &[u8]) -> Result<Self, NotDelivered> {
        let file = OpenFileOptions::new().from_reader(file);
        let file = file.map_err(not_written)?;
        let uid = |uid: &str| uid.trim_end_matches('\0').to_owned();
        Ok(Self {
            word,
            class: uid(file.meta().media_storage_sop_class_uid()),
            instance: uid(file.meta().media_storage_sop_instance_uid()),
            file,
        })
    }

    fn data_set(&self, syntax: Syntax) -> Result<Vec<u8>, NotDelivered> {
        let syntax = match syntax {
            Syntax::Explicit => EXPLICIT_VR_LITTLE_ENDIAN.erased(),
            Syntax::Implicit => IMPLICIT_VR_LITTLE_ENDIAN.erased(),
        };
        let mut data = Vec::new();
        let written = self.file.write_dataset_with_ts(&mut data, &syntax);
        written.map_err(not_written).map(|()| data)
    }
}

/// Sends one object, where its class is taken.
fn store(
    association: &mut Requested,
    object: &Object,
) -> Result<Result<Outcome, Fault>, NotDelivered> {
    let (context, syntax) = match association.context(&object.class) {
        Ok(taken) => taken,
        Err(why) => return Ok(Ok(Outcome::Never(not_taken(why)))),
    };
    let data = object.data_set(syntax)?;
    let uids = [object.class.as_str(), object.instance.as_str()];
    Ok(association.store(context, uids, &data).map(Outcome::of))
}

fn not_written(why: impl Display) -> NotDelivered {
    NotDelivered::Refused(DeliveryError {
        code: "not_written",
        why: why.to_string(),
        help: "report this with the log: the device could not write an object",
    })
}

#[cfg(test)]
mod tests {
    use dicom_object::{FileMetaTableBuilder, InMemDicomObject};

    use super::*;

    fn object(word: &'static str) -> Object {
        let meta = FileMetaTableBuilder::new()
            .media_storage_sop_class_uid("1.2")
            .media_storage_sop_instance_uid("1.2.3")
            .transfer_syntax("1.2.840.10008.1.2.1");
        let file = InMemDicomObject::new_empty().with_meta(meta).unwrap();
        Object {
            word,
            class: "1.2".to_owned(),
            instance: "1.2.3".to_owned(),
            file,
        }
    }

    #[test]
    fn what_cannot_be_understood_is_given_up_after_some_tries_and_no_storage_is_ever() {
        let (report, picture) = (object("sr"), object("sc"));
        let mut progress = Progress::default();
        for status in [0xa700, 0xa700, 0xa700].repeat(10) {
            let why = progress.note(&picture, Outcome::of(status));
            assert_eq!(why.unwrap().code, "out_of_resources");
        }
        for _ in 1..MOST_TRIES {
            let why = progress.note(&report, Outcome::of(0xc000));
            assert_eq!(why.unwrap().code, "not_understood");
        }
        assert!(progress.note(&report, Outcome::of(0xc000)).is_none());
        assert!(progress.note(&picture, Outcome::of(0xb000)).is_none());
        let notes = progress.end().unwrap().notes;
        let notes: Vec<String> = notes.iter().map(Note::to_string).collect();
        assert_eq!(notes, ["sc: warning_b000", "sr: not_understood"]);
    }

    #[test]
    fn a_case_of_which_nothing_is_there_has_failed() {
        let mut progress = Progress::default();
        progress.note(&object("sr"), Outcome::of(0xa900));
        let failed = progress.end().unwrap_err();
        let NotDelivered::Failed(error) = failed else {
            panic!("{failed:?}");
        };
        assert_eq!(error.code, "data_set_refused");
    }
}
