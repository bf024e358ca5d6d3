//! The sinks that a configuration asks for: a configuration comes in, sinks come out that do not
//! work yet. Called at the start. Connects to nobody.

use crate::device::config::Config;
use crate::device::sinks::{
    Archive, ArchiveOptions, Hl7, Hl7Options, Results, ResultsOptions, Sink,
};

/// A new sink for each that is configured.
pub(super) fn of(config: &Config) -> Vec<Box<dyn Sink>> {
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    if let Some(folder) = &config.results.folder {
        sinks.push(Box::new(Results::new(ResultsOptions {
            name: "results".to_owned(),
            folder: folder.clone(),
            forms: config.results.write.clone(),
            deidentify: config.results.deidentify,
            readers: config.results.readers(),
        })));
    }
    if let Some(pacs) = &config.pacs.to {
        sinks.push(Box::new(Archive::new(ArchiveOptions {
            name: "pacs".to_owned(),
            pacs: pacs.clone(),
            title: config.dicom.title.clone(),
            deidentify: config.pacs.deidentify,
        })));
    }
    if let Some(address) = &config.hl7.to {
        sinks.push(Box::new(Hl7::new(Hl7Options {
            name: "hl7".to_owned(),
            address: address.to_string(),
            deidentify: config.hl7.deidentify,
        })));
    }
    sinks
}
