//! Warnings: what needs a person before long, each as a code for scripts, a sentence and help.
//! Whoever notices something sets it under a name and takes it away again; the status shows what
//! stands. Answers no case and stops none.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::bundle::clock_is_set;
use crate::coded::Coded;
use crate::device::status::{Account, Obstacle};
use crate::journal::{self, SelfCheck};

/// What does not come to an end for so long is away: a share whose server is gone answers
/// never.
pub(crate) const HANGS: Duration = Duration::from_secs(10);

/// Something that needs a person before long. Cases are answered all the same, unless the
/// storage is at fault.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// Stable code.
    pub code: String,
    /// One sentence that names the place.
    pub what: String,
    /// What a person can do about it.
    #[serde(rename = "cure")]
    pub help: String,
}

impl Warning {
    /// A warning from its three parts.
    pub fn new(code: &str, what: impl ToString, help: &str) -> Self {
        Self {
            code: code.to_owned(),
            what: what.to_string(),
            help: help.to_owned(),
        }
    }

    /// The state folder is gone, or another lies at its path.
    pub(crate) fn state_away() -> Self {
        Self::new(
            "state_away",
            "the state folder is gone, or another lies at its path: no new case is accepted",
            "put the card or disk of the state folder back, then start the device again",
        )
    }

    /// The disk has hardly any space left.
    pub(crate) fn disk_full() -> Self {
        Self::new(
            "disk_full",
            "the disk of the state folder is nearly full: no new case is accepted",
            "make room on the disk of the state folder, or use a larger one",
        )
    }

    /// The last write to the journal failed.
    pub(crate) fn journal_unwritable() -> Self {
        Self::new(
            "journal_unwritable",
            "the journal could not be written",
            "see in the log why, and check the disk that the state folder lies on",
        )
    }

    fn clock_unset(now: Timestamp) -> Self {
        Self::new(
            "clock_unset",
            // The day alone: what is told anew each second is written anew each second.
            format!("the clock shows {}: it was never set", now.strftime("%F")),
            "set it, or give the board a battery: order is kept all the same, times are not",
        )
    }

    /// A folder of images is not there, or does not answer.
    pub(crate) fn folder_away(folder: &str, why: &str) -> Self {
        Self::new(
            "folder_away",
            format!("{folder}: {why}"),
            "plug in what the folder lies on, or mend the network: the device waits for it",
        )
    }

    /// A folder of images, or a file in it, cannot be read.
    pub(crate) fn folder_unreadable(folder: &str, why: &str) -> Self {
        Self::new(
            "folder_unreadable",
            format!("{folder}: {why}"),
            "give the device's user the right to read the folder and what lies in it",
        )
    }

    /// What was answered cannot be moved out of a folder of images.
    pub(crate) fn folder_unwritable(folder: &str, why: &str) -> Self {
        Self::new(
            "folder_unwritable",
            format!("{folder}: {why}"),
            "give the device's user the right to write in the folder",
        )
    }

    /// The journal is not as the device left it.
    pub(crate) fn of_journal(how: journal::How) -> Self {
        Self::new(how.code(), how.what(), journal::CURE)
    }

    /// Images that sinks need will have to go before long.
    pub(crate) fn images_short() -> Self {
        Self::new(
            "images_short",
            "images that sinks need will have to go before long",
            "see to the sinks that are away: images that they need will go",
        )
    }

    /// An image found no space in the store of late.
    pub(crate) fn store_full() -> Self {
        Self::new(
            "store_full",
            "the store of images is full",
            "wait for cases to end, and see in the log or journal which source sends so many",
        )
    }

    /// A DICOM sender found no space in the inbox of late.
    pub(crate) fn inbox_full() -> Self {
        Self::new(
            "inbox_full",
            "the inbox of DICOM images is full",
            "see in the log which DICOM sender found the inbox full, and why cases wait",
        )
    }

    /// A DICOM sender's images cannot be read.
    pub(crate) fn dicom_unread(sender: &str, count: u64, code: &str) -> Self {
        Self::new(
            "dicom_unread",
            format!("images of {sender} cannot be read, {count} of late: {code}"),
            "see at the unit that sends them: what is refused there is said beside the status; have it \
             send uncompressed images of the sizes that are read",
        )
    }

    /// A received image cannot become a case.
    pub(crate) fn inbox_held() -> Self {
        Self::new(
            "inbox_held",
            "a received DICOM image cannot become a case",
            "a received DICOM image cannot become a case: see the log and medfocus journal verify",
        )
    }

    /// The last try of a sink failed, answers will never be there, or parts of them are not.
    pub(crate) fn of_sink(account: &Account) -> Vec<Self> {
        let name = &account.name;
        let owes = account.delivery_error.map(|Obstacle { code, help }| {
            let what = format!("{name} owes {} cases: {code}", account.owed);
            Self::new(&format!("sink_{name}"), what, help)
        });
        let failed = account.failed.map(|(count, Obstacle { code, help })| {
            let what = format!("{name} will never have {count} cases: {code}");
            let help = format!("{help}; then give the images to the device again");
            Self::new(&format!("sink_{name}_failed"), what, &help)
        });
        let without = account
            .without
            .iter()
            .map(|(part, Obstacle { code, help })| {
                let what = format!("{name} has answers without their {part}: {code}");
                Self::new(&format!("sink_{name}_without"), what, help)
            });
        owes.into_iter().chain(failed).chain(without).collect()
    }
}

impl Coded for Warning {
    fn code(&self) -> &str {
        &self.code
    }

    fn help(&self) -> &str {
        &self.help
    }
}

impl From<&SelfCheck> for Warning {
    fn from(check: &SelfCheck) -> Self {
        Self::new(&check.name, &check.what, &check.help)
    }
}

/// Who warns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Warner {
    /// Whoever watches this folder.
    Folder(String),
    /// Whoever takes DICOM images.
    Dicom,
}

/// Warnings by who set them.
#[derive(Debug, Default)]
pub(crate) struct Warned {
    set: BTreeMap<Warner, Vec<Warning>>,
    /// Folders that are being looked into, and since when nothing came of it.
    busy: BTreeMap<String, Instant>,
}

impl Warned {
    /// From now on these are what `who` warns of.
    pub fn set(&mut self, who: Warner, warnings: Vec<Warning>) {
        if warnings.is_empty() {
            self.set.remove(&who);
        } else {
            self.set.insert(who, warnings);
        }
    }

    /// A folder is being looked into, and something came of it just now.
    pub fn begin(&mut self, folder: &str, now: Instant) {
        self.busy.insert(folder.to_owned(), now);
    }

    /// Looking into a folder came to its end.
    pub fn end(&mut self, folder: &str) {
        self.busy.remove(folder);
    }

    /// All of them at this moment, as the clock and the wall's clock show it.
    pub fn all(&self, now: Instant, clock: Timestamp) -> Vec<Warning> {
        let unset = (!clock_is_set(clock)).then(|| Warning::clock_unset(clock));
        let silent = |since: &Instant| now.saturating_duration_since(*since);
        let hangs = self.busy.iter().filter(|(_, since)| silent(since) >= HANGS);
        let hangs = hangs.map(|(folder, _)| {
            Warning::folder_away(
                folder,
                "it does not answer, as a share whose server is gone",
            )
        });
        let set = self.set.iter().filter(|(who, _)| {
            let since = match who {
                Warner::Folder(folder) => self.busy.get(folder),
                Warner::Dicom => None,
            };
            since.is_none_or(|since| silent(since) < HANGS)
        });
        let set = set.flat_map(|(_, warnings)| warnings.iter().cloned());
        unset.into_iter().chain(hangs).chain(set).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SET: &str = "2026-11-26T00:00:00Z";

    fn folder(path: &str) -> Warner {
        Warner::Folder(path.to_owned())
    }

    fn codes(warned: &Warned, now: Instant, clock: &str) -> Vec<String> {
        let all = warned.all(now, clock.parse().unwrap());
        all.into_iter().map(|warning| warning.code).collect()
    }

    #[test]
    fn what_is_set_stands_until_it_is_taken_away() {
        let (mut warned, now) = (Warned::default(), Instant::now());
        assert_eq!(codes(&warned, now, SET), [""; 0]);
        warned.set(
            folder("/in"),
            vec![Warning::folder_unreadable("/in", "denied")],
        );
        warned.set(
            Warner::Dicom,
            vec![Warning::inbox_full(), Warning::inbox_held()],
        );
        let all = ["folder_unreadable", "inbox_full", "inbox_held"];
        assert_eq!(codes(&warned, now, SET), all);
        warned.set(Warner::Dicom, vec![Warning::inbox_held()]);
        warned.set(folder("/in"), Vec::new());
        assert_eq!(codes(&warned, now, SET), ["inbox_held"]);
    }

    #[test]
    fn a_folder_of_any_name_keeps_its_warnings_beside_those_of_others() {
        let (mut warned, now) = (Warned::default(), Instant::now());
        let unreadable = Warning::folder_unreadable("dicom", "denied");
        warned.set(folder("dicom"), vec![unreadable]);
        warned.set(Warner::Dicom, vec![Warning::inbox_full()]);
        assert_eq!(
            codes(&warned, now, SET),
            ["folder_unreadable", "inbox_full"]
        );
        warned.set(Warner::Dicom, Vec::new());
        assert_eq!(codes(&warned, now, SET), ["folder_unreadable"]);
    }

    #[test]
    fn a_clock_that_was_never_set_is_warned_of_by_itself() {
        let (warned, now) = (Warned::default(), Instant::now());
        assert_eq!(codes(&warned, now, "1970-01-01T00:00:09Z"), ["clock_unset"]);
        assert_eq!(codes(&warned, now, SET), [""; 0]);
    }

    #[test]
    fn a_folder_that_does_not_answer_is_away_whatever_was_known_of_it() {
        let (mut warned, now) = (Warned::default(), Instant::now());
        warned.set(
            folder("/in"),
            vec![Warning::folder_unreadable("/in", "denied")],
        );
        warned.begin("/in", now);
        assert_eq!(codes(&warned, now, SET), ["folder_unreadable"]);
        let later = now + HANGS;
        assert_eq!(codes(&warned, later, SET), ["folder_away"]);
        // Something came of it.
        warned.begin("/in", later);
        assert_eq!(codes(&warned, later, SET), ["folder_unreadable"]);
        warned.end("/in");
        assert_eq!(codes(&warned, later + HANGS, SET), ["folder_unreadable"]);
    }
}
