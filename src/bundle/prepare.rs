//! Graphs made ready for this CPU, in a folder beside the bundle: `NAME.prepared`.
//!
//! They lie outside the bundle, whose files are all listed and hashed, and carry a code by the
//! [key](PreparedKey) of the device that made them. One that is missing costs a slower
//! start; one that is broken, or that another device made, is told of and made anew; neither ever
//! changes an answer. Without a key none is used.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::contents::Contents;
use super::trust::Trust;
use super::verify::verify_but;
use super::{BundleError, Checked, verify};
use crate::device_key::{DeviceKey, KeyError, PublicKey};
use crate::engine::{Arithmetic, EngineError, Graph, Origin, PreparedKey};
use crate::files::Folder;

/// The key of the prepared graphs of the device with this state folder; `None` where no device
/// was ever there, or this user may not know it: then no prepared graph is used.
#[must_use]
pub fn prepared_key(state: &Path) -> Option<PreparedKey> {
    let folder = Folder::open(state).ok()?;
    let found = match PublicKey::of(&folder) {
        Ok(None) => return None,
        Ok(Some(_)) => DeviceKey::of(&folder),
        Err(error) => Err(error),
    };
    let told = found.inspect_err(|error| log::info!("no prepared graph is used: {error}"));
    told.ok().as_ref().map(derived)
}

/// The same; where the device has no key yet, one is made.
///
/// # Errors
/// [`KeyError`].
pub fn make_prepared_key(state: &Path) -> Result<PreparedKey, KeyError> {
    Ok(derived(&DeviceKey::of(&Folder::make(state)?)?))
}

fn derived(key: &DeviceKey) -> PreparedKey {
    PreparedKey::new(key.derive("prepared graphs"))
}

/// Verifies a bundle and writes the prepared file of each of its graphs; answers their
/// paths and lengths.
///
/// # Errors
/// [`BundleError`], which names the file.
pub fn prepare(folder: &Path, key: &PreparedKey) -> Result<Vec<(PathBuf, u64)>, BundleError> {
    let checked = verify(folder)?;
    let target = folder_beside(folder);
    let write = |file: &str| {
        let path = folder.join(file);
        let bytes = &checked.files[file];
        let graph = Graph::read(&path, bytes, Arithmetic::AsWritten).map_err(|error| {
            BundleError::Graph {
                path: path.clone(),
                error: Box::new(error),
            }
        })?;
        let origin = Origin::new(&checked.manifest.files[file], bytes.len() as u64);
        let origin = origin.ok_or_else(|| BundleError::Manifest {
            path: path.clone(),
            why: format!("the hash of {file} is not one"),
        })?;
        let written = graph.prepare(&origin, &target, key);
        written.map_err(|(path, error)| BundleError::Unwritable { path, error })
    };
    checked.manifest.graphs().into_iter().map(write).collect()
}

/// Whether every graph of a bundle has a prepared file that this CPU and this device can use.
pub fn is_prepared(folder: &Path, key: Option<&PreparedKey>) -> bool {
    let mut prepared = Prepared::beside(folder, key);
    let mut all = true;
    let checked = verify_but(folder, &Trust::default(), &mut |manifest, name, files| {
        if manifest.graphs().contains(&name) {
            all &= prepared.open(name, files, &manifest.files[name]);
        }
        // Whether it is whole is another question.
        true
    });
    checked.is_ok() && all
}

/// The files of a bundle's graphs.
///
/// # Errors
/// [`BundleError`]: the manifest cannot be read or used.
pub fn graph_files(folder: &Path) -> Result<Vec<String>, BundleError> {
    let checked = verify_but(folder, &Trust::default(), &mut |_, _, _| true)?;
    let files = checked.manifest.graphs().into_iter();
    Ok(files.map(str::to_owned).collect())
}

/// One graph of a bundle, by its file: from its prepared file, else from the ONNX file,
/// which is hashed. Nothing else of the bundle is read but the manifest.
///
/// # Errors
/// [`BundleError`], which names the file.
pub fn graph(folder: &Path, file: &str, key: Option<&PreparedKey>) -> Result<Graph, BundleError> {
    let mut prepared = Prepared::beside(folder, key);
    let mut checked = verify_but(folder, &Trust::default(), &mut |manifest, name, files| {
        name != file || prepared.open(name, files, &manifest.files[name])
    })?;
    prepared.graph(&mut checked, file)
}

/// Where the prepared graphs of a bundle lie.
pub fn folder_beside(bundle: &Path) -> PathBuf {
    let bundle = bundle.canonicalize().unwrap_or_else(|_| bundle.to_owned());
    let mut name = bundle.file_name().unwrap_or_default().to_owned();
    name.push(".prepared");
    bundle.with_file_name(name)
}

/// The prepared graphs of a bundle that is being loaded.
pub(super) struct Prepared<'k> {
    folder: PathBuf,
    key: Option<&'k PreparedKey>,
    graphs: BTreeMap<String, Graph>,
    /// What to write again once the graph has been read from its ONNX file.
    broken: BTreeMap<String, Origin>,
}

impl<'k> Prepared<'k> {
    pub fn beside(bundle: &Path, key: Option<&'k PreparedKey>) -> Self {
        Self {
            folder: folder_beside(bundle),
            key,
            graphs: BTreeMap::new(),
            broken: BTreeMap::new(),
        }
    }

    /// Whether a prepared graph stands in for this ONNX file, which has this hash.
    pub fn open(&mut self, file: &str, files: &Contents, sha256: &str) -> bool {
        let Some(key) = self.key else {
            return false;
        };
        let origin = files.length(file);
        let Some(origin) = origin.ok().and_then(|length| Origin::new(sha256, length)) else {
            return false;
        };
        match Graph::open(&files.path().join(file), &origin, &self.folder, key) {
            Ok(Some(graph)) => {
                self.graphs.insert(file.to_owned(), graph);
                return true;
            }
            Ok(None) => {}
            Err(error @ EngineError::Prepared { .. }) => {
                log::warn!("prepared graph {error}; it is made anew");
                self.broken.insert(file.to_owned(), origin);
            }
            // The graph's own loading meets the same error and tells it.
            Err(_) => {}
        }
        false
    }

    /// The graph of this file, prepared or read from its checked bytes.
    pub fn graph(&mut self, checked: &mut Checked, file: &str) -> Result<Graph, BundleError> {
        if let Some(graph) = self.graphs.remove(file) {
            return Ok(graph);
        }
        let path = checked.folder.join(file);
        let bytes = checked.files.remove(file).unwrap_or_default();
        let graph = Graph::read(&path, &bytes, Arithmetic::AsWritten).map_err(|error| {
            BundleError::Graph {
                path,
                error: Box::new(error),
            }
        })?;
        self.mend(file, &graph);
        Ok(graph)
    }

    /// Writes a prepared file again that was found broken.
    fn mend(&mut self, file: &str, graph: &Graph) {
        if let Some(origin) = self.broken.remove(file)
            && let Some(key) = self.key
            && let Err((path, error)) = graph.prepare(&origin, &self.folder, key)
        {
            let name = path.file_name().unwrap_or_default().display();
            log::warn!("prepared graph {name}: cannot be written: {error}");
        }
    }
}
