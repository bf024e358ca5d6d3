//! What happens on the device, told to whoever listens: the display, framed links.
//!
//! Telling never waits. A listener that does not keep up loses its oldest events, so no
//! promise may rest on them: what stands is asked of [`crate::device::Cases`].

use std::borrow::Cow;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Condvar, Mutex, Weak};
use std::time::Duration;

use crate::bundle::ExamSpec;
use crate::case::{BundleId, IntendedUse, Record};
use crate::clock::Clock;
use crate::device::device_fault::DeviceFault;
use crate::device::lock::lock;
use crate::focus::Mask;
use crate::image::Image;
use crate::pipeline::Stage;

/// Events that wait for one listener at most.
const KEPT: usize = 64;

/// Something happened.
#[derive(Debug, Clone)]
pub enum Event {
    /// The device's own state changed.
    Health(Health),
    /// A case was accepted and is durable.
    Accepted {
        /// Its number.
        case: u64,
    },
    /// A case began to run.
    Started {
        /// Its number.
        case: u64,
    },
    /// A case entered a stage.
    Stage {
        /// Its number.
        case: u64,
        /// The stage that begins.
        stage: Stage,
    },
    /// A case ended in a finding or a refusal, which is durable.
    Answered {
        /// Its number.
        case: u64,
        /// The answer. It names the image's path: it is for the line, not for a log.
        answer: Arc<Answer>,
    },
    /// A case was dropped before it ran.
    Aborted {
        /// Its number.
        case: u64,
    },
    /// Someone asks the display for a page, counted from 0.
    Page(u8),
}

impl Event {
    /// Whether this is the end of a case.
    pub fn ends(&self, number: u64) -> bool {
        match self {
            Self::Answered { case, .. } | Self::Aborted { case } => *case == number,
            _ => false,
        }
    }
}

/// The device's own state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Health {
    /// The bundle is being loaded.
    Loading,
    /// The bundle's known answers are being reproduced.
    SelfTest,
    /// Cases are accepted.
    Ready {
        /// Who answers.
        bundle: BundleId,
        /// What for.
        intended_use: IntendedUse,
    },
    /// The device cannot answer; the program is about to end or has to be looked at.
    Fault(Arc<DeviceFault>),
    /// The journal cannot be written (`true`), or can again.
    StorageFault(bool),
}

/// The answer of a case as it ended just now.
#[derive(Debug)]
pub struct Answer {
    /// The record, as it stands in the journal.
    pub record: Record,
    /// What a display shows beside a finding.
    pub preview: Option<Preview>,
}

/// What a display shows beside a finding.
#[derive(Debug, Clone, PartialEq)]
pub struct Preview {
    /// The exam's title for people.
    pub title: String,
    /// What a small display calls the exam.
    pub short_title: String,
    /// The image, no longer than [`Preview::LONGEST`] pixels on either side.
    pub thumbnail: Image,
    /// The region, in the thumbnail's pixels.
    pub region: Mask,
}

#[cfg(test)]
impl Answer {
    /// The answer of a case that is refused with this code.
    pub(super) fn refused(code: crate::case::RefusalCode, message: &str) -> Self {
        use crate::case::{Channel, Outcome, Refusal, Refused};
        let refusal = Refusal::new(code, message, "look again").about("/images/maria.png");
        let refused = Refused::new(None, refusal, Channel::Record);
        Self::of(Outcome::Refusal(refused), None)
    }

    /// The answer of a case that came to this.
    pub(super) fn of(outcome: crate::case::Outcome, preview: Option<Preview>) -> Self {
        use crate::case::Provenance;
        let bundle = BundleId {
            name: "starter".to_owned(),
            version: "1".to_owned(),
            sha256: String::new(),
        };
        let by = Provenance::of(&bundle, IntendedUse::Demonstration);
        let record = Record::new(Some("7".to_owned()), "/images/maria.png", outcome, by);
        Self { record, preview }
    }
}

impl Preview {
    /// Pixels of the thumbnail's longer side at most.
    pub const LONGEST: u32 = 240;

    /// Keeps of an image what a display needs.
    pub fn new(exam: &ExamSpec, image: &Image, mask: &Mask) -> Self {
        // A display is for all eyes: what a unit wrote around its region is left out.
        let shown = image.cleaned().unwrap_or(Cow::Borrowed(image));
        let thumbnail = shown.reduced(Self::LONGEST);
        let region = mask.reduced(thumbnail.width, thumbnail.height);
        Self {
            title: exam.title.clone(),
            short_title: exam.short_title().to_owned(),
            thumbnail,
            region,
        }
    }
}

/// Why no page is turned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PageError {
    /// There is none.
    #[error("the device has no display")]
    NoDisplay,
    /// It has fewer pages.
    #[error("a display has no such page")]
    NoSuchPage,
}

/// Where events are told.
#[derive(Debug)]
pub struct Events {
    clock: Clock,
    listeners: Mutex<Vec<Weak<Queue>>>,
    /// Pages of the display; 0 where there is none.
    pages: AtomicU8,
    /// The one that was turned to.
    page: AtomicU8,
}

#[derive(Debug, Default)]
struct Queue {
    events: Mutex<VecDeque<Event>>,
    arrived: Condvar,
}

/// Hears every event from now on, until it is dropped.
#[derive(Debug)]
pub struct Listener {
    queue: Arc<Queue>,
    clock: Clock,
}

impl Events {
    /// Nobody listens yet; whoever does waits by this clock.
    pub fn on(clock: Clock) -> Self {
        Self {
            clock,
            listeners: Mutex::default(),
            pages: AtomicU8::new(0),
            page: AtomicU8::new(0),
        }
    }

    /// Begins to listen.
    pub fn subscribe(&self) -> Listener {
        let queue = Arc::<Queue>::default();
        let mut listeners = lock(&self.listeners);
        // Those that have gone: where nothing happens, many may come and go.
        listeners.retain(|listener| listener.strong_count() > 0);
        listeners.push(Arc::downgrade(&queue));
        let clock = self.clock.clone();
        Listener { queue, clock }
    }

    /// Tells all listeners.
    pub fn tell(&self, event: &Event) {
        match event {
            Event::Page(page) => self.page.store(*page, Ordering::Relaxed),
            // A new case turns back to the first.
            Event::Started { .. } => self.page.store(0, Ordering::Relaxed),
            _ => {}
        }
        lock(&self.listeners).retain(|listener| match listener.upgrade() {
            Some(queue) => {
                queue.push(event.clone());
                true
            }
            None => false,
        });
    }

    /// A display says how many pages it has.
    pub fn set_pages(&self, pages: u8) {
        self.pages.store(pages, Ordering::Relaxed);
    }

    /// The page that a display shows, counted from 0.
    ///
    /// # Errors
    /// [`PageError::NoDisplay`].
    pub fn page(&self) -> Result<u8, PageError> {
        match self.pages.load(Ordering::Relaxed) {
            0 => Err(PageError::NoDisplay),
            _ => Ok(self.page.load(Ordering::Relaxed)),
        }
    }

    /// Asks the display for a page, counted from 0.
    ///
    /// # Errors
    /// [`PageError`].
    pub fn turn_to(&self, page: u8) -> Result<(), PageError> {
        match self.pages.load(Ordering::Relaxed) {
            0 => Err(PageError::NoDisplay),
            pages if page >= pages => Err(PageError::NoSuchPage),
            _ => {
                self.tell(&Event::Page(page));
                Ok(())
            }
        }
    }
}

impl Queue {
    fn push(&self, event: Event) {
        let mut events = lock(&self.events);
        if events.len() == KEPT {
            events.pop_front();
        }
        events.push_back(event);
        self.arrived.notify_one();
    }
}

impl Listener {
    /// The next event; `None` where none came for so long.
    pub fn next(&self, patience: Duration) -> Option<Event> {
        let Queue { events, arrived } = &*self.queue;
        let events = lock(events);
        let mut events = self
            .clock
            .wait_while(arrived, events, patience, |events| events.is_empty());
        events.pop_front()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn case_of(event: Option<Event>) -> Option<u64> {
        match event {
            Some(Event::Accepted { case }) => Some(case),
            _ => None,
        }
    }

    #[test]
    fn a_listener_that_sleeps_loses_the_oldest_and_delays_nobody() {
        let events = Events::on(Clock::system());
        let (awake, asleep) = (events.subscribe(), events.subscribe());
        for case in 0..1000 {
            events.tell(&Event::Accepted { case });
            assert_eq!(case_of(awake.next(Duration::ZERO)), Some(case));
        }
        let kept: Vec<u64> = std::iter::from_fn(|| case_of(asleep.next(Duration::ZERO))).collect();
        assert_eq!(kept, (1000 - KEPT as u64..1000).collect::<Vec<_>>());
    }

    #[test]
    fn listeners_that_have_gone_leave_nothing_behind() {
        let events = Events::on(Clock::system());
        let stays = events.subscribe();
        (0..1000).for_each(|_| drop(events.subscribe()));
        assert!(lock(&events.listeners).len() <= 2);
        events.tell(&Event::Accepted { case: 7 });
        assert_eq!(case_of(stays.next(Duration::ZERO)), Some(7));
    }

    #[test]
    fn a_listener_that_waits_is_woken() {
        let events = Events::on(Clock::system());
        let listener = events.subscribe();
        std::thread::scope(|scope| {
            let heard = scope.spawn(|| listener.next(Duration::from_secs(60)));
            events.tell(&Event::Accepted { case: 7 });
            assert_eq!(case_of(heard.join().unwrap()), Some(7));
        });
    }

    #[test]
    fn pages_are_turned_only_where_there_are_some() {
        let events = Events::on(Clock::system());
        let listener = events.subscribe();
        assert_eq!(events.turn_to(0), Err(PageError::NoDisplay));
        events.set_pages(3);
        assert_eq!(events.turn_to(3), Err(PageError::NoSuchPage));
        assert_eq!(events.turn_to(2), Ok(()));
        assert!(matches!(
            listener.next(Duration::ZERO),
            Some(Event::Page(2))
        ));
        drop(listener);
        events.tell(&Event::Page(0));
        assert!(events.listeners.lock().unwrap().is_empty(), "forgotten");
    }
}
