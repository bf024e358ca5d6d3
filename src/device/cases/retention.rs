//! What becomes of the images of answered cases: kept while a sink needs them or the device
//! was told to, then removed, by an entry of the journal first.
//!
//! Lock order here: kept, ledger, board.

use std::collections::BTreeSet;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::Duration;

use firmware_host::message::Digest;
use jiff::Timestamp;

use super::{Cases, lock};
use crate::case::{Giver, Order};
use crate::device::case_error::CaseError;
use crate::device::cases::images::{Begun, Copied, Pin, is_whole, place};
use crate::device::cases::kept::{Evicted, Kept};
use crate::device::status::TICK;
use crate::journal::Entry;
use crate::sha256::Sha256;
use crate::storage::{Area, Name, Storage};

/// How often images and disk space are looked after at least.
const ROUND: Duration = Duration::from_secs(5);

/// An ended case's image, as it lay before.
#[derive(Debug)]
pub(crate) struct EndedImage {
    pub case: u64,
    /// Where it lies.
    pub place: PathBuf,
    /// Its hash, and since when it is kept; `None` where there is nothing to keep.
    pub image: Option<(Sha256, Timestamp)>,
}

/// What there is of images of ended cases: of years of them, a few.
pub(super) struct RetentionScan<'a> {
    storage: &'a dyn Storage,
    kept: BTreeSet<Sha256>,
}

impl<'a> RetentionScan<'a> {
    pub fn of(storage: &'a dyn Storage, kept: &Kept) -> std::io::Result<Self> {
        let kept = kept.files()?;
        Ok(Self { storage, kept })
    }

    pub fn has(&self, spent: &EndedImage) -> bool {
        self.keeps(spent) || is_given(self.storage, &spent.place)
    }

    fn keeps(&self, spent: &EndedImage) -> bool {
        let mut image = spent.image.iter();
        image.any(|(sha256, _)| self.kept.contains(sha256))
    }

    /// Takes note of the images that are kept since before this start, and removes strays.
    pub fn recall(&self, kept: &mut Kept, spent: &[EndedImage]) -> std::io::Result<()> {
        for spent in spent.iter().filter(|spent| self.keeps(spent)) {
            if let Some((sha256, since)) = &spent.image {
                kept.remember(spent.case, sha256, *since);
            }
        }
        kept.sweep()
    }
}

/// What a path names of the folders that images are given into. Entries of before there was one
/// store have images of DICOM senders where they were received.
fn given<'a>(storage: &dyn Storage, image: &'a Path) -> Option<Name<'a>> {
    let name = storage.name_of(image);
    name.filter(|name| matches!(name.area, Area::Images | Area::Dicom))
}

/// Whether an image was given into the state folder, and lies there.
fn is_given(storage: &dyn Storage, image: &Path) -> bool {
    given(storage, image).is_some_and(|name| storage.about(name).is_ok())
}

impl Cases {
    /// Looks once after the images of answered cases, the disk and the store.
    pub(crate) fn keep_once(&self) {
        self.try_journal();
        self.purge();
        self.look_at_disk();
        if let Err(error) = self.images.sweep() {
            log::warn!("the store of images cannot be looked through: {error}");
        }
        self.set_store_full(self.images.is_full());
    }

    /// Looks after the images of answered cases until the device has ended. To be called on one
    /// thread.
    pub fn keep(&self) {
        while !self.lifecycle.has_ended() {
            self.keep_once();
            let mut board = lock(&self.board);
            if !board.look_after_images && !self.lifecycle.has_ended() {
                let patience = if board.storage_failed { TICK } else { ROUND };
                board = self.clock().wait(&self.owing, board, patience);
            }
            board.look_after_images = false;
        }
    }

    /// A sink needs an image no longer.
    pub(super) fn look_after_images(&self) {
        lock(&self.board).look_after_images = true;
        self.owing.notify_all();
    }

    /// A case ended, and does not need its image where it lies.
    pub(super) fn spent(&self, case: u64, order: &Order, sha256: Option<Sha256>) {
        let since = self.steady_now();
        self.release(&EndedImage {
            case,
            place: place(&self.state, order),
            image: sha256.map(|sha256| (sha256, since)),
        });
    }

    /// What a clock shows that nobody sets.
    fn steady_now(&self) -> Timestamp {
        let now = lock(&self.ledger).journal.steady();
        now.unwrap_or_else(|error| {
            self.storage_failed(&error);
            self.clock().wall()
        })
    }

    /// The image of an ended case came once more: it is spent again, and its age counts from
    /// now.
    pub(super) fn release_again(&self, case: u64, image_place: &Path) {
        let ended = self.ended(case).ok();
        let image = ended.and_then(|ended| ended.image);
        let image = image.map(|sha256| (sha256, self.steady_now()));
        self.release(&EndedImage {
            case,
            place: image_place.to_owned(),
            image,
        });
    }

    /// Copies an open file into the store. The outer error is the file's.
    /// `came` is called for every piece that was read.
    ///
    /// # Errors
    /// Those of [`Images::copy`](crate::device::cases::images::Images::copy).
    pub(crate) fn copy_image(
        &self,
        file: &mut File,
        giver: Option<&Giver>,
        came: &dyn Fn(),
    ) -> std::io::Result<Result<Copied, CaseError>> {
        let copied = self.images.copy(file, giver, came)?;
        Ok(self.told_full(copied))
    }

    /// Gives a received file a name in the store.
    ///
    /// # Errors
    /// Those of [`Images::link`](crate::device::cases::images::Images::link).
    pub(crate) fn link_image(
        &self,
        path: &Path,
        giver: Option<&Giver>,
    ) -> Result<(Sha256, Pin), CaseError> {
        let name = self.storage.name_of(path).ok_or(CaseError::Storage)?;
        self.told_full(self.images.link(name, giver))
    }

    /// Where an image found no room, it is told.
    pub(super) fn told_full<T>(&self, done: Result<T, CaseError>) -> Result<T, CaseError> {
        match &done {
            // A giver that has its share, and keeps what waits for it, is nobody's worry.
            Err(CaseError::StoreFull) => self.set_store_full(self.images.is_full()),
            Err(CaseError::StorageFull) => {
                self.set_storage_full(true);
                self.look_after_images();
            }
            _ => {}
        }
        done
    }

    fn set_store_full(&self, full: bool) {
        let mut board = lock(&self.board);
        if std::mem::replace(&mut board.store_full, full) != full {
            if full {
                log::warn!("the store of images is full: see which source sends so many");
            } else {
                log::info!("the store of images has room again");
            }
        }
    }

    /// An image was stored: where no case waits for it, it goes again.
    pub(crate) fn forget_unwanted(&self, sha256: &Sha256) {
        let image = self.images.path(&sha256.0);
        let name = sha256.to_string();
        let name = Area::Images.named(&name);
        if self.storage.about(name).is_err() {
            return;
        }
        // No case is accepted for it meanwhile.
        let _ledger = lock(&self.ledger);
        let is_wanted = lock(&self.board).wants(&self.state, &image);
        let done = self.images.with_pins(&image, |is_pinned| {
            if is_wanted || is_pinned {
                return Ok(());
            }
            self.storage.remove(name)
        });
        if let Err(error) = done {
            log::warn!("an image that no case is for stays in the store: {error}");
        }
    }

    /// Puts a kept image into the store, to be answered again.
    ///
    /// # Errors
    /// [`CaseError::NoSuchImage`] where it is kept no longer or damaged, [`CaseError::Storage`].
    pub(super) fn bring_back(
        &self,
        sha256: &Sha256,
        giver: Option<&Giver>,
    ) -> Result<(), CaseError> {
        let name = sha256.to_string();
        let name = Area::Kept.named(&name);
        if self.images.holds_whole(&sha256.0) {
            return Ok(());
        }
        if !is_whole(&*self.storage, name, sha256) {
            return Err(CaseError::NoSuchImage);
        }
        self.told_full(self.images.link_as(name, sha256, giver))
    }

    /// Keeps the image of an ended case, or removes it, unless another case waits for it
    /// where it lies. Images that were not given into the state folder are left alone.
    pub(crate) fn release(&self, spent: &EndedImage) {
        let EndedImage { case, place, image } = spent;
        let name = given(&*self.storage, place);
        let Some(name) = name.filter(|name| self.storage.about(*name).is_ok()) else {
            return;
        };
        let mut kept = lock(&self.kept);
        // No case is accepted for it meanwhile.
        let _ledger = lock(&self.ledger);
        let board = lock(&self.board);
        let is_wanted = board.wants(&self.state, place);
        let is_needed = kept.keeps() || board.awaits_image(*case);
        drop(board);
        let done = self.images.with_pins(place, |is_pinned| {
            let is_wanted = is_wanted || is_pinned;
            match image.as_ref().filter(|_| is_needed) {
                Some((sha256, since)) => {
                    let adopted = kept.adopt(sha256, name, is_wanted);
                    kept.remember(*case, sha256, *since);
                    adopted
                }
                None if is_wanted => Ok(()),
                None => Ok(self.storage.remove(name)?),
            }
        });
        if let Err(error) = done {
            // The next start tries again.
            log::warn!("case {case}: its image stays where it is: {error}");
        }
    }

    /// Begins to take an image into the device's own store, or goes on with it.
    ///
    /// # Errors
    /// Those of [`Images::begin`](crate::device::cases::images::Images::begin).
    pub(crate) fn begin_image(
        &self,
        image: Digest,
        size: u32,
        giver: Option<&Giver>,
    ) -> Result<Begun, CaseError> {
        self.is_there()?;
        self.told_full(self.images.begin(image, size, giver))
    }

    /// Whether the state folder is still there.
    ///
    /// # Errors
    /// [`CaseError::Storage`].
    fn is_there(&self) -> Result<(), CaseError> {
        let is_away = self.disk.is_away();
        self.set_storage_away(is_away);
        if is_away {
            return Err(CaseError::Storage);
        }
        Ok(())
    }

    /// Whether so many bytes can be taken without filling the disk.
    ///
    /// # Errors
    /// [`CaseError::StorageFull`], and [`CaseError::Storage`] where the state folder is gone.
    pub(super) fn has_room(&self, bytes: u64) -> Result<(), CaseError> {
        self.is_there()?;
        let has_room = self.disk.takes(bytes);
        self.set_storage_full(!has_room);
        if has_room {
            return Ok(());
        }
        self.look_after_images();
        Err(CaseError::StorageFull)
    }

    pub(super) fn set_storage_full(&self, full: bool) {
        let mut board = lock(&self.board);
        if std::mem::replace(&mut board.storage_full, full) != full {
            if full {
                log::error!("the disk is nearly full: no new case is accepted");
            } else {
                log::warn!("the disk has room again: cases are accepted");
            }
            self.tell_storage(&mut board);
        }
    }

    /// Whether a file was given into the state folder, to be a case's image.
    pub(crate) fn owns(&self, source: &Path) -> bool {
        self.given(source).is_some()
    }

    pub(super) fn given<'a>(&self, image: &'a Path) -> Option<Name<'a>> {
        given(&*self.storage, image)
    }

    /// Where the image of an answered case lies.
    pub(crate) fn image_of(&self, sha256: Option<Sha256>, source: &Path) -> PathBuf {
        let name = sha256.map(|sha256| sha256.to_string()).unwrap_or_default();
        let mut own = [Area::Kept, Area::Images].into_iter();
        let own = own.find(|area| self.storage.about(area.named(&name)).is_ok());
        own.map_or_else(
            || source.to_owned(),
            |area| self.storage.path_of(area.named(&name)),
        )
    }

    /// Removes the images that are kept no longer.
    fn purge(&self) {
        let mut kept = lock(&self.kept);
        let now = lock(&self.ledger).journal.steady();
        let now = match now {
            Ok(now) => now,
            Err(error) => return self.storage_failed(&error),
        };
        let lacking = self.disk.lacking();
        let mut board = lock(&self.board);
        let is_awaited = |case| board.awaits_image(case);
        let (all, is_short) = (
            kept.evicted(now, lacking, is_awaited),
            kept.is_short(now, is_awaited),
        );
        if std::mem::replace(&mut board.images_short, is_short) != is_short && is_short {
            log::warn!("images that sinks need will have to go before long: see to the sinks");
        }
        drop(board);
        for evicted in all {
            if self.note_purge(&evicted).is_err() {
                return;
            }
            if let Err(error) = kept.remove(&evicted.sha256) {
                log::warn!("an image that was purged stays: {error}");
            }
        }
    }

    fn note_purge(&self, evicted: &Evicted) -> Result<(), CaseError> {
        for case in &evicted.cases {
            if evicted.is_awaited {
                log::error!("case {case}: its image is kept no longer; a sink goes without it");
            }
            self.write(Entry::Purged { case: *case })?;
        }
        Ok(())
    }
}
