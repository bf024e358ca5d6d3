//! Labelled images become labelled cases: read, looked at by the exam's gate as any image is,
//! embedded, or taken from what was embedded before. An image that the exam would not answer
//! trains nothing: it is left out and counted.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::embeddings::Pair;
use super::{Embeddings, EnrollError, Labelled, Register};
use crate::bundle::{Bundle, ExamSpec};
use crate::case::Timings;
use crate::image;
use crate::image::open::{NoFile, open_image};
use crate::pipeline::{self, Film, Overrides, Stopped};
use crate::triage::LabelledCase;

/// What became of some labelled images.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The cases that can be used, by the hash of their image.
    pub cases: Vec<LabelledCase>,
    /// How many were left out, by why: a refusal's code, `image_gone` or `twice`.
    pub left_out: BTreeMap<&'static str, usize>,
    /// Embedded now.
    pub embedded: usize,
    /// Embedded before.
    pub known: usize,
}

/// Embeds labelled images for an exam, and adds the cases of the register, whose images were
/// embedded before. `progress` is called once an image.
///
/// # Errors
/// [`EnrollError`]: an image has two classes, the engine failed, an embedding cannot be kept.
pub fn gather(
    bundle: &Bundle,
    exam: &ExamSpec,
    labelled: &[Labelled],
    register: &Register,
    kept: &Embeddings,
    progress: &mut dyn FnMut(),
) -> Result<Gathered, EnrollError> {
    let mut gathered = Gathered::default();
    let mut classes: BTreeMap<String, usize> = BTreeMap::new();
    let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
    let mut conflicts = 0;
    for case in labelled {
        progress();
        let Some(path) = &case.path else {
            gathered.leave_out("image_gone");
            continue;
        };
        let sha256 = match hash(path) {
            Ok(sha256) => sha256,
            Err(why) => {
                gathered.leave_out(why.code().word());
                continue;
            }
        };
        match classes.insert(sha256.clone(), case.class) {
            Some(before) if before == case.class => gathered.leave_out("twice"),
            Some(_) => conflicts += 1,
            None => {
                if let Some(pair) =
                    gathered.embed(bundle, exam, (sha256.as_str(), path.as_path()), kept)?
                {
                    pairs.insert(sha256, pair);
                }
            }
        }
    }
    for (sha256, class) in &register.cases {
        let label = exam.classes.iter().position(|known| known.name == *class);
        match (classes.get(sha256), label) {
            (Some(now), Some(before)) if *now != before => conflicts += 1,
            (None, Some(label)) => match kept.get(sha256) {
                Some(pair) => {
                    gathered.known += 1;
                    classes.insert(sha256.clone(), label);
                    pairs.insert(sha256.clone(), pair);
                }
                None => gathered.leave_out("image_gone"),
            },
            _ => {}
        }
    }
    if conflicts > 0 {
        return Err(EnrollError::Conflict { count: conflicts });
    }
    let case = |(key, (whole, focused)): (String, Pair)| LabelledCase {
        label: classes[&key],
        key,
        whole,
        focused,
    };
    gathered.cases = pairs.into_iter().map(case).collect();
    Ok(gathered)
}

/// The hash of a file.
fn hash(path: &Path) -> Result<String, NoFile> {
    let (mut file, mut hash) = (open_image(path)?, Sha256::new());
    let mut bytes = vec![0; 1 << 16];
    loop {
        match file.read(&mut bytes)? {
            0 => break,
            count => hash.update(&bytes[..count]),
        }
    }
    let digest = hash.finalize();
    Ok(digest.iter().map(|byte| format!("{byte:02x}")).collect())
}

impl Gathered {
    fn leave_out(&mut self, why: &'static str) {
        *self.left_out.entry(why).or_default() += 1;
    }

    /// The embeddings of an image that the exam would answer.
    fn embed(
        &mut self,
        bundle: &Bundle,
        exam: &ExamSpec,
        (sha256, path): (&str, &Path),
        kept: &Embeddings,
    ) -> Result<Option<Pair>, EnrollError> {
        if let Some(pair) = kept.get(sha256) {
            self.known += 1;
            return Ok(Some(pair));
        }
        match read(bundle, exam, path) {
            Ok(pair) => {
                kept.put(sha256, &pair)?;
                self.embedded += 1;
                Ok(Some(pair))
            }
            Err(Stopped::Refused(refusal)) => {
                self.leave_out(refusal.code.word());
                Ok(None)
            }
            Err(Stopped::Engine(error)) => Err(error.into()),
        }
    }
}

fn read(bundle: &Bundle, exam: &ExamSpec, path: &Path) -> Result<Pair, Stopped> {
    let image = image::read(path)?;
    let film = Film::of(bundle, &image);
    let look = pipeline::look(bundle, film.image())?;
    pipeline::admit(bundle, exam, film.image(), look.as_ref())?;
    let overrides = Overrides::default();
    let reading = pipeline::read_film(bundle, &film, &overrides, &mut Timings::new())?;
    Ok((reading.whole, reading.focused))
}
