//! Received instances, each in a file named by the hash of its SOP Instance UID, by that of
//! its content and by who sent it: sent twice, it is stored once, and other content under the
//! same UID is beside it. Each sender has its share of the inbox, so that one that sends
//! without end keeps out nobody else.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use dicom_object::FileMetaTableBuilder;
use sha2::Digest;

use super::complaints::Kind;
use super::look::Looks;
use crate::device::dicom::message::Status;
use crate::device::disk_space::DiskSpace;
use crate::device::lock::lock;
use crate::files::{Folder, OPEN_TO_ALL};
use crate::sha256::Sha256;

/// Most bytes of one instance.
const LARGEST: u64 = 96 << 20;
/// Most bytes that may wait in the inbox.
const MOST: u64 = 4 << 30;
/// Most instances.
const MOST_INSTANCES: usize = 16_384;
/// One sender may have a half of either, and in a full inbox a sixteenth.
const SHARE: u64 = 2;
const FEW: u64 = 16;
/// The disk is asked for room again after so many bytes.
const ASKED_AFTER: u64 = 1 << 20;

/// Somebody's instance found no room lately, for so long.
const LATELY: Duration = Duration::from_secs(60);

const WHOLE: &str = "dcm";
const PART: &str = "part";

/// The folder of instances.
#[derive(Debug)]
pub struct Inbox {
    folder: Folder,
    disk: DiskSpace,
    parts: AtomicU64,
    /// When it last had no room for somebody's instance, the disk aside.
    no_room: Mutex<Option<Instant>>,
    looks: Looks,
}

/// Why an instance is not stored.
#[derive(Debug, thiserror::Error)]
pub(super) enum NotStored {
    /// There is hardly any room left on the disk.
    #[error("there is hardly any room left on the disk")]
    DiskFull,
    /// As much waits as may.
    #[error("the inbox is full: as much waits in it as may")]
    InboxFull,
    /// As much of this sender waits as may.
    #[error("the share of {0} in the inbox is full")]
    ShareFull(String),
    /// It is larger than any may be.
    #[error("an instance is larger than {} MiB", LARGEST >> 20)]
    TooLarge,
    /// The file cannot be written.
    #[error("an instance cannot be stored: {0}")]
    File(#[from] std::io::Error),
}

impl NotStored {
    /// By which status a sender is told.
    pub fn status(&self) -> Status {
        match self {
            // As large again, it is refused again.
            Self::TooLarge => Status::CannotUnderstand,
            Self::File(_) => Status::ProcessingFailure,
            Self::DiskFull | Self::InboxFull | Self::ShareFull(_) => Status::OutOfResources,
        }
    }

    /// What a sender is told beside it.
    pub fn comment(&self) -> String {
        match self {
            Self::File(_) => "the instance cannot be written to the disk".to_owned(),
            Self::ShareFull(_) => "as many of your images wait as may".to_owned(),
            why => why.to_string(),
        }
    }

    /// As what it is said.
    pub fn kind(&self) -> Kind {
        match self {
            Self::DiskFull | Self::File(_) => Kind::Disk,
            Self::InboxFull => Kind::InboxFull,
            Self::ShareFull(_) => Kind::ShareFull,
            Self::TooLarge => Kind::TooLarge,
        }
    }
}

/// An instance that is coming.
#[derive(Debug)]
pub(super) struct Incoming {
    folder: Folder,
    name: String,
    claim: Sha256,
    /// Of class, UID, transfer syntax and data set: what this program writes around them may
    /// change with its version.
    content: sha2::Sha256,
    /// Who sends it, as a file's name has it.
    sender: String,
    file: BufWriter<File>,
    disk: DiskSpace,
    came: u64,
    done: bool,
}

/// What the name of a file in the inbox says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Name {
    /// The hashes of UID and content, and who sent it.
    Content {
        /// Of the SOP Instance UID.
        claim: Sha256,
        /// Of the object.
        content: Sha256,
        /// Its sender; programs of before named none.
        sender: Option<String>,
    },
    /// Half of the hash of the UID alone, as programs of before named it; the number by which
    /// they asked for its case.
    Claim(u64),
}

/// What an instance is, before its data set.
#[derive(Debug, Clone)]
pub(super) struct About {
    pub class: String,
    pub instance: String,
    pub transfer_syntax: String,
    /// Who sends it.
    pub giver: String,
}

/// What waits in the inbox.
#[derive(Debug, Default, Clone, Copy)]
struct Used {
    bytes: u64,
    instances: usize,
}

impl Used {
    /// An instance that is coming may become as large as any.
    fn note(&mut self, bytes: u64, is_coming: bool) {
        self.bytes += if is_coming { LARGEST } else { bytes };
        self.instances += 1;
    }

    /// Whether another instance has room in this part of the inbox.
    fn has_room(&self, bytes: u64, instances: u64) -> bool {
        self.bytes + LARGEST <= bytes && (self.instances as u64) < instances
    }
}

impl Inbox {
    /// Opens the folder; what was cut short was acknowledged to nobody and is removed.
    ///
    /// # Errors
    /// Where the folder cannot be made or read.
    pub fn open(folder: PathBuf, disk: DiskSpace) -> std::io::Result<Self> {
        let folder = Folder::make(&folder)?;
        for name in folder.names()? {
            if is_part(&name) {
                folder.remove_if_there(&name)?;
            }
        }
        let parts = AtomicU64::new(0);
        Ok(Self {
            folder,
            disk,
            parts,
            no_room: Mutex::default(),
            looks: Looks::default(),
        })
    }

    /// The whole instances, by name.
    ///
    /// # Errors
    /// Where the folder cannot be read.
    pub fn instances(&self) -> std::io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for name in self.folder.names()? {
            let path = self.folder.path_of(name);
            if path.extension().is_some_and(|ending| ending == WHOLE) {
                paths.push(path);
            }
        }
        paths.sort();
        Ok(paths)
    }

    /// What a file's name says; `None` where somebody else named it.
    pub(super) fn name(path: &Path) -> Option<Name> {
        let name = path.file_stem()?.to_str()?;
        if let Some((claim, content)) = name.split_once('-') {
            let (content, sender) = match content.split_once('-') {
                Some((content, sender)) => (content, Some(as_said(sender)?)),
                None => (content, None),
            };
            return Some(Name::Content {
                claim: claim.parse().ok()?,
                content: content.parse().ok()?,
                sender,
            });
        }
        let is_old = name.len() == 32 && name.bytes().all(|byte| byte.is_ascii_hexdigit());
        let number = u64::from_str_radix(name.get(..16)?, 16).ok();
        number.filter(|_| is_old).map(Name::Claim)
    }

    /// Begins to store an instance.
    pub(super) fn begin(&self, about: &About) -> Result<Incoming, NotStored> {
        if !self.disk.takes(0) {
            return Err(NotStored::DiskFull);
        }
        let sender = as_name(&about.giver);
        self.room_for(&sender, &about.giver).inspect_err(|why| {
            if matches!(why, NotStored::InboxFull | NotStored::ShareFull(_)) {
                *lock(&self.no_room) = Some(Instant::now());
            }
        })?;
        Ok(self.create(about, sender)?)
    }

    /// What was found of instances before they were stored.
    pub(super) fn looks(&self) -> &Looks {
        &self.looks
    }

    /// Whether somebody's instance found no room of late.
    pub(super) fn is_full(&self) -> bool {
        lock(&self.no_room).is_some_and(|at| at.elapsed() < LATELY)
    }

    fn create(&self, about: &About, sender: String) -> std::io::Result<Incoming> {
        let number = self.parts.fetch_add(1, Ordering::Relaxed);
        let name = format!("{number}-{sender}.{PART}");
        let meta = FileMetaTableBuilder::new()
            .media_storage_sop_class_uid(&about.class)
            .media_storage_sop_instance_uid(&about.instance)
            .transfer_syntax(&about.transfer_syntax)
            .build()
            .map_err(std::io::Error::other)?;
        let mut file = BufWriter::new(self.folder.create(&name, OPEN_TO_ALL)?);
        file.write_all(&[0; 128])?;
        file.write_all(b"DICM")?;
        meta.write(&mut file).map_err(std::io::Error::other)?;
        let content = [&about.class, &about.instance, &about.transfer_syntax]
            .into_iter()
            .fold(sha2::Sha256::new(), |hash, word| {
                hash.chain_update(word).chain_update([0])
            });
        Ok(Incoming {
            folder: self.folder.clone(),
            name,
            claim: Sha256::of(about.instance.as_bytes()),
            content,
            sender,
            file,
            disk: self.disk.clone(),
            came: 0,
            done: false,
        })
    }

    /// Whether this sender may send another instance.
    fn room_for(&self, sender: &str, giver: &str) -> Result<(), NotStored> {
        let (mut all, mut own) = (Used::default(), Used::default());
        let of_sender = format!("-{sender}");
        for name in self.folder.names().map_err(std::io::Error::from)? {
            // What was finished or removed meanwhile takes no room.
            let bytes = self.folder.about(&name).map_or(0, |about| about.len());
            let path = Path::new(&name);
            let is_coming = path.extension().is_some_and(|ending| ending == PART);
            all.note(bytes, is_coming);
            let stem = path.file_stem().and_then(OsStr::to_str);
            if stem.is_some_and(|stem| stem.ends_with(&of_sender)) {
                own.note(bytes, is_coming);
            }
        }
        let instances = MOST_INSTANCES as u64;
        let has_few = own.has_room(MOST / FEW, instances / FEW);
        let has_place =
            all.has_room(MOST, instances) || (has_few && all.has_room(2 * MOST, 2 * instances));
        if !own.has_room(MOST / SHARE, instances / SHARE) {
            return Err(NotStored::ShareFull(giver.to_owned()));
        }
        has_place.then_some(()).ok_or(NotStored::InboxFull)
    }
}

impl Incoming {
    /// Takes the next bytes of the data set.
    pub(super) fn take(&mut self, bytes: &[u8]) -> Result<(), NotStored> {
        let came = self.came + bytes.len() as u64;
        let asks = self.came / ASKED_AFTER != came / ASKED_AFTER;
        if came > LARGEST {
            return Err(NotStored::TooLarge);
        }
        if asks && !self.disk.takes(0) {
            return Err(NotStored::DiskFull);
        }
        self.came = came;
        self.content.update(bytes);
        Ok(self.file.write_all(bytes)?)
    }

    /// The data set is whole: where it can be read.
    pub(super) fn readable(&mut self) -> std::io::Result<PathBuf> {
        self.file.flush()?;
        Ok(self.folder.path_of(&self.name))
    }

    /// Once this returns it outlasts a power failure; gives where it lies.
    pub(super) fn finish(mut self) -> std::io::Result<PathBuf> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        let content = Sha256::from(self.content.clone());
        let name = format!("{}-{content}-{}.{WHOLE}", self.claim, self.sender);
        self.folder.rename(&self.name, &self.folder, &name)?;
        self.done = true;
        self.folder.sync()?;
        Ok(self.folder.path_of(name))
    }
}

impl Drop for Incoming {
    fn drop(&mut self) {
        if !self.done {
            // The next start removes it where this fails.
            let _ = self.folder.remove(&self.name);
        }
    }
}

/// Whether a name is one of a file that is coming.
fn is_part(name: &OsStr) -> bool {
    let path = Path::new(name);
    let stem = path.file_stem().and_then(OsStr::to_str).unwrap_or_default();
    let number = stem.split_once('-').map_or(stem, |(number, _)| number);
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    is_number && path.extension() == Some(OsStr::new(PART))
}

/// Who sends, as a part of a file's name: what is no letter, digit, point, colon or `@` is
/// written as `%` and two digits.
fn as_name(giver: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:@_".contains(&byte);
    let word = |byte: u8| match byte {
        byte if plain(byte) => char::from(byte).to_string(),
        byte => format!("%{byte:02x}"),
    };
    giver.bytes().map(word).collect()
}

/// The same, read back.
fn as_said(name: &str) -> Option<String> {
    let (mut said, mut rest) = (Vec::new(), name.bytes());
    while let Some(byte) = rest.next() {
        said.push(if byte == b'%' {
            let digits = [rest.next()?, rest.next()?];
            u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(said).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_there_once_and_only_when_it_is_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let inbox = Inbox::open(
            path.clone(),
            DiskSpace::new(crate::storage::Disk::make(&path).unwrap(), 0),
        )
        .unwrap();
        let about = About {
            class: "1.2.840.10008.5.1.4.1.1.7".to_owned(),
            instance: "2.25.7".to_owned(),
            transfer_syntax: "1.2.840.10008.1.2.1".to_owned(),
            giver: "X RAY@10.0.0.7".to_owned(),
        };
        let mut given_up = inbox.begin(&about).unwrap();
        given_up.take(b"half").unwrap();
        drop(given_up);
        assert!(inbox.instances().unwrap().is_empty());
        for _ in 0..2 {
            let mut incoming = inbox.begin(&about).unwrap();
            incoming.take(b"all").unwrap();
            assert!(incoming.take(&vec![0; LARGEST as usize]).is_err());
            incoming.finish().unwrap();
        }
        let instances = inbox.instances().unwrap();
        assert_eq!(instances.len(), 1);
        let claim = Sha256::of(about.instance.as_bytes());
        assert!(matches!(
            Inbox::name(&instances[0]),
            Some(Name::Content { claim: c, sender: Some(s), .. }) if c == claim && s == about.giver
        ));
        let bytes = std::fs::read(&instances[0]).unwrap();
        assert_eq!(&bytes[128..132], b"DICM");
        // Other content under the same UID does not take the first one's place.
        let mut other = inbox.begin(&about).unwrap();
        other.take(b"other").unwrap();
        other.finish().unwrap();
        assert_eq!(inbox.instances().unwrap().len(), 2);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2);
        let full = Inbox::open(
            path.clone(),
            DiskSpace::new(crate::storage::Disk::make(&path).unwrap(), u64::MAX),
        )
        .unwrap();
        let why = full.begin(&about).unwrap_err();
        assert!(matches!(why, NotStored::DiskFull), "{why}");
        assert!(!full.is_full(), "the inbox is not");
    }

    #[test]
    fn one_sender_leaves_half_of_the_inbox_to_the_others() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().to_owned();
        let inbox = Inbox::open(
            path.clone(),
            DiskSpace::new(crate::storage::Disk::make(&path).unwrap(), 0),
        )
        .unwrap();
        let about = |giver: &str| About {
            class: "1.2.840.10008.5.1.4.1.1.7".to_owned(),
            instance: "2.25.7".to_owned(),
            transfer_syntax: "1.2.840.10008.1.2.1".to_owned(),
            giver: giver.to_owned(),
        };
        // Begun at once, each may become as large as any.
        let begun = |giver| {
            let begun = std::iter::from_fn(|| inbox.begin(&about(giver)).ok());
            begun.take(100).collect::<Vec<_>>()
        };
        let (one, other) = (begun("A@10.0.0.1"), begun("A@10.0.0.11"));
        assert_eq!((one.len(), other.len()), (21, 21), "2 GiB each");
        let late = begun("B@10.0.0.2");
        assert_eq!(late.len(), 2, "a few in the full inbox");
        let why = |giver| inbox.begin(&about(giver)).unwrap_err().to_string();
        assert_eq!(
            why("A@10.0.0.1"),
            "the share of A@10.0.0.1 in the inbox is full"
        );
        assert!(why("B@10.0.0.2").starts_with("the inbox is full"));
        assert!(inbox.is_full());
        drop(one);
        assert!(inbox.begin(&about("A@10.0.0.1")).is_ok());
    }

    #[test]
    fn names_of_now_and_of_before_are_told_from_others() {
        let name = |stem: &str| Inbox::name(Path::new(&format!("/inbox/{stem}.dcm")));
        let old = format!("{:016x}{:016x}", 7, 8);
        assert_eq!(name(&old), Some(Name::Claim(7)));
        let (claim, content) = (Sha256::of(b"uid"), Sha256::of(b"object"));
        let before = Name::Content {
            claim,
            content,
            sender: None,
        };
        assert_eq!(name(&format!("{claim}-{content}")), Some(before));
        for giver in ["10.0.0.7", "A-/B %@fe80::1", "@@", ""] {
            let now = Name::Content {
                claim,
                content,
                sender: Some(giver.to_owned()),
            };
            let stem = format!("{claim}-{content}-{}", as_name(giver));
            assert!(stem.len() < 240 && !stem.contains('/'), "{stem}");
            assert_eq!(name(&stem), Some(now), "{giver}");
        }
        for other in ["", "IM000001", "a-b", &old[..20]] {
            assert_eq!(name(other), None, "{other}");
        }
    }
}
