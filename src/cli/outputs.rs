//! The files that `classify` writes beside its answer: `--write`, `--to`, `--deidentify`. The forms
//! themselves are made by `report`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use medfocus::files::Folder;
use medfocus::report::{Case, Form, NotWritten};

use super::Failure;

#[derive(Debug, Args)]
pub struct OutputArguments {
    /// Write files of each finding to the folder of --to
    #[arg(
        long,
        value_enum,
        value_name = "KIND",
        value_delimiter = ',',
        requires = "to"
    )]
    write: Vec<Kind>,
    /// Folder for the files of --write, named by case
    #[arg(long, value_name = "DIR", requires = "write")]
    to: Option<PathBuf>,
    /// Leave out of every file and answer what tells whose image it is, in words and in pixels;
    /// images are called by their place on the command line, "image 1"
    #[arg(long)]
    pub deidentify: bool,
    /// With --deidentify: you have looked at every image, and nothing written in its pixels tells
    /// whose it is; for images that do not say so themselves
    #[arg(long, requires = "deidentify")]
    pub nothing_burned_in: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// The image with its region, and the answer under it, as PNG
    Overlay,
    /// DICOM Secondary Capture: the overlay picture
    Sc,
    /// DICOM Structured Report
    Sr,
    /// DICOM Segmentation: the region over the image
    Seg,
    /// HL7 ORU^R01 message
    Hl7,
    /// A page with picture, bars and provenance, as PNG
    Page,
    /// The same page as PDF
    Pdf,
}

impl OutputArguments {
    /// Whether a file with the image's own pixels was asked for.
    pub fn show_the_image(&self) -> bool {
        self.write.iter().any(|kind| kind.form().shows_the_image())
    }

    /// Writes what was asked for, but for what cannot be made of such an image: the sentence
    /// says what that is.
    pub fn write(&self, case: &Case<'_>) -> Result<Option<String>, Failure> {
        let Some(folder) = &self.to else {
            return Ok(None);
        };
        let folder = Folder::make(folder).map_err(|error| Failure::write_file(&error))?;
        let mut missing = None;
        for kind in &self.write {
            let name = format!("{}.{}", case.id(), kind.form().ending());
            let bytes = match kind.form().bytes(case) {
                Ok(bytes) => bytes,
                Err(why @ NotWritten::NoSource) => {
                    missing = Some(format!("{why}; leave seg out of --write"));
                    continue;
                }
                Err(error) => {
                    let path = folder.path_of(&name).display().to_string();
                    return Err(Failure::write(&path, &error));
                }
            };
            folder
                .swap(name, &bytes)
                .map_err(|error| Failure::write_file(&error))?;
        }
        Ok(missing)
    }
}

impl Kind {
    /// As the library knows it.
    pub fn form(self) -> Form {
        match self {
            Self::Overlay => Form::Overlay,
            Self::Sc => Form::SecondaryCapture,
            Self::Sr => Form::StructuredReport,
            Self::Seg => Form::Segmentation,
            Self::Hl7 => Form::Hl7,
            Self::Page => Form::Page,
            Self::Pdf => Form::Pdf,
        }
    }
}
