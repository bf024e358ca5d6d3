//! The store: the image of every case that waits, under its SHA-256 in the state folder,
//! whatever source it came from. Bytes that come over a line and are cut short stay, and go on
//! from there; files are [copied](Images::copy_from).
//!
//! A stored image is whole, of the right hash and on the disk before anyone is told. The bytes
//! of one that is begun are [its own](shares) from then on. Nothing here knows of cases.

mod copy;
mod shares;

pub use copy::{Copied, is_whole};

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use firmware_host::message::Digest;
use jiff::Timestamp;
use sha2::Digest as _;

use crate::case::{Bound, Giver, Order};
use crate::clock::Clock;
use crate::device::case_error::CaseError;
use crate::device::disk_space::DiskSpace;
use crate::device::lock::lock;
use crate::image::MAX_FILE_BYTES;
use crate::sha256::Sha256;
use crate::storage::{About, Area, Name, Open, Reading, Storage};
use shares::{Lying, STORE, Shares, Short};

/// The largest image that is taken, in bytes: as large a file as is ever read.
pub const LARGEST: u32 = MAX_FILE_BYTES as u32;

const PART: &str = "part";

/// For so long the beginning of an image is kept, to go on from there.
const LONGEST_PAUSE: Duration = Duration::from_secs(24 * 60 * 60);

/// For so long it is told that an image found no room.
const TOLD_FOR: Duration = Duration::from_secs(60);

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
pub fn path(state: &Path, sha256: &Sha256) -> PathBuf {
    state.join(FOLDER).join(sha256.to_string())
}

/// What becomes of an image that finds no room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Or {
    /// Its source keeps it: nobody need do anything where it is its giver's share that is full.
    Waits,
    /// Whoever sends it has to send it again.
    IsLost,
}

/// The folder of images.
#[derive(Debug)]
pub struct Images {
    folder: PathBuf,
    storage: Arc<dyn Storage>,
    /// The disk that it lies on.
    disk: DiskSpace,
    clock: Clock,
    shares: Mutex<Shares>,
    /// When an image found no room last.
    was_full: Mutex<Option<Instant>>,
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
    Wanted(Box<Upload>),
}

/// An image that is coming.
#[derive(Debug)]
pub struct Upload {
    coming: Coming,
    image: Digest,
    pin: Option<Pin>,
    size: u32,
    have: u32,
    hash: sha2::Sha256,
    file: Open,
    /// Another sender can go on from what has come.
    goes_on: bool,
}

/// Room that a file has in the store while it is written.
#[derive(Debug)]
struct Coming {
    images: Arc<Images>,
    /// The file that is written.
    path: PathBuf,
    /// What becomes of it.
    lies: PathBuf,
}

impl Drop for Coming {
    fn drop(&mut self) {
        lock(&self.images.shares).end(&self.path, &self.lies);
    }
}

impl Images {
    /// Opens the store of a state folder; whole images that no case waits for are removed, and
    /// so are beginnings of images that are too old or too many. Of what stays it is said who
    /// brought it, where that is known.
    ///
    /// # Errors
    /// Where the folder cannot be made or read.
    pub fn open(
        storage: Arc<dyn Storage>,
        wanted: &BTreeMap<PathBuf, Option<Giver>>,
        disk: DiskSpace,
        clock: Clock,
    ) -> std::io::Result<Self> {
        let folder = storage.path().join(FOLDER);
        storage.make(Area::Images)?;
        let mut shares = Shares::default();
        for name in storage.names(Area::Images)? {
            let path = folder.join(&name);
            if let Some(giver) = wanted.get(&path) {
                shares.own(path, giver.clone());
            } else if is_own(&path) && !is_part(&path) {
                storage.remove_if_there(Area::Images.named(&name))?;
            }
        }
        let images = Self {
            folder,
            storage,
            disk,
            clock,
            shares: Mutex::new(shares),
            was_full: Mutex::default(),
            copies: AtomicU64::new(0),
            pins: Mutex::default(),
        };
        images.sweep()?;
        Ok(images)
    }

    /// Removes beginnings of images that nobody has gone on with for long, and those that are
    /// too many, the oldest first.
    ///
    /// # Errors
    /// What the system says.
    pub fn sweep(&self) -> std::io::Result<()> {
        let shares = lock(&self.shares);
        let (lying, old) = self.lying()?;
        let old = old.into_iter().filter(|path| !shares.is_coming(path));
        let mut gone = shares.too_many_halves(&lying).into_iter().chain(old);
        gone.try_for_each(|path| self.remove_if_there(&path))
    }

    /// Whether hardly any image finds room, or one found none of late.
    pub fn is_full(&self) -> bool {
        let was_full = lock(&self.was_full).is_some_and(|when| self.clock.since(when) < TOLD_FOR);
        let shares = lock(&self.shares);
        let used = self.lying().map_or(0, |(lying, _)| shares.used(&lying));
        was_full || used > STORE / 10 * 9
    }

    /// Where an image lies, or would.
    pub fn path(&self, image: &Digest) -> PathBuf {
        self.folder.join(Sha256(*image).to_string())
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
        let about = self.storage.about(file(&self.path(image)));
        about.is_ok_and(|about| about.is_file)
    }

    /// Begins to take an image of this giver, or goes on with it.
    ///
    /// # Errors
    /// [`CaseError::ImageEmpty`] where it is empty, [`CaseError::ImageTooLarge`],
    /// [`CaseError::ImageBusy`], and those of making room.
    pub fn begin(
        self: &Arc<Self>,
        image: Digest,
        size: u32,
        giver: Option<&Giver>,
    ) -> Result<Begun, CaseError> {
        let pin = self.pin(image);
        if self.holds_whole(&image) {
            return Ok(Begun::Stored(pin));
        }
        if size == 0 {
            return Err(CaseError::ImageEmpty);
        }
        if size > LARGEST {
            return Err(CaseError::ImageTooLarge);
        }
        let path = self.path(&image);
        let part = path.with_extension(PART);
        let coming = self.reserve(part, path, giver, size.into(), Or::IsLost)?;
        let upload = resume(coming, pin, size).map_err(failed)?;
        Ok(Begun::Wanted(Box::new(upload)))
    }

    /// Makes room for a file of so many bytes, which are its own from now on: what was begun
    /// longest ago and is sent by nobody now goes.
    ///
    /// # Errors
    /// [`CaseError::ImageBusy`] where somebody writes it, [`CaseError::StoreFull`] where others take the
    /// rest, or its giver has its share, [`CaseError::StorageFull`], [`CaseError::Storage`].
    fn reserve(
        self: &Arc<Self>,
        path: PathBuf,
        lies: PathBuf,
        giver: Option<&Giver>,
        size: u64,
        or: Or,
    ) -> Result<Coming, CaseError> {
        // Held from the look on: two that look at once would both take the same room.
        let mut shares = lock(&self.shares);
        if shares.is_coming(&path) {
            return Err(CaseError::ImageBusy);
        }
        let (lying, _) = self.lying().map_err(failed)?;
        let gone = shares
            .must_go(&lying, &path, giver, size)
            .map_err(|short| {
                if (short, or) != (Short::Share, Or::Waits) {
                    *lock(&self.was_full) = Some(self.clock.now());
                }
                CaseError::StoreFull
            })?;
        for path in gone {
            self.remove_if_there(&path).map_err(failed)?;
        }
        if !self.disk.takes(shares.outstanding(&lying) + size) {
            return Err(CaseError::StorageFull);
        }
        shares.begin(path.clone(), giver.cloned(), size);
        let images = Arc::clone(self);
        Ok(Coming { images, path, lies })
    }

    /// What lies in the folder, what was written longest ago first, but for what goes meanwhile;
    /// and the beginnings of images that are old.
    fn lying(&self) -> std::io::Result<(Vec<Lying>, Vec<PathBuf>)> {
        let (mut files, mut old) = (Vec::new(), Vec::new());
        for name in self.storage.names(Area::Images)? {
            let about = match self.storage.about(Area::Images.named(&name)) {
                Ok(about) => about,
                Err(error) if error.is_missing() => continue,
                Err(error) => return Err(error.into()),
            };
            let (path, bytes) = (self.folder.join(&name), about.bytes);
            let is_half = is_part(&path);
            if is_half && is_old(&about, self.clock.wall()) {
                old.push(path.clone());
            }
            let lying = Lying {
                path,
                bytes,
                is_half,
            };
            files.push((about.modified, lying));
        }
        files.sort_by_key(|(written, _)| *written);
        Ok((files.into_iter().map(|(_, lying)| lying).collect(), old))
    }

    /// Removes a file; one whose sender was told meanwhile that it is damaged is gone already.
    fn remove_if_there(&self, path: &Path) -> std::io::Result<()> {
        Ok(self.storage.remove_if_there(file(path))?)
    }
}

/// Goes on from what has come of an image.
fn resume(coming: Coming, pin: Pin, size: u32) -> std::io::Result<Upload> {
    let image = pin.image;
    let part = coming.images.storage.append(file(&coming.path))?;
    let mut there = Reading::of(&*part);
    let (mut hash, mut have) = (sha2::Sha256::new(), 0);
    let mut bytes = [0; 16 << 10];
    loop {
        let count = match there.read(&mut bytes) {
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
        part.set_len(0)?;
        hash = sha2::Sha256::new();
    }
    Ok(Upload {
        coming,
        image,
        pin: Some(pin),
        size,
        have: have.unwrap_or(0),
        hash,
        file: part,
        goes_on: true,
    })
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

    /// Begins at the first byte, for a sender that sends all of them: where it is cut short,
    /// nothing is left.
    ///
    /// # Errors
    /// [`CaseError::Storage`].
    pub fn begin_anew(&mut self) -> Result<(), CaseError> {
        self.file.set_len(0).map_err(failed)?;
        (self.have, self.hash) = (0, sha2::Sha256::new());
        self.goes_on = false;
        Ok(())
    }

    /// Bytes that are here.
    pub fn have(&self) -> u32 {
        self.have
    }

    /// Takes the next bytes; true where they were the last ones and the image is stored.
    ///
    /// # Errors
    /// [`CaseError::PieceOutOfPlace`] where they are not the next ones, [`CaseError::ImageDamaged`] where
    /// the whole has another hash and was forgotten, [`CaseError::Storage`].
    pub fn take(&mut self, offset: u32, bytes: &[u8]) -> Result<bool, CaseError> {
        let left = (self.size - self.have) as usize;
        if offset != self.have || bytes.len() > left {
            return Err(CaseError::PieceOutOfPlace);
        }
        let have = self.have.into();
        self.file.write_all_at(bytes, have).map_err(failed)?;
        self.hash.update(bytes);
        self.have += bytes.len() as u32;
        if self.have < self.size {
            return Ok(false);
        }
        self.store().map(|()| true)
    }

    fn store(&mut self) -> Result<(), CaseError> {
        let storage = &self.coming.images.storage;
        let (part, whole) = (file(&self.coming.path), file(&self.coming.lies));
        self.goes_on = true;
        if self.hash.clone().finalize().as_slice() != self.image {
            storage.remove(part).map_err(|error| failed(error.into()))?;
            return Err(CaseError::ImageDamaged);
        }
        storage.keep(&*self.file, part, whole).map_err(failed)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if !self.goes_on {
            // Where this fails, it goes with what is too old.
            let _ = self.coming.images.remove_if_there(&self.coming.path);
        }
    }
}

/// Whether it is the beginning of an image.
fn is_part(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == PART)
}

/// Whether nobody has gone on with it for long. Where the clock was set, it is not.
fn is_old(about: &About, now: Timestamp) -> bool {
    let age = about.modified.map(|time| now.duration_since(time));
    age.and_then(|age| Duration::try_from(age).ok())
        .is_some_and(|age| age > LONGEST_PAUSE)
}

fn failed(error: std::io::Error) -> CaseError {
    log::error!("images: {error}");
    CaseError::Storage
}

/// What a file of the store is called.
fn file(path: &Path) -> Name<'_> {
    Area::Images.named(path.file_name().unwrap_or_default())
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

#[cfg(test)]
mod tests;
