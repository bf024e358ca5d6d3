//! The sections of a configuration that are about the device itself: what each holds, and
//! how it is read.

use std::fmt::{self, Display};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use firmware_host::screens::Language;
use serde::{Serialize, Serializer};

use super::access::{self, FileMode, Group};
use super::read::Section;
use crate::bundle::{Key, Store, Trust};
use crate::device::cases::Bounds;
use crate::device::cases::kept::Keeping;
use crate::device::display::place::{Place, PlaceError};
use crate::device::display::{Asked, Manner};
use crate::device::work::worker;
use crate::files::Readers;

/// How rights are written.
pub(super) const MODE: &str = "octal digits in quotes, as \"0640\"";
/// How a group is written.
pub(super) const GROUP: &str = "a group that the system has, by its name or number, in quotes";

/// The device itself.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Device {
    /// State folder; where absent, the environment's.
    pub state: Option<PathBuf>,
    /// Language of the displays.
    #[serde(serialize_with = "code")]
    pub language: Language,
    /// Threads; 0 for all cores.
    pub threads: u32,
    /// Most MiB that a graph may take for a run; where absent, what the system has free.
    pub memory_mib: Option<u32>,
    /// Seconds that a case may take; one that takes longer is refused.
    pub deadline_s: u32,
}

impl Default for Device {
    fn default() -> Self {
        Self {
            state: None,
            language: Language::default(),
            threads: 0,
            memory_mib: None,
            deadline_s: worker::Settings::CASE_S,
        }
    }
}

impl Device {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        let codes = format!("one of {}", language_codes());
        let language = section.parsed::<Spoken>("language", &codes);
        Self {
            state: section.path("state"),
            language: language.map(|spoken| spoken.0).unwrap_or_default(),
            threads: section.number("threads", 0..=1024).unwrap_or_default(),
            memory_mib: section.number("memory_mib", 1..=u32::MAX),
            deadline_s: section
                .number("deadline_s", 1..=3600)
                .unwrap_or(default.deadline_s),
        }
    }
}

/// What the device answers with.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct BundleChoice {
    /// Its folder; where absent, the one that was installed, else the starter bundle.
    pub folder: Option<PathBuf>,
    /// Public keys of its makers: where there are some, a signature by one of them is
    /// required; where empty, no signature is looked at.
    #[serde(serialize_with = "texts")]
    pub keys: Vec<Key>,
    /// Says that keys must be named; configurations of before have it.
    pub require_signature: bool,
    /// The file of keys and bundles that are trusted no longer.
    pub revoked: Option<PathBuf>,
}

impl BundleChoice {
    /// Who may have made it, of the device whose bundles are installed there.
    pub fn trust(&self, store: &Store) -> Trust {
        Trust {
            keys: self.keys.clone(),
            revoked: self.revoked.clone(),
            releases: Some(store.releases()),
            ..Trust::default()
        }
    }

    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let expected =
            "public keys of minisign, or files that hold them, with `until DAY` or without";
        Self {
            folder: section.path("folder"),
            keys: section.list("keys", expected),
            require_signature: section.flag("require_signature").unwrap_or_default(),
            revoked: section.path("revoked"),
        }
    }
}

/// The cases that wait.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Queue {
    /// Cases of one priority that may wait at once.
    pub most_waiting: u32,
    /// Those of one source; where absent, three quarters of them.
    pub most_of_one: Option<u32>,
    /// Cases of one source that may come to nothing in an hour.
    pub most_refused: u32,
}

impl Queue {
    /// How many cases may wait, and how many of one source may come to nothing in an hour.
    pub fn bounds(&self) -> Bounds {
        let three_quarters = (self.most_waiting * 3).div_ceil(4);
        let of_one = self.most_of_one.unwrap_or(three_quarters);
        Bounds {
            most: self.most_waiting as usize,
            most_per_giver: of_one as usize,
            most_refused: self.most_refused,
        }
    }

    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        let most_waiting = section.number("most_waiting", 1..=4096);
        let most_of_one = section.number("most_of_one", 1..=4096);
        let most_refused = section.number("most_refused", 1..=1_000_000);
        Self {
            most_waiting: most_waiting.unwrap_or(default.most_waiting),
            most_of_one,
            most_refused: most_refused.unwrap_or(default.most_refused),
        }
    }
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            most_waiting: Bounds::MOST_WAITING,
            most_of_one: None,
            most_refused: Bounds::MOST_REFUSED,
        }
    }
}

/// What a console may ask for.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Console {
    /// Folders whose files it may name, beside the watched ones.
    pub folders: Vec<PathBuf>,
}

impl Console {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let folders = section.list("folders", "folders that files may be named in");
        Self { folders }
    }
}

/// A display.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Shown {
    /// What and where it is.
    #[serde(rename = "place", serialize_with = "as_text")]
    pub at: Written,
    /// Seconds after which an answer leaves it where nobody turns a page; 0 for never.
    pub idle_s: u32,
    /// Whether the patient's age and sex stand beside the exam.
    pub show_patient: bool,
    /// Whether the label that a case was given with stands there as well.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub show_label: bool,
    /// Seconds without a case or a new warning after which it sleeps; 0 for never.
    #[serde(skip_serializing_if = "is_never")]
    pub sleep_s: u32,
}

/// What stood in no configuration of before leaves its hash as it was.
#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde asks with a reference"
)]
fn is_never(seconds: &u32) -> bool {
    *seconds == 0
}

impl Shown {
    /// Longest time that an answer stays, where it is to leave at all.
    pub const MOST_IDLE_S: u32 = 86_400;

    /// A display at this place, as it is where nothing else is said.
    pub fn at(at: Written) -> Self {
        Self {
            at,
            idle_s: 0,
            show_patient: false,
            show_label: false,
            sleep_s: 0,
        }
    }

    /// What the device starts.
    pub fn asked(&self, language: Language) -> Asked {
        let idle = Duration::from_secs(self.idle_s.into());
        Asked {
            place: self.at.place.clone(),
            manner: Manner {
                language,
                idle: (!idle.is_zero()).then_some(idle),
                shows_patient: self.show_patient,
                shows_label: self.show_label,
                sleep: (self.sleep_s > 0).then(|| Duration::from_secs(self.sleep_s.into())),
            },
        }
    }

    pub(super) fn read(section: &mut Section<'_, '_>) -> Option<Self> {
        let place = section.parsed("place", "a kind and a place, as ssd1306:/dev/i2c-1");
        let place = section.required("place", place, "write place = \"KIND:PLACE\"");
        let idle_s = section.number("idle_s", 0..=Self::MOST_IDLE_S);
        let show_patient = section.flag("show_patient");
        let show_label = section.flag("show_label");
        let sleep_s = section.number("sleep_s", 0..=Self::MOST_IDLE_S);
        Some(Self {
            idle_s: idle_s.unwrap_or_default(),
            show_patient: show_patient.unwrap_or_default(),
            show_label: show_label.unwrap_or_default(),
            sleep_s: sleep_s.unwrap_or_default(),
            ..Self::at(place?)
        })
    }
}

/// A display's place, as it was written.
#[derive(Debug, Clone, PartialEq)]
pub struct Written {
    text: String,
    /// The same, understood.
    pub place: Place,
}

/// How the device's health is told.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Telling {
    /// The state file; where absent, in the folder of what does not last, else in the state
    /// folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<PathBuf>,
    /// File of the metrics; there is none where absent.
    pub metrics: Option<PathBuf>,
    /// The rights of both; as the system makes files where absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<FileMode>,
    /// The group of both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Group>,
}

impl Telling {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        Self {
            file: section.path("file"),
            metrics: section.path("metrics"),
            mode: section.parsed("mode", MODE),
            group: section.parsed("group", GROUP),
        }
    }

    /// Who may read them.
    pub fn readers(&self) -> Readers {
        access::readers(self.mode, self.group.as_ref())
    }
}

/// How long images of answered cases are kept, and how much room is left on the disk.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Keep {
    /// Days that an image is kept once all sinks that need it have the answer.
    pub images_days: u32,
    /// MiB that all of them may take.
    pub images_mib: u32,
    /// Days that one is kept for a sink.
    pub undelivered_days: u32,
    /// MiB that must be left free, or no case is accepted.
    pub free_mib: u32,
}

impl Default for Keep {
    fn default() -> Self {
        Self {
            images_days: 0,
            images_mib: Keeping::IMAGES_MIB,
            undelivered_days: Keeping::UNDELIVERED_DAYS,
            free_mib: Keeping::FREE_MIB,
        }
    }
}

impl Keep {
    pub(super) fn read(section: &mut Section<'_, '_>) -> Self {
        let default = Self::default();
        let mut number = |key, range, or| section.number(key, range).unwrap_or(or);
        Self {
            images_days: number("images_days", 0..=36_500, default.images_days),
            images_mib: number("images_mib", 0..=u32::MAX, default.images_mib),
            undelivered_days: number("undelivered_days", 1..=36_500, default.undelivered_days),
            free_mib: number("free_mib", 1..=u32::MAX, default.free_mib),
        }
    }

    /// The same in seconds and bytes.
    pub fn keeping(&self) -> Keeping {
        let days = |days: u32| Duration::from_secs(u64::from(days) * 86_400);
        let mib = |mib: u32| u64::from(mib) << 20;
        Keeping {
            images_for: days(self.images_days),
            images_up_to: mib(self.images_mib),
            undelivered_for: days(self.undelivered_days),
            least_free: mib(self.free_mib),
        }
    }
}

/// A language by its code.
struct Spoken(Language);

impl FromStr for Spoken {
    type Err = String;

    fn from_str(code: &str) -> Result<Self, String> {
        let language = Language::of_code(code);
        language
            .map(Self)
            .ok_or_else(|| format!("there is no '{code}', there are {}", language_codes()))
    }
}

/// The codes of all languages, for people.
pub fn language_codes() -> String {
    Language::ALL.map(Language::code).join(", ")
}

impl FromStr for Written {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        Ok(Self {
            place: text.parse()?,
            text: text.to_owned(),
        })
    }
}

impl Display for Written {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

fn code<S: Serializer>(language: &Language, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(language.code())
}

fn as_text<S: Serializer>(value: &impl Display, to: S) -> Result<S::Ok, S::Error> {
    to.collect_str(value)
}

pub(super) fn text<S: Serializer, T: Display>(value: &Option<T>, to: S) -> Result<S::Ok, S::Error> {
    value.as_ref().map(ToString::to_string).serialize(to)
}

pub(super) fn texts<S: Serializer, T: Display>(values: &[T], to: S) -> Result<S::Ok, S::Error> {
    to.collect_seq(values.iter().map(ToString::to_string))
}
