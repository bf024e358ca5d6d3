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
use std::time::Duration;

use firmware_host::fault::Fault;

use super::Options;
use super::inbox::{Inbox, Name};
use crate::device::Cases;
use crate::files;
use crate::image;
use crate::journal::{Asker, Bound, Claim, Giver, Order, Priority, RequestId};
use crate::sha256::Sha256;

/// Between two looks at the inbox.
const PAUSE: Duration = Duration::from_millis(200);
/// Instances that are looked into between two looks at the inbox.
const LOOKED_AT: usize = 32;

/// Feeds, for ever.
pub(super) fn work(options: &Options, inbox: &Inbox, cases: &Cases) {
    let mut instances = Instances::default();
    loop {
        if let Err(error) = instances.feed(options, inbox, cases) {
            log::error!("dicom: the inbox cannot be read: {error}");
        }
        std::thread::sleep(PAUSE);
    }
}

/// What is known of the inbox's instances.
#[derive(Default)]
struct Instances {
    /// Those that were looked into and have no case yet.
    known: BTreeMap<PathBuf, Known>,
}

/// An instance that was looked into.
#[derive(Debug, Clone)]
struct Known {
    giver: Giver,
    priority: Priority,
    /// What its sender said, where that is not done.
    said: Option<Priority>,
}

impl Instances {
    fn feed(&mut self, options: &Options, inbox: &Inbox, cases: &Cases) -> std::io::Result<()> {
        let there = inbox.instances()?;
        self.known
            .retain(|path, _| there.binary_search(path).is_ok());
        self.look_into(&there, options, cases);
        self.take(options, cases);
        Ok(())
    }

    /// Looks how much new instances hurry.
    fn look_into(&mut self, there: &[PathBuf], options: &Options, cases: &Cases) {
        let new = there.iter().filter(|path| !self.known.contains_key(*path));
        let mut by_sender = BTreeMap::<String, Vec<&PathBuf>>::new();
        for path in new {
            by_sender.entry(sender_of(path)).or_default().push(path);
        }
        // A few at a time: to look into one takes a process. One of each sender in turn, so
        // that nobody waits for all of another's.
        let mut looked_at = 0;
        while looked_at < LOOKED_AT && !by_sender.is_empty() {
            by_sender.retain(|sender, paths| {
                if let Some(path) = paths.pop()
                    && looked_at < LOOKED_AT
                {
                    let looked = image::priority(path);
                    let said = priority_of(looked.said.as_deref());
                    let known = known(said, sender, options);
                    cases.note_decoded(Some(&known.giver), looked.processor);
                    self.known.insert(path.clone(), known);
                    looked_at += 1;
                }
                !paths.is_empty()
            });
        }
    }

    /// Has a case made of every instance that has none.
    fn take(&mut self, options: &Options, cases: &Cases) {
        let mut waiting: Vec<(PathBuf, Known)> = self.known.clone().into_iter().collect();
        waiting.sort_by_key(|(_, known)| Reverse(known.priority));
        let mut have_enough = BTreeSet::new();
        for (path, known) in waiting {
            if have_enough.contains(&known.giver) {
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
                Ok(_) => drop(self.known.remove(&path)),
                // Its sender has its share: this one and its others wait here.
                Err(Fault::TooManyWaiting | Fault::TooManyRefused | Fault::StoreFull) => {
                    have_enough.insert(known.giver);
                }
                // The disk refuses: it would refuse the next one, too.
                Err(_) => return,
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

fn known(said: Priority, sender: &str, options: &Options) -> Known {
    let may = said == Priority::Routine || options.may_hurry(sender);
    Known {
        giver: Giver::Dicom(sender.to_owned()),
        priority: if may { said } else { Priority::Routine },
        said: (!may).then_some(said),
    }
}

/// The case of an instance, which leaves the inbox once that is durable.
fn accept(path: &Path, order: Order, cases: &Cases) -> Result<u64, Fault> {
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
        log::error!("dicom: an instance cannot be taken into the store: {error}");
        Fault::Storage
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
