//! Received instances become cases, what hurries first, as many as may wait: each goes from
//! the inbox into the image store and is a case by its content. What becomes of a case is no
//! business of this side.
//!
//! An image hurries as far as its sender may have it hurry: of another, what it says is written
//! down and not done. Where a sender has as many cases waiting as it may, its other instances
//! stay in the inbox, and those of others go on.
//!
//! A SOP Instance UID is a sender's claim: other content under a UID that is known is a case of
//! its own, which says so. Names of patients go to no log here, nor do UIDs.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Options;
use super::complaints::{Kind, say};
use super::inbox::{Inbox, Name};
use super::unread::Unread;
use crate::case::{Asker, Bound, Claim, Giver, Order, Priority, RequestId};
use crate::device::case_error::CaseError;
use crate::device::cases::Cases;
use crate::device::status::{Warner, Warning};
use crate::files;
use crate::image;
use crate::sha256::Sha256;

/// Between two looks at the inbox.
const PAUSE: Duration = Duration::from_millis(200);
/// Instances of others are looked into for so long before the inbox is read again.
const LOOKING: Duration = Duration::from_secs(1);
/// While they are, what may be taken is taken so often.
const TAKEN_EVERY: Duration = Duration::from_millis(100);
/// To look into an instance that takes more of a processor is costly.
const COSTLY: Duration = Duration::from_secs(1);
/// After a costly one, a sender's images that may not hurry are not looked into for so long.
const NOT_LOOKED: Duration = Duration::from_secs(60);
/// An instance that cannot become a case is tried again after this, then after twice as long.
const TRIED_AGAIN: Duration = Duration::from_secs(1);
/// So often it is doubled.
const MOST_DOUBLED: u32 = 6;

/// Feeds until the device has ended.
pub(super) fn work(options: &Options, inbox: &Inbox, cases: &Cases) {
    let mut instances = Instances::default();
    while !cases.lifecycle().has_ended() {
        if let Err(error) = instances.feed(options, inbox, cases) {
            say(Kind::Disk, &format!("the inbox cannot be read: {error}"));
        }
        std::thread::sleep(PAUSE);
    }
}

/// What is known of the inbox's instances.
#[derive(Default)]
struct Instances {
    /// Those that were looked into and have no case yet.
    known: BTreeMap<PathBuf, Known>,
    /// Senders of which an instance was costly to look into, and when.
    costly: BTreeMap<String, Instant>,
    /// Whose could not be read.
    unread: Unread,
}

/// An instance that was looked into.
#[derive(Debug, Clone)]
struct Known {
    giver: Giver,
    priority: Priority,
    /// What its sender said, where that is not done.
    said: Option<Priority>,
    /// Whether it is known that it can be read.
    is_readable: bool,
    held: Option<Held>,
}

/// That an instance could not become a case.
#[derive(Debug, Clone, Copy)]
struct Held {
    times: u32,
    until: Instant,
}

impl Held {
    /// Once more than before.
    fn again(before: Option<Self>) -> Self {
        let times = before.map_or(0, |held| held.times);
        let wait = TRIED_AGAIN * 2_u32.pow(times.min(MOST_DOUBLED));
        Self {
            times: times.saturating_add(1),
            until: Instant::now() + wait,
        }
    }
}

impl Instances {
    fn feed(&mut self, options: &Options, inbox: &Inbox, cases: &Cases) -> std::io::Result<()> {
        let there = inbox.instances()?;
        self.known
            .retain(|path, _| there.binary_search(path).is_ok());
        self.costly.retain(|_, at| at.elapsed() < NOT_LOOKED);
        for refused in inbox.looks().refused() {
            let giver = Giver::Dicom(refused.giver.clone());
            cases.note_decoded(Some(&giver), refused.processor);
            cases.note_unstored(refused.code);
            self.unread
                .note(&refused.giver, refused.code, Instant::now());
        }
        self.look_into(&there, options, inbox, cases);
        self.unread.look_at(cases, Instant::now());
        let is_held = self.known.values().any(|known| known.held.is_some());
        let full = inbox.is_full().then(Warning::inbox_full);
        let held = is_held.then(Warning::inbox_held);
        let unread = self.unread.warnings(Instant::now());
        let warnings = full.into_iter().chain(held).chain(unread).collect();
        cases.set_warnings(Warner::Dicom, warnings);
        Ok(())
    }

    /// Looks how much new instances hurry, and takes meanwhile what may be taken: to look into
    /// one takes a process, and some take long.
    fn look_into(&mut self, there: &[PathBuf], options: &Options, inbox: &Inbox, cases: &Cases) {
        let new = there.iter().filter(|path| !self.known.contains_key(*path));
        let mut by_sender = BTreeMap::<String, Vec<&PathBuf>>::new();
        for path in new {
            by_sender.entry(sender_of(path)).or_default().push(path);
        }
        let (begun, mut taken) = (Instant::now(), Instant::now());
        // One of each sender in turn, so that nobody waits for all of another's.
        while !by_sender.is_empty() {
            by_sender.retain(|sender, paths| {
                if let Some(path) = paths.pop() {
                    let known = match inbox.looks().fetch(path) {
                        Some(found) => {
                            let said = priority_of(found.priority.as_deref());
                            let known = known(said, sender, options, true);
                            cases.note_decoded(Some(&known.giver), found.processor);
                            known
                        }
                        None => self.look(path, sender, options, cases),
                    };
                    self.known.insert(path.clone(), known);
                    if taken.elapsed() > TAKEN_EVERY {
                        self.take(options, cases);
                        taken = Instant::now();
                    }
                }
                !paths.is_empty()
            });
            if begun.elapsed() > LOOKING {
                break;
            }
        }
        self.take(options, cases);
    }

    /// Looks how much an instance hurries. Where that changes nothing of its turn and its sender
    /// sent a costly one of late, it is not looked into.
    fn look(&mut self, path: &Path, sender: &str, options: &Options, cases: &Cases) -> Known {
        if self.costly.contains_key(sender) && !options.may_hurry(sender) {
            return known(Priority::Routine, sender, options, false);
        }
        let begun = Instant::now();
        let looked = image::priority(path);
        if looked.processor > COSTLY {
            self.costly.insert(sender.to_owned(), Instant::now());
        }
        if begun.elapsed() > COSTLY {
            let what = format!("how much an image of {sender} hurries takes long to read");
            say(Kind::Slow, &what);
        }
        let known = known(priority_of(looked.said.as_deref()), sender, options, false);
        cases.note_decoded(Some(&known.giver), looked.processor);
        known
    }

    /// Has a case made of every instance that has none.
    fn take(&mut self, options: &Options, cases: &Cases) {
        let mut waiting: Vec<(PathBuf, Known)> = self.known.clone().into_iter().collect();
        waiting.sort_by_key(|(_, known)| Reverse(known.priority));
        let mut have_enough = BTreeSet::new();
        for (path, known) in waiting {
            let is_held = known.held.is_some_and(|held| held.until > Instant::now());
            if is_held || have_enough.contains(&known.giver) {
                continue;
            }
            let order = Order {
                exam: options.exam.clone(),
                giver: Some(known.giver.clone()),
                priority: known.priority,
                priority_said: known.said,
                ..Order::default()
            };
            let waits = cases.may_wait(known.priority, Some(&known.giver));
            match waits.and_then(|()| accept(&path, order, cases)) {
                Ok(case) => {
                    self.known.remove(&path);
                    if !known.is_readable {
                        self.unread.watch(case, &sender_of(&path));
                    }
                }
                // Its sender has its share: this one and its others wait here.
                Err(
                    CaseError::TooManyWaiting | CaseError::TooManyRefused | CaseError::StoreFull,
                ) => {
                    have_enough.insert(known.giver);
                }
                // The disk refuses: it would refuse the next one, too.
                Err(CaseError::StorageFull | CaseError::Stopping) => return,
                // This one comes to nothing: those behind it have their turn.
                Err(fault) => {
                    if let Some(known) = self.known.get_mut(&path) {
                        known.held = Some(Held::again(known.held));
                    }
                    let what = format!("a received image cannot become a case: {fault}");
                    say(Kind::HeldUp, &what);
                    // Or the disk is broken, which the next look at the inbox tells.
                    if fault == CaseError::Storage {
                        return;
                    }
                }
            }
        }
    }
}

/// Who sent an instance, as it is counted.
fn sender_of(path: &Path) -> String {
    match Inbox::name(path) {
        Some(Name::Content {
            sender: Some(sender),
            ..
        }) => sender,
        // A program of before took it in.
        _ => "unknown".to_owned(),
    }
}

fn known(said: Priority, sender: &str, options: &Options, is_readable: bool) -> Known {
    let may = said == Priority::Routine || options.may_hurry(sender);
    Known {
        giver: Giver::Dicom(sender.to_owned()),
        priority: if may { said } else { Priority::Routine },
        said: (!may).then_some(said),
        is_readable,
        held: None,
    }
}

/// The case of an instance, which leaves the inbox once that is durable.
fn accept(path: &Path, order: Order, cases: &Cases) -> Result<u64, CaseError> {
    let (claim, content) = match Inbox::name(path) {
        Some(Name::Content { claim, content, .. }) => (Some(claim), Some(content)),
        // A program of before there was one store may have accepted it: it runs where it lies.
        Some(Name::Claim(number)) => match cases.open_old_case(number, path) {
            Some(case) => return Ok(case),
            None => (None, None),
        },
        None => (None, None),
    };
    let failed = |error: std::io::Error| {
        say(
            Kind::Disk,
            &format!("an instance cannot leave the inbox: {error}"),
        );
        CaseError::Storage
    };
    let (sha256, pin) = cases.link_image(path, order.giver.as_ref())?;
    // One whose name says nothing is told by its bytes alone.
    let number = number_of(&content.unwrap_or(sha256), order.exam.as_deref());
    let claim = claim.zip(content);
    let claim = claim.map(|(uid, content)| Claim { uid, content });
    let order = Order {
        source: path.display().to_string(),
        image: Some(Bound::Stored(sha256)),
        request: Some(RequestId {
            asker: Asker::Dicom,
            number,
        }),
        same_claim_as: claim.and_then(|claim| cases.same_claim(&claim)),
        claim,
        ..order
    };
    let case = match cases.requested(&order)? {
        Some(known) => cases.came_again(known, order)?,
        None => {
            if let Some(other) = order.same_claim_as {
                log::warn!(
                    "dicom: other content came under the SOP Instance UID of case {other}; it is a \
                     case of its own"
                );
            }
            cases.accept(order)?
        }
    };
    drop(pin);
    // Where the case has ended already, nobody waits for it.
    cases.forget_unwanted(&sha256);
    files::remove(path).map_err(|error| failed(error.into()))?;
    Ok(case)
}

/// The same content in the same exam has the same number.
fn number_of(content: &Sha256, exam: Option<&str>) -> u64 {
    let words = format!("{content} {}", exam.unwrap_or_default());
    Sha256::of(words.as_bytes()).short()
}

/// What a Requested Procedure Priority (PS3.3, C.4.11) is here.
fn priority_of(word: Option<&str>) -> Priority {
    match word {
        Some("STAT") => Priority::Stat,
        Some("HIGH") => Priority::Urgent,
        // ROUTINE, MEDIUM, LOW, and what is no word of DICOM's.
        _ => Priority::Routine,
    }
}
