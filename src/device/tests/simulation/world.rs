//! Those around the device: who gives images, who takes answers, and its disk and clock.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::told::{Given, Told};
use crate::bundle::Outline;
use crate::case::{Asker, BundleId, Giver, IntendedUse, Order, Priority, RequestId};
use crate::clock::simulated::Simulated;
use crate::device::case_error::CaseError;
use crate::device::cases::images::{Begun, Pin};
use crate::device::cases::kept::Keeping;
use crate::device::cases::{Afterwards, Around, Cases, Reach, Spec};
use crate::device::events::{Events, Listener};
use crate::device::lifecycle::Lifecycle;
use crate::device::spawner::{Spawn, Spawner, Work};
use crate::device::status::Obstacle;
use crate::sha256::Sha256;
use crate::storage::memory::{Chance, Memory};
use crate::storage::{Area, Storage};

/// Images that are given, again and again.
const IMAGES: u64 = 12;
const SINKS: [&str; 2] = ["results", "pacs"];

/// Does at once what would be done on another thread.
#[derive(Debug)]
struct AtOnce;

impl Spawn for AtOnce {
    fn spawn(&self, _: &'static str, work: Work) -> std::io::Result<()> {
        work();
        Ok(())
    }
}

/// A device at work, as its givers and takers see it.
pub(super) struct Running {
    pub cases: Arc<Cases>,
    events: Listener,
}

/// All that lies around the device.
pub(super) struct World {
    pub seed: u64,
    pub chance: Chance,
    pub time: Simulated,
    pub memory: Memory,
    pub running: Option<Running>,
    pub told: Told,
    /// Nothing happens any more by itself.
    pub is_calm: bool,
}

impl World {
    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    pub fn cases(&self) -> &Cases {
        &self.running().cases
    }

    pub fn soon(&mut self, most: u64) -> std::time::Instant {
        let seconds = self.chance.below(most);
        self.time.clock().now() + Duration::from_secs(seconds)
    }

    /// Opens the state folder, and looks whether all that was told is in it.
    pub fn open(&mut self) -> bool {
        let clock = self.time.clock();
        let lifecycle = Arc::new(Lifecycle::on(clock.clone()));
        let events = Arc::new(Events::on(clock));
        let listener = events.subscribe();
        let spec = |(name, takes_refusals): (&str, bool)| Spec {
            name: name.to_owned(),
            takes_refusals,
            needs_image: !takes_refusals,
        };
        let afterwards = Afterwards {
            sinks: SINKS.into_iter().zip([true, false]).map(spec).collect(),
            keeping: Keeping {
                images_for: Duration::from_secs(3600 * (self.seed % 3)),
                images_up_to: 20_000,
                least_free: 1 << 20,
                ..Keeping::default()
            },
        };
        let around = Around {
            events,
            lifecycle: Arc::clone(&lifecycle),
            spawner: Spawner::of(AtOnce),
        };
        let storage: Arc<dyn Storage> = Arc::new(self.memory.clone());
        let cases = match Cases::open(Arc::new(outline()), storage, afterwards, around) {
            Ok(cases) => cases,
            Err(_) => return false,
        };
        self.running = Some(Running {
            cases: Arc::new(cases),
            events: listener,
        });
        let Some(Running { cases, .. }) = &self.running else {
            unreachable!();
        };
        self.told.check_start(cases, &self.memory, self.seed);
        true
    }

    /// Hears what the device tells.
    pub fn hear(&mut self) {
        let Some(Running { events, .. }) = &self.running else {
            return;
        };
        while let Some(event) = events.next(Duration::ZERO) {
            self.told.hear(&event, &self.memory, self.seed);
        }
    }

    pub fn image(&self, number: u64) -> Vec<u8> {
        let mut chance = Chance::of(number);
        let length = 1 + chance.below(3000);
        (0..length).map(|_| chance.next() as u8).collect()
    }

    /// Somebody gives an image, perhaps one that was given before.
    pub fn give(&mut self) {
        let number = self.chance.below(IMAGES);
        let image = self.image(number);
        let sha256 = Sha256::of(&image);
        let user = self.chance.below(3) as u32;
        let number = self.chance.below(40);
        let request = self.chance.once_in(2).then_some(RequestId {
            asker: Asker::User(user),
            number,
        });
        let giver = Giver::User(user);
        let Some(stored) = self.send(&image, &sha256, &giver) else {
            return;
        };
        let priorities = [Priority::Routine, Priority::Urgent];
        let order = Order {
            source: format!("image {number}"),
            request: request.clone(),
            giver: Some(giver),
            priority: priorities[self.chance.below(2) as usize],
            ..Order::default()
        };
        let accepted = self.cases().run_stored(order, &sha256.0);
        drop(stored);
        let request = request.map(|request| (user, request.number));
        if let Ok(case) = accepted {
            let given = Given {
                sha256,
                request,
                rerun_of: None,
            };
            self.hear();
            self.told.accepted(case, given, self.seed);
        } else {
            let known = request.and_then(|request| self.told.requested(request));
            let is_known = known.is_some_and(|(_, known)| known == sha256);
            let is_storage = accepted == Err(CaseError::Storage);
            assert!(
                !is_known || is_storage,
                "seed {}: {accepted:?} for a request that was accepted",
                self.seed
            );
        }
    }

    /// Sends an image piece by piece; `None` where it does not come to its end.
    pub fn send(&mut self, image: &[u8], sha256: &Sha256, giver: &Giver) -> Option<Option<Pin>> {
        let size = image.len() as u32;
        let begun = self.cases().begin_image(sha256.0, size, Some(giver)).ok()?;
        let mut upload = match begun {
            Begun::Stored(pin) => return Some(Some(pin)),
            Begun::Wanted(upload) => upload,
        };
        if self.chance.once_in(4) {
            upload.begin_anew().ok()?;
        }
        loop {
            let have = upload.have() as usize;
            let count = 1 + self.chance.below((image.len() - have) as u64) as usize;
            match upload.take(have as u32, &image[have..have + count]) {
                Ok(true) => return Some(upload.pin()),
                Ok(false) if !self.chance.once_in(6) => {}
                // It goes on another time.
                _ => return None,
            }
        }
    }

    /// A sink is given what it is owed.
    pub fn deliver(&mut self) {
        let sink = SINKS[self.chance.below(2) as usize];
        let cases = Arc::clone(&self.running().cases);
        let Some(case) = cases.next_due(sink, &BTreeSet::new(), Duration::ZERO) else {
            return;
        };
        let seed = self.seed;
        self.told.is_due(sink, case, seed);
        let Ok(ended) = cases.ended(case) else {
            assert!(self.fails(), "seed {seed}: case {case} cannot be read");
            return;
        };
        self.told
            .answered(case, &ended.told.record, &self.memory, seed);
        drop(ended);
        if self.chance.once_in(5) {
            let obstacle = Obstacle {
                code: "away",
                help: "look at the other end",
            };
            return cases.note_error(sink, Some(obstacle));
        }
        self.told.given(sink, case);
        if cases.delivered_to(case, sink, Vec::new()).is_ok() {
            self.told.delivered(sink, case, &self.memory, seed);
        }
    }

    /// A host fetches an answer.
    pub fn take_by_link(&mut self) {
        let cases = Arc::clone(&self.running().cases);
        let Some(case) = cases.offer(None) else {
            return;
        };
        if let Ok(Some(told)) = cases.answer(case) {
            self.told
                .answered(case, &told.record, &self.memory, self.seed);
        }
        if self.chance.once_in(3) || cases.deliver(case).is_err() {
            cases.withdraw(&BTreeSet::from([case]));
        } else {
            self.told.delivered("link", case, &self.memory, self.seed);
            assert!(cases.is_delivered(case));
        }
    }

    pub fn abort(&mut self) {
        let giver = Giver::User(self.chance.below(3) as u32);
        let reach = [Reach::Own, Reach::Any][self.chance.below(2) as usize];
        // What was dropped is told by events.
        let _ = self.cases().abort(&giver, reach);
    }

    pub fn run_again(&mut self) {
        let Some((before, given)) = self.told.one_of(&mut self.chance) else {
            return;
        };
        let again = self.cases().rerun(before, Giver::User(1));
        if let Ok(case) = again {
            let given = Given {
                request: None,
                rerun_of: Some(before),
                ..given
            };
            self.hear();
            self.told.accepted(case, given, self.seed);
        }
    }

    /// Whether the disk may refuse anything now.
    pub fn fails(&self) -> bool {
        self.memory.is_off()
    }

    /// Nothing fails any more.
    pub fn calm_down(&mut self) {
        self.is_calm = true;
        self.memory.is_well();
    }

    pub fn has_come_to_rest(&self) -> bool {
        let status = self.cases().status();
        let owed = status.sinks.iter().filter(|sink| sink.name != "link");
        status.waiting == 0
            && status.running.is_none()
            && owed.map(|sink| sink.owed).sum::<usize>() == 0
    }

    pub fn check_rest(&mut self) {
        assert!(
            self.has_come_to_rest(),
            "seed {}: it does not come to rest",
            self.seed
        );
        let Some(Running { cases, .. }) = &self.running else {
            unreachable!();
        };
        self.told.check_end(cases, &self.memory, self.seed);
        let storage: &dyn Storage = &self.memory;
        let coming = storage.names(Area::Images).unwrap();
        let waiting = coming
            .iter()
            .filter(|name| !name.to_string_lossy().contains('.'));
        assert_eq!(
            waiting.count(),
            0,
            "seed {}: images that no case waits for",
            self.seed
        );
    }
}

pub(super) fn outline() -> Outline {
    Outline {
        id: BundleId {
            name: "simulated".to_owned(),
            version: "1".to_owned(),
            sha256: "ab".repeat(32),
        },
        older: None,
        intended_use: IntendedUse::Demonstration,
        exams: Vec::new(),
    }
}
