//! An archive (PACS): findings on DICOM images as Structured Report, Segmentation and
//! Secondary Capture, by C-STORE. The UIDs follow from the case, so that an object that is
//! sent twice is the same instance there.

use std::error::Error;
use std::fmt::Display;
use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use dicom_dictionary_std::uids;
use dicom_object::OpenFileOptions;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use dicom_ul::pdu::{PDataValue, PDataValueType, Pdu};
use dicom_ul::{ClientAssociation, ClientAssociationOptions};

use super::{AnsweredCase, DeliveryError, NotDelivered, Sink, Spec};
use crate::device::dicom::{Pacs, message};
use crate::report::{Case, NotWritten, secondary_capture, segmentation, structured_report};

/// How long a PACS may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

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
pub struct Archive(ArchiveOptions);

impl Archive {
    /// An archive by these options.
    pub fn new(options: ArchiveOptions) -> Self {
        Self(options)
    }

    /// Stores these files' objects over one association.
    fn send(&self, files: &[Vec<u8>]) -> Result<(), NotDelivered> {
        let (pacs, syntaxes) = (&self.0.pacs, || vec![uids::EXPLICIT_VR_LITTLE_ENDIAN]);
        let mut association = ClientAssociationOptions::new()
            .calling_ae_title(self.0.title.as_str())
            .called_ae_title(pacs.title.as_str())
            .with_presentation_context(uids::SECONDARY_CAPTURE_IMAGE_STORAGE, syntaxes())
            .with_presentation_context(uids::COMPREHENSIVE_SR_STORAGE, syntaxes())
            .with_presentation_context(uids::SEGMENTATION_STORAGE, syntaxes())
            .connection_timeout(PATIENCE)
            .read_timeout(PATIENCE)
            .write_timeout(PATIENCE)
            .establish(&pacs.address)
            .map_err(|error| away(format!("{pacs}: {error}")))?;
        for file in files {
            store(&mut association, file)?;
        }
        // The objects are safe: a bad parting changes nothing.
        let _ = association.release();
        Ok(())
    }
}

impl Sink for Archive {
    fn spec(&self) -> Spec {
        Spec {
            name: self.0.name.clone(),
            takes_refusals: false,
            needs_image: true,
        }
    }

    fn deliver(&mut self, answered: &AnsweredCase<'_>) -> Result<(), NotDelivered> {
        let drawn = answered.drawn()?;
        let case = drawn.case(self.0.deidentify);
        if case.image.origin.is_none() {
            // An archive has no place for what belongs to no patient and no study.
            return Err(NotDelivered::Never("not_dicom"));
        }
        let objects = objects(&case).map_err(not_written)?;
        self.send(&objects)
    }
}

/// The files of one case. What may not be written, or has nothing to refer to, never will:
/// the rest goes without it.
fn objects(case: &Case<'_>) -> Result<Vec<Vec<u8>>, NotWritten> {
    let mut objects = vec![structured_report(case)?];
    for (made, what) in [
        (segmentation(case), "segmentation"),
        (secondary_capture(case), "picture"),
    ] {
        match made {
            Ok(object) => objects.push(object),
            Err(error @ NotWritten::Encoding(_)) => return Err(error),
            Err(error) => {
                let case = case.id();
                log::warn!("case {case}: sent to the archive without its {what}: {error}");
            }
        }
    }
    Ok(objects)
}

/// Stores one file's object.
fn store(association: &mut ClientAssociation<TcpStream>, file: &[u8]) -> Result<(), NotDelivered> {
    let object = OpenFileOptions::new()
        .from_reader(file)
        .map_err(not_written)?;
    let class = object.meta().media_storage_sop_class_uid().to_owned();
    let instance = object.meta().media_storage_sop_instance_uid().to_owned();
    let agreed = association.presentation_contexts().iter();
    let context = agreed
        .filter(|agreed| agreed.abstract_syntax == class)
        .map(|agreed| agreed.id)
        .next();
    let context = match context {
        Some(context) => context,
        // Many archives take none; picture and report show the region, too.
        None if class == uids::SEGMENTATION_STORAGE => {
            log::warn!("dicom: the PACS takes no segmentations; the region was not sent as one");
            return Ok(());
        }
        None => {
            let why = "the PACS does not take this kind of object";
            return Err(NotDelivered::Away(DeliveryError::new("not_taken", why)));
        }
    };
    let command = message::store(
        class.trim_end_matches('\0'),
        instance.trim_end_matches('\0'),
    );
    let mut data = Vec::new();
    object
        .write_dataset_with_ts(&mut data, &EXPLICIT_VR_LITTLE_ENDIAN.erased())
        .map_err(not_written)?;
    let reply = request(association, context, command, &data).map_err(away)?;
    match message::status(&reply) {
        Some(0) => Ok(()),
        // Stored, with a warning (PS3.4, B.2.3).
        Some(0xb000..=0xbfff) => Ok(()),
        status => {
            let why = format!(
                "the PACS refused with status {:04x}",
                status.unwrap_or(0xffff)
            );
            Err(NotDelivered::Refused(DeliveryError::new("rejected", why)))
        }
    }
}

/// Sends a command and its data set; gives the command that is answered.
fn request(
    association: &mut ClientAssociation<TcpStream>,
    context: u8,
    command: Vec<u8>,
    data: &[u8],
) -> Result<Vec<u8>, Box<dyn Error>> {
    association.send(&Pdu::PData {
        data: vec![PDataValue {
            presentation_context_id: context,
            value_type: PDataValueType::Command,
            is_last: true,
            data: command,
        }],
    })?;
    let mut writer = association.send_pdata(context);
    writer.write_all(data)?;
    writer.finish()?;
    let mut reply = Vec::new();
    loop {
        let Pdu::PData { data } = association.receive()? else {
            return Err("the PACS broke off".into());
        };
        let is_last = data.iter().any(|value| value.is_last);
        data.iter()
            .for_each(|value| reply.extend_from_slice(&value.data));
        if is_last {
            return Ok(reply);
        }
    }
}

fn away(why: impl Display) -> NotDelivered {
    NotDelivered::Away(DeliveryError::new("unreachable", why))
}

fn not_written(why: impl Display) -> NotDelivered {
    NotDelivered::Refused(DeliveryError::new("not_written", why))
}
