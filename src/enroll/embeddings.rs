//! Embeddings that were made before, each under the hash of its image: another look at the
//! same cases takes seconds. They are good for one way of making them only: models, focus and
//! the exam's gate are in the folder's name.

use std::path::Path;

use sha2::{Digest, Sha256};

use super::EnrollError;
use crate::bundle::{Bundle, ExamSpec};
use crate::case::SOFTWARE;
use crate::files::{Folder, OWN};

/// The folder in the state folder.
const FOLDER: &str = "embeddings";

/// A folder of embeddings.
#[derive(Debug)]
pub struct Embeddings {
    /// `None` where there is none and none is written.
    folder: Option<Folder>,
    dimension: usize,
    writes: bool,
}

/// Unit embeddings of the whole and of the focused image.
pub type Pair = (Vec<f32>, Vec<f32>);

impl Embeddings {
    /// Those that a state folder keeps of a bundle's models for an exam. Without `writes`
    /// none are added.
    ///
    /// # Errors
    /// [`EnrollError::Io`]: the folder cannot be made.
    pub fn open(
        state: &Path,
        bundle: &Bundle,
        exam: &ExamSpec,
        writes: bool,
    ) -> Result<Self, EnrollError> {
        let way = way(bundle, exam);
        let folder = if writes {
            let all = private(state, FOLDER)?;
            let own = all.make_folder(&way, OWN);
            let own = own.and_then(|own| own.sweep().map(|_| own));
            Some(own.map_err(EnrollError::io(&all.path_of(&way)))?)
        } else {
            let all = Folder::open(state).and_then(|state| state.folder(FOLDER));
            all.and_then(|all| all.folder(&way)).ok()
        };
        Ok(Self {
            folder,
            dimension: bundle.manifest.image_encoder.embedding,
            writes,
        })
    }

    /// The embeddings of the image of this hash; a damaged file is as good as none.
    pub fn get(&self, sha256: &str) -> Option<Pair> {
        let length = 8 * self.dimension;
        let most = (length + 32) as u64;
        let bytes = self.folder.as_ref()?.read(sha256, most).ok()?;
        let (values, hash) = bytes.split_at_checked(length)?;
        if hash != Sha256::digest(values).as_slice() {
            return None;
        }
        let values = values.chunks_exact(4);
        let mut values = values.map(|b| f32::from_le_bytes([b[0], b[1], b[2], b[3]]));
        let whole = values.by_ref().take(self.dimension).collect();
        Some((whole, values.collect()))
    }

    /// Keeps the embeddings of an image.
    ///
    /// # Errors
    /// [`EnrollError::Io`].
    pub fn put(&self, sha256: &str, (whole, focused): &Pair) -> Result<(), EnrollError> {
        let Some(folder) = self.folder.as_ref().filter(|_| self.writes) else {
            return Ok(());
        };
        let values = whole.iter().chain(focused);
        let mut bytes: Vec<u8> = values.flat_map(|value| value.to_le_bytes()).collect();
        let hash = Sha256::digest(&bytes);
        bytes.extend_from_slice(&hash);
        // Lost in a power failure, they are made again.
        folder
            .swap(sha256, &bytes)
            .map_err(EnrollError::io(&folder.path_of(sha256)))
    }
}

/// A folder of the state folder that nobody else may look into.
pub(super) fn private(state: &Path, name: &str) -> Result<Folder, EnrollError> {
    let made = Folder::make(state).and_then(|state| state.make_folder(name, OWN));
    // What was left half written by one that was killed.
    let swept = made.and_then(|folder| folder.sweep().map(|_| folder));
    swept.map_err(EnrollError::io(&state.join(name)))
}

/// A name for all that an embedding, and whether there is one, depends on.
fn way(bundle: &Bundle, exam: &ExamSpec) -> String {
    let manifest = &bundle.manifest;
    let graphs = manifest.graphs().into_iter();
    let graphs = graphs.chain(manifest.segmenter.mask_prompt.as_deref());
    let graphs = graphs.chain(manifest.gate.as_ref().map(|gate| gate.graph.as_str()));
    let hashes: Vec<&String> = graphs.map(|file| &manifest.files[file]).collect();
    let parts = serde_json::json!([
        SOFTWARE,
        manifest.segmenter,
        manifest.image_encoder,
        manifest.focus,
        manifest.gate,
        exam.kind,
        exam.modalities,
        exam.body_parts,
        exam.views,
        exam.lateralities,
        hashes,
    ]);
    let digest = Sha256::digest(parts.to_string().as_bytes());
    digest[..8]
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn embeddings_come_back_to_the_bit_and_damaged_ones_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let kept = Embeddings {
            folder: Folder::open(folder.path()).ok(),
            dimension: 3,
            writes: true,
        };
        let pair = (vec![0.1, 0.2, 0.3], vec![-0.1, f32::MIN_POSITIVE, 1.0]);
        kept.put("abc", &pair).unwrap();
        assert_eq!(kept.get("abc"), Some(pair));
        assert_eq!(kept.get("other"), None);
        let path = folder.path().join("abc");
        let whole = std::fs::read(&path).unwrap();
        for at in 0..whole.len() {
            let mut bytes = whole.clone();
            bytes[at] ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(kept.get("abc"), None, "byte {at}");
            std::fs::write(&path, &whole[..at]).unwrap();
            assert_eq!(kept.get("abc"), None, "cut at {at}");
        }
    }
}
