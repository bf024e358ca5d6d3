//! The files that `classify` writes beside its answer.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use medfocus::report::{self, Case, NotWritten};

use super::Failure;

#[derive(Debug, Args)]
pub struct Arguments {
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
    /// Leave out of every file what tells whose image it is, in words and in pixels
    #[arg(long)]
    pub deidentify: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
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

impl Arguments {
    /// Whether a file with the image's own pixels was asked for.
    pub fn show_the_image(&self) -> bool {
        let shows = |kind: &Kind| matches!(kind, Kind::Sc | Kind::Page | Kind::Pdf);
        self.write.iter().any(shows)
    }

    /// Writes what was asked for.
    pub fn write(&self, case: &Case<'_>) -> Result<(), Failure> {
        let Some(folder) = &self.to else {
            return Ok(());
        };
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::write(&folder.display().to_string(), &error))?;
        for kind in &self.write {
            let path = folder.join(format!("{}.{}", case.finding.case, ending(*kind)));
            let name = path.display().to_string();
            let bytes = match bytes(*kind, case) {
                Ok(bytes) => bytes,
                Err(NotWritten::NoSource) => return Err(no_source(&name)),
                Err(error) => return Err(Failure::write(&name, &error)),
            };
            std::fs::write(&path, bytes).map_err(|error| Failure::write(&name, &error))?;
        }
        Ok(())
    }
}

fn no_source(name: &str) -> Failure {
    let why = NotWritten::NoSource;
    Failure::Usage(format!("{name}: {why}; leave seg out of --write"))
}

fn bytes(kind: Kind, case: &Case<'_>) -> Result<Vec<u8>, NotWritten> {
    match kind {
        Kind::Sc => report::secondary_capture(case),
        Kind::Sr => report::structured_report(case),
        Kind::Seg => report::segmentation(case),
        Kind::Hl7 => Ok(report::hl7(case).into_bytes()),
        Kind::Page => report::page(case).and_then(|page| report::png(&page)),
        Kind::Pdf => report::pdf(case),
    }
}

fn ending(kind: Kind) -> &'static str {
    match kind {
        Kind::Sc => "sc.dcm",
        Kind::Sr => "sr.dcm",
        Kind::Seg => "seg.dcm",
        Kind::Hl7 => "hl7",
        Kind::Page => "page.png",
        Kind::Pdf => "page.pdf",
    }
}
