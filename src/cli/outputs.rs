//! The files that `classify` writes beside its answer.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use medfocus::report::{self, Case};

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
    /// Leave everything out of DICOM and HL7 files that tells whose image it is
    #[arg(long)]
    pub deidentify: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// DICOM Secondary Capture: the overlay picture
    Sc,
    /// DICOM Structured Report
    Sr,
    /// HL7 ORU^R01 message
    Hl7,
    /// A page with picture, bars and provenance, as PNG
    Page,
}

impl Arguments {
    /// Writes what was asked for.
    pub fn write(&self, case: &Case<'_>) -> Result<(), Failure> {
        let Some(folder) = &self.to else {
            return Ok(());
        };
        std::fs::create_dir_all(folder)
            .map_err(|error| Failure::write(&folder.display().to_string(), &error))?;
        for kind in &self.write {
            let path = folder.join(format!("{}.{}", case.finding.case, ending(*kind)));
            let failed = |error: &dyn std::fmt::Display| Failure::write(&shown(&path), error);
            let bytes = match kind {
                Kind::Sc => report::secondary_capture(case).map_err(|e| failed(&e))?,
                Kind::Sr => report::structured_report(case).map_err(|e| failed(&e))?,
                Kind::Hl7 => report::hl7(case).into_bytes(),
                Kind::Page => {
                    let format = image::ImageFormat::Png;
                    let saved = report::page(case).save_with_format(&path, format);
                    saved.map_err(|e| failed(&e))?;
                    continue;
                }
            };
            std::fs::write(&path, bytes).map_err(|e| failed(&e))?;
        }
        Ok(())
    }
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}

fn ending(kind: Kind) -> &'static str {
    match kind {
        Kind::Sc => "sc.dcm",
        Kind::Sr => "sr.dcm",
        Kind::Hl7 => "hl7",
        Kind::Page => "page.png",
    }
}
