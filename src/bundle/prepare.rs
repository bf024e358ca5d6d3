//! Graphs made ready for this CPU, in a folder beside the bundle: `NAME.prepared`.
//!
//! They lie outside the bundle, whose files are all listed and hashed, and carry a code by the
//! [key](PreparedKey) of the device that made them. One that is missing costs a slower
//! start; one that is broken, or that another device made, is told of and made anew; neither ever
//! changes an answer. Without a key none is used.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};

use rustix::fs::{Mode, fchmod};

use super::contents::Contents;
use super::trust::Trust;
use super::verify::verify_but;
use super::{BundleError, Checked, verify};
use crate::device_key::{DeviceKey, KeyError, PublicKey};
use crate::engine::{Arithmetic, Engine, EngineError, Graph, Origin, PreparedFile, PreparedKey};
use crate::files::Folder;
use crate::storage::Disk;

/// The key of the prepared graphs of the device with this state folder; `None` where no device
/// was ever there, or this user may not know it: then no prepared graph is used.
#[must_use]
pub fn prepared_key(state: &Path) -> Option<PreparedKey> {
    let folder = Disk::of(Folder::open(state).ok()?);
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
    Ok(derived(&DeviceKey::of(&*Disk::make(state)?)?))
}

fn derived(key: &DeviceKey) -> PreparedKey {
    PreparedKey::new(key.derive("prepared graphs"))
}

/// Verifies a bundle and writes the prepared file of each of its graphs; answers their
/// paths and lengths.
///
/// # Errors
/// [`BundleError`], which names the file.
pub fn prepare(
    folder: &Path,
    key: &PreparedKey,
    engine: &Engine,
) -> Result<Vec<(PathBuf, u64)>, BundleError> {
    let checked = verify(folder)?;
    let target = folder_beside(folder);
    let prepare = |file: &str| {
        let path = folder.join(file);
        let bytes = &checked.files[file];
        let graph = read(engine, &path, bytes, checked.manifest.mixed)?;
        if !graph.is_ours() {
            log::info!("{file}: is not this engine's alone, and is read anew at each start");
            return Ok(None);
        }
        let origin = Origin::new(&checked.manifest.files[file], bytes.len() as u64);
        let origin = origin.ok_or_else(|| BundleError::Manifest {
            path: path.clone(),
            why: format!("the hash of {file} is not one"),
        })?;
        write(&graph, &origin, &target, key)
            .map(Some)
            .map_err(|(path, error)| BundleError::Unwritable { path, error })
    };
    let graphs = checked.manifest.graphs().into_iter();
    graphs
        .filter_map(|file| prepare(file).transpose())
        .collect()
}

/// A graph from its ONNX bytes: this engine's alone, unless the manifest says that it is `mixed`.
fn read(engine: &Engine, path: &Path, bytes: &[u8], mixed: bool) -> Result<Graph, BundleError> {
    let read = if mixed {
        Graph::read_mixed
    } else {
        Graph::read
    };
    read(engine, path, bytes, Arithmetic::AsWritten).map_err(|error| BundleError::Graph {
        path: path.to_owned(),
        error: Box::new(error),
    })
}

/// Whether every graph of a bundle has a prepared file that this CPU and this device can use.
pub fn is_prepared(folder: &Path, key: Option<&PreparedKey>, engine: &Engine) -> bool {
    let mut prepared = Prepared::beside(folder, key, engine);
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
pub fn graph(
    folder: &Path,
    file: &str,
    key: Option<&PreparedKey>,
    engine: &Engine,
) -> Result<Graph, BundleError> {
    let mut prepared = Prepared::beside(folder, key, engine);
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
    engine: &'k Engine,
    graphs: BTreeMap<String, Graph>,
    /// What to write again once the graph has been read from its ONNX file.
    broken: BTreeMap<String, Origin>,
}

impl<'k> Prepared<'k> {
    pub fn beside(bundle: &Path, key: Option<&'k PreparedKey>, engine: &'k Engine) -> Self {
        Self {
            folder: folder_beside(bundle),
            key,
            engine,
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
        let path = files.path().join(file);
        match open(self.engine, &path, &origin, &self.folder, key) {
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
        let graph = read(self.engine, &path, &bytes, checked.manifest.mixed)?;
        self.mend(file, &graph);
        Ok(graph)
    }

    /// Writes a prepared file again that was found broken.
    fn mend(&mut self, file: &str, graph: &Graph) {
        if let Some(origin) = self.broken.remove(file)
            && let Some(key) = self.key
            && let Err((path, error)) = write(graph, &origin, &self.folder, key)
        {
            let name = path.file_name().unwrap_or_default().display();
            log::warn!("prepared graph {name}: cannot be written: {error}");
        }
    }
}

/// A graph from its prepared file in `folder`; `None` where there is none for this CPU and this
/// ONNX file at `path`.
fn open(
    engine: &Engine,
    path: &Path,
    origin: &Origin,
    folder: &Path,
    key: &PreparedKey,
) -> Result<Option<Graph>, EngineError> {
    let name = Graph::prepared_name(engine, path, origin)?;
    let opened = Folder::open(folder).and_then(|folder| folder.open_file(&name));
    let cannot = |error: std::io::Error| EngineError::Prepared {
        file: name.clone(),
        why: format!("cannot be read: {error}"),
    };
    let mut file = match opened {
        Ok(file) => file,
        Err(error) if error.is_missing() => return Ok(None),
        Err(error) => return Err(cannot(error.into())),
    };
    let length = file.metadata().map_err(cannot)?.len();
    Graph::read_prepared(engine, path, origin, key, &mut file, length).map(Some)
}

/// Writes the prepared file of a graph into `folder`; answers its path and length. Whoever opens it meanwhile sees the old one or the new one.
fn write(
    graph: &Graph,
    origin: &Origin,
    folder: &Path,
    key: &PreparedKey,
) -> Result<(PathBuf, u64), (PathBuf, std::io::Error)> {
    let failed = |error: EngineError| (folder.to_owned(), std::io::Error::other(error));
    let prepared = graph.prepare(origin, key).map_err(failed)?;
    let path = folder.join(&prepared.name);
    match keep(folder, &prepared) {
        Ok(()) => Ok((path, prepared.bytes.len() as u64)),
        Err(error) => Err((path, error)),
    }
}

fn keep(folder: &Path, prepared: &PreparedFile) -> std::io::Result<()> {
    let folder = Folder::make(folder)?;
    // The device may be another user than root, who prepared it: nothing in here is a secret.
    // Of a folder that is another's, its owner decides.
    let _ = fchmod(&folder, Mode::from_raw_mode(0o755));
    let mut file = folder.fresh(Mode::from_raw_mode(0o644))?;
    fchmod(file.file(), Mode::from_raw_mode(0o644))?;
    file.write_all(&prepared.bytes)?;
    file.keep_durably(&prepared.name)?;
    Ok(())
}
