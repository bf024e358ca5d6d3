//! Reads an image file by its path, in a process of its own where one is named. A path comes in, an
//! [`Image`] comes out, or a coded refusal that names the file. Called by whoever is given a path; what
//! the bytes are is the business of `decode`.

use std::panic::catch_unwind;
use std::path::Path;
use std::time::Duration;

use super::decode::decode_frame;
use super::limits::too_hard;
use super::{Checked, Decoded, FrameChoice, Image, dicom, isolated, open};
use crate::case::Refusal;

/// Reads one image file; of a DICOM object's frames, the middle one.
///
/// # Errors
/// A refusal with the code `not_found`, `not_a_file`, `unsupported_format`, `unreadable`,
/// `too_small`, `too_large`, `several_frames`, `blank` or `one_bit`; its message names the
/// file.
pub fn read(path: &Path) -> Result<Image, Refusal> {
    read_frame(path, FrameChoice::default())
}

/// Reads one frame of an image file, in a process of its own where
/// [`isolate`](super::isolate) was called.
///
/// # Errors
/// As [`read`], and `no_such_frame`.
pub fn read_frame(path: &Path, frame: FrameChoice) -> Result<Image, Refusal> {
    read_frame_as(path, &path.display().to_string(), frame)
}

/// The same; refusals call the file by another name, as that of a copy's original.
///
/// # Errors
/// As [`read_frame`].
pub fn read_frame_as(path: &Path, name: &str, frame: FrameChoice) -> Result<Image, Refusal> {
    let read = match isolated::program() {
        Some(program) => {
            let file = open::open_image(path);
            let decode = |file| isolated::decode(program, file, frame, &mut || true).said;
            let unwaited = || Err(too_hard("it was not waited for"));
            file.map_err(|why| why.refusal())
                .and_then(|file| decode(file).unwrap_or_else(unwaited))
        }
        None => open::bytes(path)
            .map_err(|why| why.refusal())
            .and_then(|bytes| decode_frame(&bytes, frame)),
    };
    read.map_err(|refusal| refusal.about(name))
}

/// The same by a child of `program` in any case, and only while `waits` says that the answer is
/// still wanted: for whoever has other things to see to, and counts what a child costs. Refusals
/// do not name the file.
pub fn read_by(
    program: &Path,
    path: &Path,
    waits: &mut dyn FnMut() -> bool,
) -> Decoded<Result<Image, Refusal>> {
    match open::open_image(path) {
        Ok(file) => isolated::decode(program, file, FrameChoice::default(), waits),
        Err(why) => Decoded {
            said: Some(Err(why.refusal())),
            processor: Duration::ZERO,
        },
    }
}

/// Whether there is a picture in a file, and what it says of itself, as a child finds it in that time;
/// says nothing where it does not, or where there is no program to decode by.
pub fn check(path: &Path, patience: Duration) -> Decoded<Checked> {
    let file = isolated::program().zip(open::open_image(path).ok());
    match file {
        Some((program, file)) => isolated::check(program, file, patience),
        None => Decoded {
            said: None,
            processor: Duration::ZERO,
        },
    }
}

/// The Requested Procedure Priority (0040,1003) of a DICOM file, as it is written; says nothing
/// where there is none or the file cannot be read.
pub fn priority(path: &Path) -> Decoded<String> {
    let nothing = Decoded {
        said: None,
        processor: Duration::ZERO,
    };
    if let Some(program) = isolated::program() {
        let file = open::open_image(path).ok();
        return file.map_or(nothing, |file| isolated::priority(program, file));
    }
    let bytes = open::bytes(path).unwrap_or_default();
    Decoded {
        said: catch_unwind(|| dicom::priority(&bytes)).unwrap_or_default(),
        ..nothing
    }
}
