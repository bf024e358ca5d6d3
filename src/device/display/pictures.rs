//! `png:DIR`: what a panel would show, one file a state, for a desk, tests and the README.
//! Once nothing of a case is shown, its pictures go as well. Others may write the folder: what
//! lies there under a picture's name is replaced, never followed or written on.

use std::path::Path;

use embedded_graphics::prelude::*;
use firmware_host::screens::Panel;

use super::place::Pictures;
use super::{Canvas, Ended, PanelDriver, PanelError, Picture, Serve};
use crate::files::{self, FileError};

/// Always what is shown now.
const NOW: &str = "now";
/// Pictures of a case.
const OF_A_CASE: [&str; 5] = ["working", "finding", "classes", "region", "refusal"];
/// What is shown while there is no case to come back to.
const WITHOUT_CASE: [&str; 4] = ["starting", "ready", "fault", "off"];

pub fn while_open(place: &Pictures, serve: Serve<'_>) -> Result<Ended, PanelError> {
    let folder = files::Folder::make(&place.folder).map_err(failed)?;
    // What was left half written before the device ended.
    folder.sweep().map_err(failed)?;
    Ok(serve(&mut Folder {
        folder: &place.folder,
        panel: place.panel,
    }))
}

struct Folder<'a> {
    folder: &'a Path,
    panel: Panel,
}

impl PanelDriver for Folder<'_> {
    fn panel(&self) -> Panel {
        self.panel
    }

    fn show(&mut self, picture: &Picture<'_>) -> Result<(), PanelError> {
        // The one that lies there now: a stick may have been pulled and another put in.
        let here = files::Folder::open(self.folder).map_err(failed)?;
        let bytes = png(picture.canvas).map_err(|error| failed_at(self.folder, error))?;
        let put = |name: &str| here.swap(format!("{name}.png"), &bytes).map_err(failed);
        put(NOW)?;
        if WITHOUT_CASE.contains(&picture.name) {
            for name in OF_A_CASE {
                here.remove_if_there(format!("{name}.png"))
                    .map_err(failed)?;
            }
        }
        // Last: whoever waits for a state's picture then finds all the rest as it should be.
        put(picture.name)
    }
}

fn failed(error: FileError) -> PanelError {
    let path = error.path.clone();
    let error = error.into();
    PanelError::Io { path, error }
}

fn failed_at(path: &Path, error: std::io::Error) -> PanelError {
    let path = path.to_owned();
    PanelError::Io { path, error }
}

fn png(canvas: &Canvas) -> std::io::Result<Vec<u8>> {
    let Size { width, height } = canvas.size();
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let bytes: Vec<u8> = canvas.bytes().collect();
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&bytes)?;
    writer.finish()?;
    Ok(file)
}
