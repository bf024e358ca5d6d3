//! The kinds of files that can be made of a finding: `overlay`, `page`, `pdf`, `hl7`, `sc`, `sr`,
//! `seg`. Called by `--write` and by the result folder. Each kind is made in a file of its own in
//! this module.

use std::fmt::{self, Display};
use std::str::FromStr;

use super::{
    Case, NotWritten, hl7, overlay, page, pdf, png, secondary_capture, segmentation,
    structured_report,
};

/// One kind of file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// The image with its region, and the answer under it, as PNG.
    Overlay,
    /// DICOM Secondary Capture: the same picture.
    SecondaryCapture,
    /// DICOM Structured Report.
    StructuredReport,
    /// DICOM Segmentation.
    Segmentation,
    /// HL7 `ORU^R01`.
    Hl7,
    /// A page, as PNG.
    Page,
    /// The same page as PDF.
    Pdf,
}

impl Form {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Overlay,
        Self::Page,
        Self::Pdf,
        Self::Hl7,
        Self::SecondaryCapture,
        Self::StructuredReport,
        Self::Segmentation,
    ];

    /// The word that it is asked for by.
    pub fn word(self) -> &'static str {
        match self {
            Self::Overlay => "overlay",
            Self::SecondaryCapture => "sc",
            Self::StructuredReport => "sr",
            Self::Segmentation => "seg",
            Self::Hl7 => "hl7",
            Self::Page => "page",
            Self::Pdf => "pdf",
        }
    }

    /// The file's content.
    ///
    /// # Errors
    /// [`NotWritten`].
    pub fn bytes(self, case: &Case<'_>) -> Result<Vec<u8>, NotWritten> {
        match self {
            Self::Overlay => {
                overlay(case).and_then(|picture| png(&picture, Some(case.image.sha256)))
            }
            Self::SecondaryCapture => secondary_capture(case),
            Self::StructuredReport => structured_report(case),
            Self::Segmentation => segmentation(case),
            Self::Hl7 => Ok(hl7(case).into_bytes()),
            Self::Page => page(case).and_then(|page| png(&page, Some(case.image.sha256))),
            Self::Pdf => pdf(case),
        }
    }

    /// What its name ends in, after the case's.
    pub fn ending(self) -> &'static str {
        match self {
            Self::Overlay => "overlay.png",
            Self::SecondaryCapture => "sc.dcm",
            Self::StructuredReport => "sr.dcm",
            Self::Segmentation => "seg.dcm",
            Self::Hl7 => "hl7",
            Self::Page => "page.png",
            Self::Pdf => "page.pdf",
        }
    }

    /// Whether the image's own pixels are in it.
    pub fn shows_the_image(self) -> bool {
        matches!(
            self,
            Self::Overlay | Self::SecondaryCapture | Self::Page | Self::Pdf
        )
    }
}

impl FromStr for Form {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.into_iter().find(|form| form.word() == text);
        found.ok_or_else(|| format!("there is no '{text}'"))
    }
}

impl Display for Form {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}
