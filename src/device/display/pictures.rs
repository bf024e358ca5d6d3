//! `png:DIR`: what a panel would show, one file a state, for a desk, tests and the README.
//! Once nothing of a case is shown, its pictures go as well.

use std::fs::{self, File};
use std::io::{BufWriter, ErrorKind, Write};
use std::path::Path;

use embedded_graphics::prelude::*;
use firmware_host::screens::Panel;

use super::place::Pictures;
use super::{Canvas, Ended, Glass, GlassError, Picture, Serve};

/// Always what is shown now.
const NOW: &str = "now";
/// Pictures of a case.
const OF_A_CASE: [&str; 5] = ["working", "finding", "classes", "region", "refusal"];
/// What is shown while there is no case to come back to.
const WITHOUT_CASE: [&str; 4] = ["starting", "ready", "fault", "off"];

pub fn while_open(place: &Pictures, serve: Serve<'_>) -> Result<Ended, GlassError> {
    fs::create_dir_all(&place.folder).map_err(|error| failed(&place.folder, error))?;
    Ok(serve(&mut Folder {
        folder: &place.folder,
        panel: place.panel,
    }))
}

struct Folder<'a> {
    folder: &'a Path,
    panel: Panel,
}

impl Glass for Folder<'_> {
    fn panel(&self) -> Panel {
        self.panel
    }

    fn show(&mut self, picture: &Picture<'_>) -> Result<(), GlassError> {
        self.put(NOW, picture.canvas)?;
        if WITHOUT_CASE.contains(&picture.name) {
            self.forget_cases()?;
        }
        // Last: whoever waits for a state's picture then finds all the rest as it should be.
        self.put(picture.name, picture.canvas)
    }
}

impl Folder<'_> {
    fn put(&self, name: &str, canvas: &Canvas) -> Result<(), GlassError> {
        let file = self.folder.join(format!("{name}.png"));
        let unfinished = self.folder.join(format!(".{name}.png.part"));
        write(&unfinished, canvas)
            .and_then(|()| fs::rename(&unfinished, &file))
            .map_err(|error| failed(&file, error))
    }

    fn forget_cases(&self) -> Result<(), GlassError> {
        for name in OF_A_CASE {
            let file = self.folder.join(format!("{name}.png"));
            match fs::remove_file(&file) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(failed(&file, error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

fn failed(path: &Path, error: std::io::Error) -> GlassError {
    let path = path.to_owned();
    GlassError::Io { path, error }
}

fn write(path: &Path, canvas: &Canvas) -> std::io::Result<()> {
    let Size { width, height } = canvas.size();
    let mut file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(&mut file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let bytes: Vec<u8> = canvas.bytes().collect();
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&bytes)?;
    writer.finish()?;
    file.flush()
}
