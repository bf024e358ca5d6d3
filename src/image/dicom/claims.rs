//! What a received object says of itself, held against what its sender said: the head of the file
//! was written from the sender's request, the data set is the object's own. In go a file's bytes, out
//! come how much it hurries and where the two contradict each other. Never decodes a pixel.

use dicom_dictionary_std::tags;
use serde::{Deserialize, Serialize};

use super::file_meta::{self, Opened};
use super::header::Header;

/// What an object says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The Requested Procedure Priority.
    pub priority: Option<String>,
    /// Where head and data set contradict each other.
    pub contradiction: Option<Contradiction>,
}

/// What two parts of a file say differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Contradiction {
    /// SOP Class UID.
    Class,
    /// SOP Instance UID.
    Instance,
}

/// The claims of an object; none where it cannot be read.
pub(in crate::image) fn claims(bytes: &[u8]) -> Claims {
    let Ok(Opened { object, .. }) = file_meta::open(bytes) else {
        return Claims::default();
    };
    let (header, meta) = (Header::new(bytes, &object), object.meta());
    // What the data set leaves out contradicts nothing.
    let is_other = |said: Option<String>, head: &str| {
        let head = head.trim_end_matches(['\0', ' ']);
        !head.is_empty() && said.is_some_and(|said| said != head)
    };
    let contradiction = if is_other(
        header.text(tags::SOP_CLASS_UID),
        meta.media_storage_sop_class_uid(),
    ) {
        Some(Contradiction::Class)
    } else if is_other(
        header.text(tags::SOP_INSTANCE_UID),
        meta.media_storage_sop_instance_uid(),
    ) {
        Some(Contradiction::Instance)
    } else {
        None
    };
    Claims {
        priority: header.priority(),
        contradiction,
    }
}
