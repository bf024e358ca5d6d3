//! Whose images could not be read of late: those that were refused before they were stored, and
//! those that were stored without a look and whose cases then said so. The feeding notes them, and
//! the device's warnings name sender and reason; never an image or a patient.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::look::is_unfit;
use crate::device::cases::Cases;
use crate::device::status::Warning;

/// So long a sender is warned of.
const LATELY: Duration = Duration::from_secs(600);
/// Senders that are told of at once.
const MOST_SENDERS: usize = 64;
/// Cases that are watched at once.
const MOST_CASES: usize = 4096;

/// Senders, and cases whose images nobody has looked at.
#[derive(Debug, Default)]
pub(super) struct Unread {
    senders: BTreeMap<String, Sender>,
    watched: BTreeMap<u64, String>,
}

#[derive(Debug)]
struct Sender {
    count: u64,
    /// Of the last one.
    code: &'static str,
    at: Instant,
}

impl Unread {
    /// An image of this sender cannot be read.
    pub fn note(&mut self, giver: &str, code: &'static str, now: Instant) {
        self.senders.retain(|_, sender| now - sender.at < LATELY);
        if self.senders.len() >= MOST_SENDERS && !self.senders.contains_key(giver) {
            return;
        }
        let sender = self.senders.entry(giver.to_owned()).or_insert(Sender {
            count: 0,
            code,
            at: now,
        });
        *sender = Sender {
            count: sender.count + 1,
            code,
            at: now,
        };
    }

    /// A case of this sender's whose image was stored without a look.
    pub fn watch(&mut self, case: u64, giver: &str) {
        if self.watched.len() < MOST_CASES {
            self.watched.insert(case, giver.to_owned());
        }
    }

    /// Notes what became of the watched cases.
    pub fn look_at(&mut self, cases: &Cases, now: Instant) {
        let ended = |case: &u64| cases.state(*case).is_ok_and(|state| state.has_ended());
        let ended: Vec<u64> = self.watched.keys().copied().filter(ended).collect();
        for case in ended {
            let Some(giver) = self.watched.remove(&case) else {
                continue;
            };
            let told = cases.answer(case).ok().flatten();
            let code = told.and_then(|told| told.record.refusal().map(|refusal| refusal.code));
            if let Some(code) = code.filter(|code| is_unfit(*code)) {
                self.note(&giver, code.word(), now);
            }
        }
    }

    /// What a person should know.
    pub fn warnings(&mut self, now: Instant) -> Vec<Warning> {
        self.senders.retain(|_, sender| now - sender.at < LATELY);
        let warning = |(giver, sender): (&String, &Sender)| {
            Warning::dicom_unread(giver, sender.count, sender.code)
        };
        self.senders.iter().map(warning).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sender_is_warned_of_for_a_while_and_they_are_bounded() {
        let (mut unread, now) = (Unread::default(), Instant::now());
        unread.note("XRAY@10.0.0.7", "unreadable", now);
        unread.note("XRAY@10.0.0.7", "too_large", now);
        let warnings = unread.warnings(now + LATELY / 2);
        assert_eq!(warnings.len(), 1);
        let what = "images of XRAY@10.0.0.7 cannot be read, 2 of late: too_large";
        assert_eq!(
            (warnings[0].code.as_str(), warnings[0].what.as_str()),
            ("dicom_unread", what)
        );
        for sender in 0..100 {
            unread.note(&sender.to_string(), "unreadable", now);
        }
        assert_eq!(unread.warnings(now).len(), MOST_SENDERS);
        assert_eq!(unread.warnings(now + LATELY).len(), 0);
    }
}
