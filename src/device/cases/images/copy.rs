//! A file of this computer becomes an image of the store: a file or a path comes in, the
//! SHA-256 of the bytes that were stored comes out, durable.
//!
//! Called where a case is accepted for a file, before its number is told. What happens to the
//! file afterwards is no business of the case. Never gives the hash of bytes that were not
//! stored, and never stores a file that was written to meanwhile.

use std::fs::{File, Metadata};
use std::io::{ErrorKind, Read, Result as IoResult, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::SystemTime;

use firmware_host::message::Digest;
use sha2::Digest as _;

use super::{Coming, Images, LARGEST, Or, Pin, failed, file as named};
use crate::case::{Bound, Giver};
use crate::device::case_error::CaseError;
use crate::files::FileError;
use crate::image::open::NoFile;
use crate::sha256::Sha256;
use crate::storage::{Area, Name, Open, Reading, Storage};

/// What a copy's name ends in until it is whole.
pub(super) const ENDING: &str = "copy";

/// Bytes that are read at once.
const PIECE: usize = 64 << 10;

/// What became of copying a file.
#[derive(Debug)]
pub struct Copied {
    /// The image that a case can be accepted for.
    pub image: Bound,
    /// Keeps it in the store until that is done.
    _pin: Option<Pin>,
}

impl Copied {
    fn unpinned(image: Bound) -> Self {
        Self { image, _pin: None }
    }
}

impl Images {
    /// Copies a file that was opened by its path. Where nothing that can be read lay there, the
    /// reason is bound instead.
    ///
    /// # Errors
    /// [`CaseError::ImageUnsteady`], [`CaseError::StoreFull`], [`CaseError::StorageFull`],
    /// [`CaseError::Storage`].
    pub fn copy_from(
        self: &Arc<Self>,
        opened: Result<File, NoFile>,
        path: &Path,
        giver: Option<&Giver>,
    ) -> Result<Copied, CaseError> {
        let unreadable = |refusal| Ok(Copied::unpinned(Bound::Unreadable(Box::new(refusal))));
        let name = path.display().to_string();
        let mut file = match opened {
            Ok(file) => file,
            Err(error) => return unreadable(error.refusal().about(&name)),
        };
        match self.copy(&mut file, giver, &|| ()) {
            Ok(copied) => copied,
            Err(error) => unreadable(NoFile::Io(error).refusal().about(&name)),
        }
    }

    /// Copies an open file. The outer error is the file's, the inner one the store's. `came` is
    /// called for every piece that was read of it.
    ///
    /// # Errors
    /// As [`Images::copy_from`].
    pub fn copy(
        self: &Arc<Self>,
        file: &mut File,
        giver: Option<&Giver>,
        came: &dyn Fn(),
    ) -> IoResult<Result<Copied, CaseError>> {
        let before = Seen::of(&file.metadata()?);
        if before.size > LARGEST.into() {
            let large = Bound::TooLarge(hash_of_large(file, before.size, came)?);
            return Ok(Ok(Copied::unpinned(large)));
        }
        if let Some(copied) = self.already_here(file, before, came)? {
            return Ok(Ok(copied));
        }
        let mut copy = match self.new_copy(giver, before.size) {
            Ok(copy) => copy,
            Err(fault) => return Ok(Err(fault)),
        };
        let mut bytes = vec![0; PIECE];
        // One byte more than was there shows that it grows.
        let mut rest = file.take(before.size + 1);
        loop {
            let piece = match piece(&mut rest, &mut bytes)? {
                [] => break,
                piece => piece,
            };
            came();
            if let Err(error) = copy.take(piece) {
                return Ok(Err(failed(error)));
            }
        }
        if copy.size != before.size || Seen::of(&file.metadata()?) != before {
            return Ok(Err(CaseError::ImageUnsteady));
        }
        Ok(self.keep(copy).map_err(failed))
    }

    /// Gives a file of the state folder a name in the store as well.
    ///
    /// # Errors
    /// Those of [`Images::link_as`].
    pub fn link(
        self: &Arc<Self>,
        name: Name<'_>,
        giver: Option<&Giver>,
    ) -> Result<(Sha256, Pin), CaseError> {
        let file = self.storage.open(name);
        let file = file.map_err(|error| failed(error.into()))?;
        let (sha256, _) = hash_of(&mut Reading::of(&*file)).map_err(failed)?;
        let pin = self.pin(sha256.0);
        self.link_as(name, &sha256, giver)?;
        Ok((sha256, pin))
    }

    /// The same for a file whose SHA-256 is known; one that is damaged here is replaced.
    ///
    /// # Errors
    /// [`CaseError::StoreFull`], [`CaseError::StorageFull`], [`CaseError::Storage`].
    pub fn link_as(
        self: &Arc<Self>,
        name: Name<'_>,
        sha256: &Sha256,
        giver: Option<&Giver>,
    ) -> Result<(), CaseError> {
        if self.holds_whole(&sha256.0) {
            return Ok(());
        }
        let ours = |error: FileError| failed(error.into());
        let size = self.storage.about(name).map_err(ours)?.bytes;
        let coming = self.reserve(
            self.new_path(),
            self.path(&sha256.0),
            giver,
            size,
            Or::Waits,
        )?;
        let (fresh, whole) = (named(&coming.path), named(&coming.lies));
        let linked = self.storage.link(name, fresh);
        let renamed = linked.and_then(|()| self.storage.rename(fresh, whole));
        renamed
            .and_then(|()| self.storage.sync(Area::Images))
            .map_err(ours)
    }

    /// Whether the image is here, byte for byte.
    pub fn holds_whole(&self, image: &Digest) -> bool {
        is_whole(&*self.storage, named(&self.path(image)), &Sha256(*image))
    }

    /// The image where the store has these bytes: nothing need be written then.
    fn already_here(
        self: &Arc<Self>,
        file: &mut File,
        before: Seen,
        came: &dyn Fn(),
    ) -> IoResult<Option<Copied>> {
        let (hash, size) = hashed(&mut file.take(before.size + 1), came)?;
        let hash = Sha256::from(hash);
        file.rewind()?;
        let pin = self.pin(hash.0);
        let is_it = size == before.size && Seen::of(&file.metadata()?) == before;
        Ok((is_it && self.holds_whole(&hash.0)).then_some(Copied {
            image: Bound::Stored(hash),
            _pin: Some(pin),
        }))
    }

    fn new_path(&self) -> PathBuf {
        let number = self.copies.fetch_add(1, Ordering::Relaxed);
        self.folder.join(format!("{number}.{ENDING}"))
    }

    fn new_copy(self: &Arc<Self>, giver: Option<&Giver>, size: u64) -> Result<Copy, CaseError> {
        let path = self.new_path();
        let coming = self.reserve(path.clone(), path, giver, size, Or::Waits)?;
        let file = self.storage.create(named(&coming.path));
        Ok(Copy {
            file: file.map_err(|error| failed(error.into()))?,
            coming,
            hash: sha2::Sha256::new(),
            size: 0,
        })
    }

    /// The copy is whole: it gets its name in the store.
    fn keep(self: &Arc<Self>, mut copy: Copy) -> IoResult<Copied> {
        let sha256 = Sha256::from(copy.hash.clone());
        let pin = self.pin(sha256.0);
        // Over one that is damaged as well.
        copy.coming.lies = self.path(&sha256.0);
        let (fresh, whole) = (named(&copy.coming.path), named(&copy.coming.lies));
        self.storage.keep(&*copy.file, fresh, whole)?;
        Ok(Copied {
            image: Bound::Stored(sha256),
            _pin: Some(pin),
        })
    }
}

/// What a file that is written to shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Seen {
    size: u64,
    /// Where the file system has it.
    modified: Option<SystemTime>,
    /// The last change of any kind, which no program can set.
    changed: (i64, i64),
}

impl Seen {
    fn of(about: &Metadata) -> Self {
        Self {
            size: about.len(),
            modified: about.modified().ok(),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

/// A copy that is being made; what is not kept is removed.
#[derive(Debug)]
struct Copy {
    coming: Coming,
    file: Open,
    hash: sha2::Sha256,
    size: u64,
}

impl Copy {
    fn take(&mut self, bytes: &[u8]) -> IoResult<()> {
        self.file.write_all_at(bytes, self.size)?;
        self.hash.update(bytes);
        self.size += bytes.len() as u64;
        Ok(())
    }
}

impl Drop for Copy {
    fn drop(&mut self) {
        // One that was kept has another name by now; the next start removes the rest.
        let _ = self.coming.images.remove_if_there(&self.coming.path);
    }
}

/// What a file that is too large for the store is told by: as much as the store takes, and
/// the length.
fn hash_of_large(file: &mut File, size: u64, came: &dyn Fn()) -> IoResult<Sha256> {
    let (hash, _) = hashed(&mut file.take(LARGEST.into()), came)?;
    Ok(Sha256::from(hash.chain_update(size.to_le_bytes())))
}

/// Whether a file is there and has these bytes.
pub fn is_whole(storage: &dyn Storage, name: Name<'_>, sha256: &Sha256) -> bool {
    let file = storage.open(name).ok();
    let found = file.map(|file| hash_of(&mut Reading::of(&*file)));
    found
        .and_then(Result::ok)
        .is_some_and(|(found, _)| found == *sha256)
}

/// SHA-256 and length of all that is left to read.
fn hash_of(from: &mut impl Read) -> IoResult<(Sha256, u64)> {
    let (hash, size) = hashed(from, &|| ())?;
    Ok((Sha256::from(hash), size))
}

/// Calls `came` for every piece that was read.
fn hashed(from: &mut impl Read, came: &dyn Fn()) -> IoResult<(sha2::Sha256, u64)> {
    let (mut hash, mut size, mut bytes) = (sha2::Sha256::new(), 0, vec![0; PIECE]);
    loop {
        match piece(from, &mut bytes)? {
            [] => return Ok((hash, size)),
            piece => {
                came();
                hash.update(piece);
                size += piece.len() as u64;
            }
        }
    }
}

/// The next bytes; none at the end.
fn piece<'b>(file: &mut impl Read, bytes: &'b mut [u8]) -> IoResult<&'b [u8]> {
    loop {
        match file.read(bytes) {
            Ok(count) => return Ok(&bytes[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::io::Write;

    use super::super::tests::open as store;
    use super::*;
    use crate::clock::Clock;
    use crate::device::disk_space::DiskSpace;
    use crate::image::open::open;
    use crate::storage::Disk;

    fn copy(images: &Arc<Images>, path: &Path) -> Result<Copied, CaseError> {
        images.copy_from(open(path), path, None)
    }

    #[test]
    fn a_file_is_stored_by_its_bytes_whatever_becomes_of_it() {
        let folder = tempfile::tempdir().unwrap();
        let images = store(folder.path(), &[]);
        let path = folder.path().join("a.png");
        for bytes in [&b"first"[..], b"second", b"first", b""] {
            std::fs::write(&path, bytes).unwrap();
            let copied = copy(&images, &path).unwrap();
            std::fs::write(&path, b"another").unwrap();
            let sha256 = Sha256::of(bytes);
            assert_eq!(copied.image, Bound::Stored(sha256));
            let stored = images.path(&sha256.0);
            assert!(images.with_pins(&stored, |is_pinned| is_pinned));
            drop(copied);
            assert!(!images.with_pins(&stored, |is_pinned| is_pinned));
            assert_eq!(std::fs::read(images.path(&sha256.0)).unwrap(), bytes);
        }
        let files = std::fs::read_dir(folder.path().join("images")).unwrap();
        assert_eq!(files.count(), 3, "no copy is left over");
    }

    /// Where no piece comes for long, the share that it lies on does not answer.
    #[test]
    fn every_piece_of_a_file_that_was_read_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let images = store(folder.path(), &[]);
        let path = folder.path().join("a.png");
        std::fs::write(&path, vec![7; 3 * PIECE]).unwrap();
        let pieces = std::cell::Cell::new(0);
        let came = || pieces.set(pieces.get() + 1);
        let copied = images.copy(&mut open(&path).unwrap(), None, &came);
        copied.unwrap().unwrap();
        // Once to see whether it is here already, once to copy it.
        assert_eq!(pieces.get(), 6);
    }

    #[test]
    fn what_cannot_be_stored_is_told_apart() {
        let folder = tempfile::tempdir().unwrap();
        let images = store(folder.path(), &[]);
        let code = |path: &Path| match copy(&images, path) {
            Ok(Copied {
                image: Bound::Unreadable(refusal),
                ..
            }) => refusal.code.word(),
            other => panic!("{other:?}"),
        };
        assert_eq!(code(&folder.path().join("none")), "not_found");
        assert_eq!(code(folder.path()), "not_a_file");
        let path = folder.path().join("large");
        let large = File::create(&path).unwrap();
        large.set_len(u64::from(LARGEST) + 1).unwrap();
        let first = copy(&images, &path).unwrap().image;
        assert!(matches!(first, Bound::TooLarge(_)));
        large.set_len(u64::from(LARGEST) + 2).unwrap();
        assert_ne!(copy(&images, &path).unwrap().image, first);
        let (storage, clock) = (Disk::make(folder.path()).unwrap(), Clock::system());
        let full = DiskSpace::new(Arc::clone(&storage), u64::MAX);
        let full = Images::open(storage, &BTreeMap::new(), full, clock).unwrap();
        let full = Arc::new(full);
        std::fs::write(&path, b"small").unwrap();
        let refused = copy(&full, &path).unwrap_err();
        assert_eq!(refused, CaseError::StorageFull);
    }

    #[test]
    fn a_file_that_grows_while_it_is_copied_is_unsteady() {
        let folder = tempfile::tempdir().unwrap();
        let images = store(folder.path(), &[]);
        let path = folder.path().join("a.png");
        std::fs::write(&path, vec![7; 40 << 20]).unwrap();
        let copied = std::thread::scope(|scope| {
            let copying = scope.spawn(|| copy(&images, &path));
            let mut written = File::options().append(true).open(&path).unwrap();
            while !copying.is_finished() {
                written.write_all(b"more").unwrap();
            }
            copying.join().unwrap()
        });
        assert_eq!(copied.unwrap_err(), CaseError::ImageUnsteady);
    }
}
