//! The store: the image of every case that waits, under its SHA-256 in the state folder,
//! whatever source it came from. Bytes that come over a line and are cut short stay, and go on
//! from there; files are [copied](Images::copy_from).
//!
//! A stored image is whole, of the right hash and on the disk before anyone is told. Nothing
//! here knows of cases.

mod copy;

pub use copy::{Copied, is_whole};

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use firmware_host::fault::Fault;
use firmware_host::message::Digest;
use sha2::{Digest as _, Sha256};

use super::lock;
use crate::files::{Folder, OPEN_TO_ALL};
use crate::image::MAX_FILE_BYTES;
use crate::journal::{Bound, Order};

/// The largest image that is taken, in bytes: as large a file as is ever read.
pub const LARGEST: u32 = MAX_FILE_BYTES as u32;

/// What the folder may hold, in bytes.
const STORE: u64 = 512 << 20;

const PART: &str = "part";

/// For so long the beginning of an image is kept, to go on from there.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// The store's folder in the state folder.
const FOLDER: &str = "images";

/// Where the image of an order lies, or would.
pub fn place(state: &Path, order: &Order) -> PathBuf {
    match &order.image {
        Some(Bound::Stored(sha256)) => state.join(FOLDER).join(sha256.to_string()),
        _ => PathBuf::from(&order.source),
    }
}

/// Where the store of a state folder has the image of this hash, while it does.
pub fn path(state: &Path, sha256: &str) -> PathBuf {
    // What the journal calls a hash is never a way out of the folder.
    let name = Path::new(sha256).file_name().unwrap_or(OsStr::new("none"));
    state.join(FOLDER).join(name)
}

/// The folder of images.
#[derive(Debug)]
pub struct Images {
    folder: PathBuf,
    /// The same, held open: what is made, moved and removed, is so in this one.
    held: Folder,
    /// Images that some line is sending now.
    busy: Mutex<BTreeSet<Digest>>,
    /// Copies that were begun since the start.
    copies: AtomicU64,
    /// Images that were stored and whose case is about to be accepted, and by how many.
    pins: Mutex<BTreeMap<Digest, usize>>,
}

/// Keeps an image in the store until its case is accepted: another case of the same image may
/// end at any time.
#[derive(Debug)]
pub struct Pin {
    images: Arc<Images>,
    image: Digest,
}

impl Pin {
    /// Which image.
    pub fn image(&self) -> &Digest {
        &self.image
    }
}

impl Drop for Pin {
    fn drop(&mut self) {
        let mut pins = lock(&self.images.pins);
        if let Some(count) = pins.get_mut(&self.image) {
            *count -= 1;
            if *count == 0 {
                pins.remove(&self.image);
            }
        }
    }
}

/// What [`Images::begin`] gives.
#[derive(Debug)]
pub enum Begun {
    /// The image is here already, and stays as long as this is held.
    Stored(Pin),
    /// Its bytes are wanted from [`Upload::have`] on.
    Wanted(Upload),
}

/// An image that is coming.
#[derive(Debug)]
pub struct Upload {
    images: Arc<Images>,
    image: Digest,
    pin: Option<Pin>,
    size: u32,
    have: u32,
    hash: Sha256,
    file: File,
}

impl Images {
    /// Opens the store of a state folder; whole images that no case waits for are removed.
    ///
    /// # Errors
    /// Where the folder cannot be made or read.
    pub fn open(state: &Path, wanted: &BTreeSet<PathBuf>) -> std::io::Result<Self> {
        let folder = state.join(FOLDER);
        let held = Folder::make(state)?.make_folder(FOLDER, OPEN_TO_ALL)?;
        for name in held.names()? {
            let path = folder.join(&name);
            let is_part = path.extension().is_some_and(|end| end == PART);
            let is_kept = is_part && !is_old(&held.about(&name)?);
            if is_own(&path) && !is_kept && !wanted.contains(&path) {
                held.remove_if_there(&name)?;
            }
        }
        Ok(Self {
            folder,
            held,
            busy: Mutex::default(),
            copies: AtomicU64::new(0),
            pins: Mutex::default(),
        })
    }

    /// Where an image lies, or would.
    pub fn path(&self, image: &Digest) -> PathBuf {
        self.folder.join(hex(image))
    }

    /// Does this with what is stored at a path, told whether it is pinned: nobody pins it
    /// meanwhile.
    pub fn with_pins<T>(&self, path: &Path, work: impl FnOnce(bool) -> T) -> T {
        let pins = lock(&self.pins);
        work(pins.keys().any(|image| self.path(image) == path))
    }

    fn pin(self: &Arc<Self>, image: Digest) -> Pin {
        *lock(&self.pins).entry(image).or_default() += 1;
        Pin {
            images: Arc::clone(self),
            image,
        }
    }

    /// Whether the image is here.
    pub fn holds(&self, image: &Digest) -> bool {
        let about = self.held.about(hex(image));
        about.is_ok_and(|about| about.is_file())
    }

    /// Begins to take an image, or goes on with it.
    ///
    /// # Errors
    /// [`Fault::OutOfRange`] where it is empty, [`Fault::ImageTooLarge`],
    /// [`Fault::ImageBusy`], [`Fault::Storage`].
    pub fn begin(self: &Arc<Self>, image: Digest, size: u32) -> Result<Begun, Fault> {
        let pin = self.pin(image);
        if self.holds_whole(&image) {
            return Ok(Begun::Stored(pin));
        }
        if size == 0 {
            return Err(Fault::OutOfRange);
        }
        if size > LARGEST {
            return Err(Fault::ImageTooLarge);
        }
        self.make_room(size.into())?;
        if !lock(&self.busy).insert(image) {
            return Err(Fault::ImageBusy);
        }
        let begun = self.resume(pin, size);
        if begun.is_err() {
            lock(&self.busy).remove(&image);
        }
        begun.map(Begun::Wanted).map_err(failed)
    }

    fn resume(self: &Arc<Self>, pin: Pin, size: u32) -> std::io::Result<Upload> {
        let image = pin.image;
        let mut file = self.held.append(part(&image), OPEN_TO_ALL)?;
        let (mut hash, mut have) = (Sha256::new(), 0);
        let mut bytes = [0; 16 << 10];
        loop {
            let count = match file.read(&mut bytes) {
                Ok(0) => break,
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            hash.update(&bytes[..count]);
            have += count as u64;
        }
        // Another size was said before, or the last write was cut: begin again.
        let have = u32::try_from(have).ok().filter(|have| *have < size);
        if have.is_none() {
            file.set_len(0)?;
            hash = Sha256::new();
        }
        Ok(Upload {
            images: Arc::clone(self),
            image,
            pin: Some(pin),
            size,
            have: have.unwrap_or(0),
            hash,
            file,
        })
    }

    /// Makes room for so many bytes: what was begun longest ago and is sent by nobody now goes.
    ///
    /// # Errors
    /// [`Fault::StoreFull`] where images of cases take the rest, [`Fault::Storage`].
    fn make_room(&self, size: u64) -> Result<(), Fault> {
        // Held from the look on: two that make room at once would both remove the same file.
        let busy = lock(&self.busy);
        let files = self.files().map_err(failed)?;
        let used: u64 = files.iter().map(|(_, about)| about.len()).sum();
        let mut lacking = (used + size).saturating_sub(STORE);
        let is_idle = |path: &PathBuf| {
            let is_part = path.extension().is_some_and(|end| end == PART);
            is_part
                && !busy
                    .iter()
                    .any(|image| self.path(image) == path.with_extension(""))
        };
        let mut idle: Vec<_> = files.iter().filter(|(path, _)| is_idle(path)).collect();
        idle.sort_by_key(|(_, about)| about.modified().ok());
        for (path, about) in idle {
            if lacking == 0 {
                break;
            }
            self.remove_if_there(path).map_err(failed)?;
            lacking = lacking.saturating_sub(about.len());
        }
        if lacking > 0 {
            Err(Fault::StoreFull)
        } else {
            Ok(())
        }
    }

    /// What lies in the folder, but for what goes meanwhile.
    fn files(&self) -> std::io::Result<Vec<(PathBuf, Metadata)>> {
        let mut files = Vec::new();
        for name in self.held.names()? {
            match self.held.about(&name) {
                Ok(about) => files.push((self.folder.join(&name), about)),
                Err(error) if error.is_missing() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(files)
    }

    /// Removes a file; one whose sender was told meanwhile that it is damaged is gone already.
    fn remove_if_there(&self, path: &Path) -> std::io::Result<()> {
        let name = path.file_name().unwrap_or_default();
        Ok(self.held.remove_if_there(name)?)
    }
}

impl Upload {
    /// The image's SHA-256.
    pub fn image(&self) -> Digest {
        self.image
    }

    /// Keeps the image in the store, once it is whole, for as long as this is held.
    pub fn pin(&mut self) -> Option<Pin> {
        self.pin.take()
    }

    /// Begins at the first byte, for a sender that sends all of them.
    ///
    /// # Errors
    /// [`Fault::Storage`].
    pub fn begin_anew(&mut self) -> Result<(), Fault> {
        self.file.set_len(0).map_err(failed)?;
        (self.have, self.hash) = (0, Sha256::new());
        Ok(())
    }

    /// Bytes that are here.
    pub fn have(&self) -> u32 {
        self.have
    }

    /// Takes the next bytes; true where they were the last ones and the image is stored.
    ///
    /// # Errors
    /// [`Fault::Message`] where they are not the next ones, [`Fault::ImageDamaged`] where
    /// the whole has another hash and was forgotten, [`Fault::Storage`].
    pub fn take(&mut self, offset: u32, bytes: &[u8]) -> Result<bool, Fault> {
        let left = (self.size - self.have) as usize;
        if offset != self.have || bytes.len() > left {
            return Err(Fault::Message);
        }
        self.file.write_all(bytes).map_err(failed)?;
        self.hash.update(bytes);
        self.have += bytes.len() as u32;
        if self.have < self.size {
            return Ok(false);
        }
        self.store().map(|()| true)
    }

    fn store(&mut self) -> Result<(), Fault> {
        let (held, part) = (&self.images.held, part(&self.image));
        if self.hash.clone().finalize().as_slice() != self.image {
            held.remove(part).map_err(|error| failed(error.into()))?;
            return Err(Fault::ImageDamaged);
        }
        self.file.sync_all().map_err(failed)?;
        held.rename(part, held, hex(&self.image))
            .and_then(|()| held.sync())
            .map_err(|error| failed(error.into()))
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        lock(&self.images.busy).remove(&self.image);
    }
}

/// Whether nobody has gone on with it for long. Where the clock was set, it is not.
fn is_old(about: &Metadata) -> bool {
    let age = about.modified().ok().and_then(|time| time.elapsed().ok());
    age.is_some_and(|age| age > LONGEST_PAUSE)
}

fn failed(error: std::io::Error) -> Fault {
    log::error!("images: {error}");
    Fault::Storage
}

/// What the beginning of an image is called.
fn part(image: &Digest) -> String {
    format!("{}.{PART}", hex(image))
}

/// Whether a file has a name that this store gives: an image, the beginning of one, a copy.
fn is_own(path: &Path) -> bool {
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let is_hash = stem.len() == 64 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    match path.extension().and_then(OsStr::to_str) {
        None | Some(PART) => is_hash,
        Some(copy::ENDING) => stem.bytes().all(|byte| byte.is_ascii_digit()),
        Some(_) => false,
    }
}

/// Lower-case hexadecimal.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    pub fn open(state: &Path, wanted: &[PathBuf]) -> Arc<Images> {
        let wanted = wanted.iter().cloned().collect();
        Arc::new(Images::open(state, &wanted).unwrap())
    }

    fn wanted(begun: Result<Begun, Fault>) -> Upload {
        match begun {
            Ok(Begun::Wanted(upload)) => upload,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn an_image_goes_on_where_it_was_cut_and_lasts_until_its_case_is_over() {
        let folder = tempfile::tempdir().unwrap();
        let bytes = vec![7; 5000];
        let image: Digest = Sha256::digest(&bytes).into();
        let images = open(folder.path(), &[]);
        let mut upload = wanted(images.begin(image, 5000));
        assert_eq!(upload.take(0, &bytes[..3000]), Ok(false));
        assert!(matches!(images.begin(image, 5000), Err(Fault::ImageBusy)));
        assert_eq!(upload.take(2000, &bytes[2000..]), Err(Fault::Message));
        drop((upload, images));
        let images = open(folder.path(), &[]);
        let mut upload = wanted(images.begin(image, 5000));
        assert_eq!(upload.have(), 3000);
        assert!(!images.holds(&image));
        assert_eq!(upload.take(3000, &bytes[3000..]), Ok(true));
        drop(upload);
        assert_eq!(std::fs::read(images.path(&image)).unwrap(), bytes);
        assert!(matches!(images.begin(image, 5000), Ok(Begun::Stored(_))));
        let path = images.path(&image);
        assert!(open(folder.path(), std::slice::from_ref(&path)).holds(&image));
        assert!(!open(folder.path(), &[]).holds(&image));
    }

    #[test]
    fn a_damaged_image_is_forgotten_and_a_large_one_is_not_begun() {
        let folder = tempfile::tempdir().unwrap();
        let images = open(folder.path(), &[]);
        let image: Digest = Sha256::digest(b"right").into();
        let mut upload = wanted(images.begin(image, 5));
        assert_eq!(upload.take(0, b"wrong"), Err(Fault::ImageDamaged));
        drop(upload);
        let mut upload = wanted(images.begin(image, 5));
        assert_eq!(upload.have(), 0);
        assert_eq!(upload.take(0, b"right"), Ok(true));
        let begun = |size| images.begin([1; 32], size).map(|_| ());
        assert_eq!(begun(0), Err(Fault::OutOfRange));
        assert_eq!(begun(LARGEST + 1), Err(Fault::ImageTooLarge));
    }
}
