//! Instances of the inbox become cases, what hurries first, as many as may wait. What
//! becomes of a case is no business of this side.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use super::Options;
use super::inbox::Inbox;
use crate::device::Cases;
use crate::image;
use crate::journal::{Order, Priority};

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
    /// Those that became cases.
    taken: BTreeMap<PathBuf, u64>,
    /// The others that were looked into.
    hurry: BTreeMap<PathBuf, Priority>,
}

impl Instances {
    fn feed(&mut self, options: &Options, inbox: &Inbox, cases: &Cases) -> std::io::Result<()> {
        let there = inbox.instances()?;
        self.taken
            .retain(|path, _| there.binary_search(path).is_ok());
        self.hurry
            .retain(|path, _| there.binary_search(path).is_ok());
        for (path, case) in &self.taken {
            // An instance that was sent again after its case had ended.
            cases.release_again(*case, path);
        }
        self.look_into(&there);
        self.take(options, cases);
        Ok(())
    }

    /// Looks how much new instances hurry.
    fn look_into(&mut self, there: &[PathBuf]) {
        let is_known =
            |path: &PathBuf| self.taken.contains_key(path) || self.hurry.contains_key(path);
        // A few at a time: to look into one takes a process.
        let new = there.iter().filter(|path| !is_known(path)).take(LOOKED_AT);
        let new: Vec<PathBuf> = new.cloned().collect();
        for path in new {
            let priority = priority_of(image::priority(&path).as_deref());
            self.hurry.insert(path, priority);
        }
    }

    /// Has a case made of every instance that has none.
    fn take(&mut self, options: &Options, cases: &Cases) {
        let mut waiting: Vec<(PathBuf, Priority)> = self.hurry.clone().into_iter().collect();
        waiting.sort_by_key(|(_, priority)| Reverse(*priority));
        for (path, priority) in waiting {
            let order = Order {
                source: path.display().to_string(),
                exam: options.exam.clone(),
                region: None,
                request: Inbox::request(&path),
                priority,
            };
            // Too many wait, or the disk refuses: this one and those after it wait here.
            let Ok(case) = cases.accept(order) else {
                return;
            };
            self.hurry.remove(&path);
            self.taken.insert(path, case);
        }
    }
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
