//! A record, written for people and programs: text, the overlay picture, a page as picture or PDF,
//! DICOM and HL7. The JSON is the record's own ([`case`](crate::case)). In goes a record with its
//! image, out come bytes or text. Called by the command line and by the sinks.
//!
//! The patient's name and number are in the DICOM and HL7 forms alone, and only if they are not
//! de-identified. Age and sex, where they are known, are in text, JSON and page as well. Every form
//! names the bundle's intended use. Nothing here decides anything, and nothing here writes a file.

mod case;
mod curves;
mod form;
mod hl7;
mod moment;
mod object;
mod overlay;
mod page;
mod pdf;
mod secondary_capture;
mod segmentation;
mod structured;
mod text;

pub use case::{Case, NotWritten};
pub use curves::{Curves, curves};
pub use form::Form;
pub use hl7::hl7;
pub use moment::Moment;
pub use overlay::overlay;
pub use page::{page, png};
pub use pdf::pdf;
pub use secondary_capture::secondary_capture;
pub use segmentation::segmentation;
pub use structured::structured_report;
pub use text::{card, line};
