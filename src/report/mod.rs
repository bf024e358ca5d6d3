//! A finding, written for people and programs: text, JSON, the overlay picture, a page as picture
//! or PDF, DICOM and HL7. In goes a finding with its image, out come bytes or text. Called by the
//! command line, consoles, sinks and `submit`.
//!
//! Whose image it is stands in the DICOM and HL7 forms alone; age and sex, where they are known, in
//! text, JSON and page as well. Every form names the bundle's intended use. Nothing here decides
//! anything, and nothing here writes a file.

mod case;
mod curves;
mod form;
mod hl7;
mod json;
mod moment;
mod object;
mod overlay;
mod page;
mod pdf;
mod restored;
mod secondary_capture;
mod segmentation;
mod structured;
mod text;

pub use case::{Case, NotWritten};
pub use curves::{Curves, curves};
pub use form::Form;
pub use hl7::hl7;
pub use json::{NotRestored, help, json, restored};
pub use moment::Moment;
pub use overlay::overlay;
pub use page::{page, png};
pub use pdf::pdf;
pub use restored::Restored;
pub use secondary_capture::secondary_capture;
pub use segmentation::segmentation;
pub use structured::structured_report;
pub use text::{card, line};

use crate::bundle::IntendedUse;
use crate::finding::{Answer, BundleId};
use crate::pipeline::Timings;

/// Everything that one answer's report needs.
#[derive(Debug)]
pub struct Record<'a> {
    /// The path as it was given.
    pub source: &'a str,
    /// SHA-256 of the image's file; `None` where it could not be read.
    pub image: Option<&'a str>,
    /// The case of a device whose image is answered again.
    pub rerun_of: Option<u64>,
    /// The answer.
    pub answer: &'a Answer,
    /// What the bundle may be used for.
    pub intended_use: IntendedUse,
    /// Which bundle answered.
    pub bundle: &'a BundleId,
    /// Milliseconds by stage.
    pub timings: &'a Timings,
}

/// Name and version of this program, as every output names it.
pub const SOFTWARE: &str = concat!("medfocus ", env!("CARGO_PKG_VERSION"));
