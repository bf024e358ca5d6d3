//! An answered case as sinks see it: its record, and, for those that draw or refer to the
//! image, everything that a report is written from. The image is read again, and only taken
//! where it is the very one that was answered.

use std::sync::Mutex;

use super::{AnsweredCase, DeliveryError, NotDelivered};
use crate::case::{Finding, Record};
use crate::device::lock::lock;
use crate::focus::Mask;
use crate::image::{self, Image};
use crate::report::{Case, Moment};

/// A decoder may take half a gigabyte: sinks read one image at a time. A static, since all devices
/// of a process share the memory of one machine.
static READING: Mutex<()> = Mutex::new(());

/// A finding with its image, read again: what reports are written from.
#[derive(Debug)]
pub struct Drawn<'a> {
    record: &'a Record,
    /// Its finding, with the labels of the bundle that answered.
    finding: Finding,
    title: String,
    image: Image,
    mask: Mask,
    now: Moment,
    point: Option<String>,
}

impl AnsweredCase<'_> {
    /// A name for it that no other case of any device has.
    pub fn id(&self) -> String {
        format!("{:016x}-{}", self.cases.device(), self.number)
    }

    /// Reads the image of a finding again.
    ///
    /// # Errors
    /// [`NotDelivered::Never`] where the image is gone or is another one now.
    pub fn drawn(&self) -> Result<Drawn<'_>, NotDelivered> {
        let record = &self.told.record;
        // Sinks that take refusals draw none.
        let finding = record
            .finding()
            .ok_or_else(|| damaged("it is no finding"))?;
        let mask = Mask::from_rle(&finding.mask.rle);
        let mask = mask.ok_or_else(|| damaged("the region is damaged"))?;
        let image = self.read_image()?;
        let (title, finding) = self.labelled(finding);
        Ok(Drawn {
            record,
            finding,
            title,
            image,
            mask,
            now: Moment::at(self.time),
            point: self.told.journal.map(|point| point.to_string()),
        })
    }

    fn read_image(&self) -> Result<Image, NotDelivered> {
        let source = self.told.record.path();
        let path = self.cases.image_of(self.image, source);
        let _reading = lock(&READING);
        let image = image::read(&path).map_err(|refusal| {
            // Looked for in this order, since it may be moved meanwhile. What lies elsewhere
            // may come back.
            let is_gone = || {
                let kept = || self.cases.image_of(self.image, source);
                !source.exists() && !kept().exists()
            };
            if self.cases.owns(source) && is_gone() {
                return NotDelivered::Never("image_gone");
            }
            let why = "the image cannot be read";
            NotDelivered::Refused(DeliveryError::new(refusal.code.word(), why))
        })?;
        let read = Some(image.sha256);
        if read.is_none() || read != self.image {
            return Err(NotDelivered::Never("image_changed"));
        }
        Ok(image)
    }

    /// Title of the exam, and the finding with its labels, as the bundle that answered has them;
    /// where another one was loaded since, the record's own words.
    fn labelled(&self, finding: &Finding) -> (String, Finding) {
        let (loaded, finding) = (self.cases.bundle(), finding.clone());
        let is_it = loaded.id == self.told.record.provenance.bundle;
        match loaded.exam(&finding.exam).filter(|_| is_it) {
            Some(exam) => (
                exam.title.clone(),
                finding.labelled(|class| exam.label(class)),
            ),
            None => (finding.exam.clone(), finding),
        }
    }
}

impl Drawn<'_> {
    /// For the writers of reports.
    pub fn case(&self, deidentify: bool) -> Case<'_> {
        Case {
            record: self.record,
            finding: &self.finding,
            title: &self.title,
            image: &self.image,
            mask: &self.mask,
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
