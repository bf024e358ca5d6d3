//! What an entry of the journal says: accepted, started, answered, delivered and so on, each with
//! what belongs to it. Every writer of the journal makes one; `history` reads them. How entries are
//! written, chained and signed is the business of the module's other files.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Because, Checkpoint, How, Nonce, Recorded, SelfCheck};
use crate::case::{BundleId, Identity, Order, Record};
use crate::device_key::PublicKey;
use crate::sha256::Sha256;

/// The sink that a host on a serial link is: it takes every case that ended.
pub const LINK: &str = "link";

/// Entries of before there were other sinks name none.
fn link() -> String {
    LINK.to_owned()
}

/// Whose a journal is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Origin {
    /// The device's own number.
    pub device: Identity,
    /// The public half of its key.
    pub key: PublicKey,
    /// Drawn by chance, so that no two journals begin alike.
    pub nonce: Nonce,
}

impl Origin {
    /// Whether both are of one device and its key.
    pub fn is_of(&self, other: &Self) -> bool {
        (self.device, self.key) == (other.device, other.key)
    }
}

/// A place in the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// The entry's number.
    pub seq: u64,
    /// Its hash.
    pub head: Sha256,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
#[expect(
    clippy::large_enum_variant,
    reason = "an entry lives as long as it takes to write it, and an order is its largest part"
)]
pub enum Entry {
    /// Whose journal this is, from here on: the first entry. A journal of before there was
    /// such an entry gets it at the device's next start.
    Begun(Origin),
    /// A person had the device take the journal on, whosever it was and whatever was wrong
    /// with it: from here on it is this device's.
    Adopted {
        /// Whose it is now.
        by: Origin,
        /// Why, in the person's words.
        because: String,
        /// The entries before it that are damaged or missing, first and last.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        damaged: Vec<[u64; 2]>,
    },
    /// A point of the chain, signed: the line before this one.
    Checkpoint {
        /// The point.
        point: Checkpoint,
    },
    /// A start found entries without a signature of when they were written. It stands between
    /// them and the next point: no point is ever of an entry that anybody could have written.
    FoundUnsigned {
        /// The first of them.
        first: u64,
        /// The last.
        last: u64,
        /// Whether they count all the same: a person took them on, or they are of a program
        /// of before. Else no case has ended and no answer is delivered by their word.
        counts: bool,
    },
    /// The journal was not as the device had left it.
    NotAsLeft {
        /// In what way.
        how: How,
        /// Where the device had left it; `None` where that is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        left: Option<Place>,
        /// Where it was found to end.
        found: Place,
        /// The file in the state folder that keeps what was found in its place, or added.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        evidence: Option<String>,
    },
    /// The device started; until the next such entry, this is what answers.
    Booted {
        /// The program's version.
        software: String,
        /// The bundle that it was told to answer with.
        bundle: BundleId,
    },
    /// What the device is told to do, at its start and whenever it changed.
    Configured {
        /// SHA-256 of the configuration in use.
        sha256: String,
    },
    /// Another bundle answers from now on; it passed the self-test.
    BundleChanged {
        /// Which.
        bundle: BundleId,
    },
    /// A bundle that was to be loaded was not; the one before goes on.
    BundleRefused {
        /// Stable code.
        code: String,
        /// One sentence that names the file.
        what: String,
    },
    /// An older release answers than the device has had: a person went back to it.
    WentBack {
        /// Which.
        bundle: BundleId,
        /// Its release.
        release: u64,
        /// The highest that the device has had.
        highest: u64,
        /// When the person did.
        at: Timestamp,
        /// The number of their user.
        by: u32,
    },
    /// The device had seen a later time than its clock shows, and a person said that the clock
    /// is right.
    ClockBelieved {
        /// What it had seen.
        from: Timestamp,
        /// What the clock showed then.
        to: Timestamp,
        /// The number of their user.
        by: u32,
    },
    /// The device tested itself. Where it did not pass, no case is answered until it does.
    SelfTested {
        /// Why it did.
        because: Because,
        /// Whether cases may be answered.
        passed: bool,
        /// What it looked at.
        checks: Vec<SelfCheck>,
    },
    /// The clock of the wall was set while nobody looked, or the device slept. The order of
    /// entries is that of their numbers, never that of their times.
    ClockSet {
        /// What it would have shown.
        from: Timestamp,
        /// What it shows.
        to: Timestamp,
    },
    /// Somebody told the device what time it is. The entry before says from when to when its clock was set.
    TimeGiven {
        /// What time it is. Another word than the line's own.
        to: Timestamp,
        /// On which line.
        by: String,
    },
    /// From now on, these sinks owe what is answered; what was owed before stays owed.
    Sinks {
        /// Their names, all but the link's.
        sinks: Vec<String>,
    },
    /// A case was taken on.
    Accepted {
        /// Its number.
        case: u64,
        /// What it is asked.
        order: Order,
    },
    /// A case began to run. One that began and did not end took the device down with it.
    Started {
        /// Its number.
        case: u64,
    },
    /// A case that had begun was put back: the device was switched off. It will begin again.
    Returned {
        /// Its number.
        case: u64,
    },
    /// A case ended in a finding or a refusal.
    Answered {
        /// Its number.
        case: u64,
        /// SHA-256 of the image's file; `None` where it could not be read.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        image: Option<Sha256>,
        /// The answer.
        record: Recorded,
    },
    /// A case was dropped before it ran.
    Aborted {
        /// Its number.
        case: u64,
    },
    /// A sink has the answer safe: it is never sent there again.
    Delivered {
        /// Its number.
        case: u64,
        /// The sink.
        #[serde(default = "link")]
        sink: String,
        /// What is to be known of it: parts that the sink goes without, or remarked on.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        notes: Vec<String>,
    },
    /// A sink will never have the answer, and is not tried again.
    Declined {
        /// Its number.
        case: u64,
        /// The sink.
        sink: String,
        /// Why, as a stable word.
        code: String,
    },
    /// The image of an answered case is kept no longer.
    Purged {
        /// Its number.
        case: u64,
    },
    /// The image of an answered case came again: the sinks that are chosen now owe it again.
    CameAgain {
        /// Its number.
        case: u64,
    },
}

impl Entry {
    /// The end of a case in a finding or a refusal.
    pub fn answered(case: u64, record: &Record) -> Self {
        Self::Answered {
            case,
            image: record.image,
            record: record.clone().into(),
        }
    }

    /// Leaves out what only readers of answers and self-tests want: of a record its
    /// [`Gist`](super::Gist) stays.
    pub(super) fn shorten(&mut self) {
        match self {
            Self::Answered { record, .. } => record.shorten(),
            Self::SelfTested { checks, .. } => checks.clear(),
            _ => {}
        }
    }

    /// Whether the mark outside of the journal must be on the disk before anyone is told.
    pub(super) fn must_be_marked(&self) -> bool {
        matches!(
            self,
            Self::Accepted { .. }
                | Self::Begun(_)
                | Self::Adopted { .. }
                | Self::NotAsLeft { .. }
                | Self::FoundUnsigned { .. }
        )
    }

    /// Whether a case or its delivery ends with it. Such an entry is written together with a
    /// signed point: without one, it counts for nothing at the next start.
    pub(super) fn is_an_end(&self) -> bool {
        matches!(
            self,
            Self::Answered { .. }
                | Self::Aborted { .. }
                | Self::Delivered { .. }
                | Self::Declined { .. }
        )
    }

    /// Whether it is a signed point of the chain, which says nothing of what happened.
    pub(super) fn is_checkpoint(&self) -> bool {
        matches!(self, Self::Checkpoint { .. })
    }

    /// The number of the case that it is about.
    pub fn case(&self) -> Option<u64> {
        match self {
            Self::Begun(_)
            | Self::Adopted { .. }
            | Self::Checkpoint { .. }
            | Self::FoundUnsigned { .. }
            | Self::NotAsLeft { .. }
            | Self::Booted { .. }
            | Self::Configured { .. }
            | Self::BundleChanged { .. }
            | Self::BundleRefused { .. }
            | Self::WentBack { .. }
            | Self::ClockBelieved { .. }
            | Self::SelfTested { .. }
            | Self::ClockSet { .. }
            | Self::TimeGiven { .. }
            | Self::Sinks { .. } => None,
            Self::Accepted { case, .. }
            | Self::Started { case }
            | Self::Returned { case }
            | Self::Answered { case, .. }
            | Self::Aborted { case }
            | Self::Delivered { case, .. }
            | Self::Declined { case, .. }
            | Self::Purged { case }
            | Self::CameAgain { case } => Some(*case),
        }
    }
}

/// An entry as it stands in the file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Line {
    /// Its number: one more than that of the line before.
    pub seq: u64,
    /// What the clock showed.
    pub time: Timestamp,
    /// What happened.
    #[serde(flatten)]
    pub entry: Entry,
}
