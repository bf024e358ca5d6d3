//! A new version of a bundle with one exam changed or added. Everything else is copied as it
//! is; the known answers of the changed exam are made again by this program from the images'
//! embeddings, and the file says so; those of all other exams stay the ones that another
//! implementation made. What is written has passed what a device would ask of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::EnrollError;
use crate::bundle::{Bundle, BundleError, ExamSpec, MANIFEST, Manifest, Outline, rehash};
use crate::case::{SOFTWARE, Timings};
use crate::files::{Folder, OPEN_TO_ALL};
use crate::pipeline::{self, Overrides, Reading, Stopped};
use crate::self_test::{self, SelfTestError};
use crate::triage::FusionHead;

/// What a version of a bundle is called after the version that it was made from.
const LOCAL: &str = "+local.";

/// What becomes of one exam.
#[derive(Debug)]
pub struct Change {
    /// The exam, as the manifest shall have it; one of this name is replaced.
    pub exam: ExamSpec,
    /// Its head.
    pub head: FusionHead,
    /// Further files that it names, and their content.
    pub files: BTreeMap<String, Vec<u8>>,
}

/// Writes a new version of the bundle in `from` into the folder `to`, which must not be there.
/// `bundle` is the loaded one.
///
/// # Errors
/// [`EnrollError`]; what was written is then of no use.
pub fn write(
    bundle: &Bundle,
    from: &Path,
    change: Change,
    to: &Path,
) -> Result<Outline, EnrollError> {
    // Prepared graphs may have stood in for files that nobody looked at since.
    rehash(from, &Default::default())?;
    self_test::run(bundle)?;
    let mut files = change.files;
    files.insert(change.exam.head.clone(), change.head.write()?);
    let mut manifest = bundle.manifest.clone();
    let known = known_answers(bundle, from, &change.exam.name, &change.head)?;
    files.insert(manifest.known_answers.clone(), known);
    manifest.version = next_version(&manifest.version);
    for (name, bytes) in &files {
        manifest.files.insert(name.clone(), sha256(bytes));
    }
    match manifest
        .exams
        .iter_mut()
        .find(|exam| exam.name == change.exam.name)
    {
        Some(exam) => *exam = change.exam,
        None => manifest.exams.push(change.exam),
    }
    let place = Folder::above(to).and_then(|(above, name)| above.new_folder(name, OPEN_TO_ALL));
    let place = place.map_err(EnrollError::io(to))?;
    for name in manifest.files.keys() {
        put(&place, name, files.get(name), from).map_err(EnrollError::io(&to.join(name)))?;
    }
    let path = to.join(MANIFEST);
    let text = text_of(&manifest, &path)?;
    let written = place.replace(MANIFEST, text.as_bytes());
    written.map_err(EnrollError::io(&path))?;
    let written = Bundle::load(to, bundle.engine())?;
    self_test::run(&written)?;
    Ok(written.outline())
}

/// Writes one file of the new version, by its path in the bundle: the new bytes, or the old
/// version's.
fn put(place: &Folder, name: &str, new: Option<&Vec<u8>>, from: &Path) -> std::io::Result<()> {
    let path = Path::new(name);
    let mut here = place.clone();
    for step in path.parent().into_iter().flat_map(Path::iter) {
        here = here.make_folder(step, OPEN_TO_ALL)?;
    }
    let name = path.file_name().unwrap_or_default();
    match new {
        Some(bytes) => here.replace(name, bytes)?,
        None => {
            let mut fresh = here.fresh(OPEN_TO_ALL)?;
            std::io::copy(&mut File::open(from.join(path))?, &mut fresh)?;
            fresh.keep_durably(name)?;
        }
    }
    Ok(())
}

/// The manifest as text that reads back as it is.
fn text_of(manifest: &Manifest, path: &Path) -> Result<String, EnrollError> {
    let wrong = |why: String| BundleError::Manifest {
        path: path.to_owned(),
        why,
    };
    let text = toml::to_string_pretty(manifest).map_err(|error| wrong(error.to_string()))?;
    let text = format!("# Written by {SOFTWARE}.\n{text}");
    if Manifest::parse(&text).map_err(wrong)? != *manifest {
        return Err(wrong("it does not read back as it was written".to_owned()).into());
    }
    Ok(text)
}

/// The known answers with one exam's made again.
fn known_answers(
    bundle: &Bundle,
    from: &Path,
    exam: &str,
    head: &FusionHead,
) -> Result<Vec<u8>, EnrollError> {
    let path = from.join(&bundle.manifest.known_answers);
    let bytes = std::fs::read(&path).map_err(EnrollError::io(&path))?;
    let mut document: Value =
        serde_json::from_slice(&bytes).map_err(|error| BundleError::Known {
            path,
            why: error.to_string(),
        })?;
    for known in &bundle.known_answers.images {
        let reading = reading(bundle, &known.image).map_err(|stopped| SelfTestError::Stopped {
            file: known.file.clone(),
            stopped,
        })?;
        let p = head.probabilities(&head.logits(&reading.whole, &reading.focused));
        let rounded: Vec<f64> = p.iter().map(|p| (p * 1e6).round() / 1e6).collect();
        document["images"][&known.file]["probabilities"][exam] = json!(rounded);
    }
    let by = format!("{SOFTWARE}, which had reproduced the known answers before");
    document["recomputed"][exam] = json!(by);
    let mut bytes = serde_json::to_vec_pretty(&document).unwrap_or_default();
    bytes.push(b'\n');
    Ok(bytes)
}

fn reading(bundle: &Bundle, image: &crate::image::Image) -> Result<Reading, Stopped> {
    pipeline::read(bundle, image, &Overrides::default(), &mut Timings::new())
}

/// The version after this one that is made on a device.
pub fn next_version(version: &str) -> String {
    let (base, number) = match version.rsplit_once(LOCAL) {
        Some((base, number)) => (base, number.parse::<u32>().unwrap_or(0)),
        None => (version, 0),
    };
    format!("{base}{LOCAL}{}", number.saturating_add(1))
}

/// The exam that a file describes: an entry of a manifest's `exams`, without a head.
///
/// # Errors
/// [`EnrollError::NewExam`].
pub fn new_exam(file: &Path) -> Result<ExamSpec, EnrollError> {
    let wrong = |why: String| EnrollError::NewExam {
        path: file.to_owned(),
        why,
    };
    let text = std::fs::read_to_string(file).map_err(|error| wrong(error.to_string()))?;
    let mut table: toml::Table = toml::from_str(&text).map_err(|error| wrong(error.to_string()))?;
    let name = table
        .get("name")
        .and_then(toml::Value::as_str)
        .unwrap_or_default();
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-".contains(c);
    if name.is_empty() || !name.chars().all(is_plain) {
        return Err(wrong("name is made of letters, digits, _ and -".to_owned()));
    }
    for key in ["head", "guard", "enrolled", "calibrated"] {
        if table.contains_key(key) {
            return Err(wrong(format!("{key} is made here: leave it out")));
        }
    }
    let head = format!("heads/{name}.safetensors");
    table.insert("head".to_owned(), head.into());
    let exam: ExamSpec = table
        .try_into()
        .map_err(|error: toml::de::Error| wrong(error.to_string()))?;
    if exam.classes.len() < 2 {
        return Err(wrong("it has fewer than two classes".to_owned()));
    }
    Ok(exam)
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::next_version;

    #[test]
    fn versions_go_on_from_the_one_before() {
        for (before, after) in [
            ("0.1.0", "0.1.0+local.1"),
            ("0.1.0+local.1", "0.1.0+local.2"),
            ("0.1.0+local.x", "0.1.0+local.1"),
        ] {
            assert_eq!(next_version(before), after);
        }
    }
}
