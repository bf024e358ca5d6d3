//! An ended case as sinks see it: its record, and, for those that draw or refer to the
//! image, everything that a report is written from. The image is read again, and only taken
//! where it is the very one that was answered.

use std::path::Path;
use std::sync::Mutex;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use super::{DeliveryError, NotDelivered};
use crate::bundle::{Class, IntendedUse};
use crate::device::{Cases, lock};
use crate::finding::{BundleId, Finding, TriageLevel};
use crate::focus::Mask;
use crate::image::{self, Image};
use crate::journal::Checkpoint;
use crate::report::{Case, Moment, restored};

/// A decoder may take half a gigabyte: sinks read one image at a time.
static READING: Mutex<()> = Mutex::new(());

/// A case that ended in a finding or a refusal.
#[derive(Debug)]
pub struct Ended<'a> {
    pub(in crate::device) cases: &'a Cases,
    /// Its number.
    pub number: u64,
    /// When its answer was written to the journal.
    pub time: Timestamp,
    /// SHA-256 of the image's file; `None` where it could not be read.
    pub image: Option<String>,
    /// The answer as `--format json` writes it.
    pub record: Value,
    /// The point of the journal that it stands at; `None` for one of before there were any.
    pub point: Option<Checkpoint>,
}

/// What reports of one finding are written from.
#[derive(Debug)]
pub struct Material {
    finding: Finding,
    title: String,
    image: Image,
    mask: Mask,
    bundle: BundleId,
    intended_use: IntendedUse,
    now: Moment,
    point: Option<String>,
}

/// The parts of a record that say who answered.
#[derive(Deserialize)]
struct Provenance {
    bundle: BundleId,
    intended_use: IntendedUse,
}

impl Ended<'_> {
    /// A name for it that no other case of any device has.
    pub fn id(&self) -> String {
        format!("{:016x}-{}", self.cases.device(), self.number)
    }

    /// Reads the image again.
    ///
    /// # Errors
    /// [`NotDelivered::Never`] where the image is gone or is another one now.
    pub fn material(&self) -> Result<Material, NotDelivered> {
        let image = self.read_image()?;
        let Provenance {
            bundle,
            intended_use,
        } = Provenance::deserialize(&self.record).map_err(damaged)?;
        let (title, classes) = self.labels(&bundle);
        let finding = restored(&self.record, &classes).map_err(damaged)?;
        let mask = Mask::from_rle(&finding.mask.rle);
        Ok(Material {
            mask: mask.ok_or_else(|| damaged("the region is damaged"))?,
            finding,
            title,
            image,
            bundle,
            intended_use,
            now: Moment::at(self.time),
            point: self.point.map(|point| point.to_string()),
        })
    }

    fn read_image(&self) -> Result<Image, NotDelivered> {
        let source = self.record["source"].as_str().unwrap_or_default();
        let source = Path::new(source);
        let path = self.cases.image_of(self.image.as_deref(), source);
        let _reading = lock(&READING);
        let image = image::read(&path).map_err(|refusal| {
            // Looked for in this order, since it may be moved meanwhile. What lies elsewhere
            // may come back.
            let is_gone = || {
                let kept = || self.cases.image_of(self.image.as_deref(), source);
                !source.exists() && !kept().exists()
            };
            if self.cases.owns(source) && is_gone() {
                return NotDelivered::Never("image_gone");
            }
            let why = "the image cannot be read";
            NotDelivered::Refused(DeliveryError::new(refusal.code.word(), why))
        })?;
        if self.image.as_ref() != Some(&image.sha256) {
            return Err(NotDelivered::Never("image_changed"));
        }
        Ok(image)
    }

    /// Title and classes of the exam, as the bundle that answered names them; where another
    /// one was loaded since, the record's own words.
    fn labels(&self, bundle: &BundleId) -> (String, Vec<Class>) {
        let name = self.record["exam"].as_str().unwrap_or_default();
        let loaded = self.cases.bundle();
        let exam = loaded.exam(name).filter(|_| loaded.id == *bundle);
        if let Some(exam) = exam {
            return (exam.title.clone(), exam.classes.clone());
        }
        let class = |name: &String| Class {
            name: name.clone(),
            label: name.clone(),
            // The finding's own stands in the record.
            triage_level: TriageLevel::Review,
            flag_from: None,
            text_prompts: Vec::new(),
        };
        let probabilities = self.record["probabilities"].as_object();
        let classes = probabilities.into_iter().flat_map(|all| all.keys());
        (name.to_owned(), classes.map(class).collect())
    }
}

impl Material {
    /// For the writers of reports.
    pub fn case(&self, deidentify: bool) -> Case<'_> {
        Case {
            finding: &self.finding,
            title: &self.title,
            image: &self.image,
            mask: &self.mask,
            bundle: &self.bundle,
            intended_use: self.intended_use,
            now: self.now,
            point: self.point.as_deref(),
            deidentify,
        }
    }
}

/// The journal holds the record whole, by its chain: what cannot be read in it was written
/// by another version.
fn damaged(why: impl std::fmt::Display) -> NotDelivered {
    NotDelivered::Refused(DeliveryError::new("record", why))
}
