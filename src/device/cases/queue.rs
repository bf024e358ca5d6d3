//! The cases that wait, and whose turn it is.
//!
//! The higher priority goes first, the lower number within one. So that nobody waits for
//! ever, the oldest of all goes after [`PASSED`] that went before older ones: with `n` older
//! cases before it, one waits for `(PASSED + 1) * (n + 1)` others at most, whatever comes.
//!
//! Cases of a sender that has had more than its share of the decoders wait behind all others.
//!
//! A case is refused where as many of its own or a higher priority wait as may: what is
//! routine can never keep out what hurries, and what waits is bounded all the same. Whoever
//! gives cases has a share of those places: one that floods the queue keeps out nobody else.

use std::collections::BTreeMap;

use crate::case::{Giver, Order, Priority};

/// So many cases in a row may go before an older one.
const PASSED: usize = 4;

/// A full queue still takes so many of a giver that has hardly any there: one in so many of
/// the places.
const FEW: usize = 16;

/// How many may wait.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Of one priority or a higher one.
    pub most: usize,
    /// Of those, of one giver.
    pub most_per_giver: usize,
    /// Of one giver that may come to nothing in an hour.
    pub most_refused: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        let most = Self::MOST_WAITING as usize;
        Self {
            most,
            most_per_giver: (most * 3).div_ceil(4),
            most_refused: Self::MOST_REFUSED,
        }
    }
}

impl Bounds {
    /// Cases of one priority that may wait, where nothing says otherwise.
    pub const MOST_WAITING: u32 = 64;
    /// Cases of one giver that may come to nothing in an hour, where nothing says otherwise.
    pub const MOST_REFUSED: u32 = 1000;

    /// What a giver may always have waiting, however many others do.
    fn few(&self) -> usize {
        (self.most / FEW).clamp(1, self.most_per_giver.max(1))
    }
}

/// The cases that wait, by number.
#[derive(Debug, Default)]
pub(super) struct Queue {
    waiting: BTreeMap<u64, Order>,
    /// Cases that went before older ones since the oldest went.
    passed: usize,
}

impl Queue {
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Whether another of this priority and giver may wait.
    pub fn has_room(&self, priority: Priority, giver: Option<&Giver>, bounds: Bounds) -> bool {
        let before = self.waiting.values().filter(|o| o.priority >= priority);
        let (mut all, mut own) = (0, 0);
        for order in before {
            all += 1;
            own += usize::from(order.giver.as_ref() == giver);
        }
        let has_place = all < bounds.most || (own < bounds.few() && all < 2 * bounds.most);
        has_place && own < bounds.most_per_giver
    }

    pub fn push(&mut self, case: u64, order: Order) {
        self.waiting.insert(case, order);
    }

    /// The case whose turn it is: of those that are not to be held back, while there are any.
    pub fn next(&mut self, is_held_back: impl Fn(&Order) -> bool) -> Option<(u64, Order)> {
        let all_are = self.waiting.values().all(&is_held_back);
        let may = || {
            let waiting = self.waiting.iter();
            waiting.filter(|(_, order)| all_are || !is_held_back(order))
        };
        let oldest = *may().next()?.0;
        let highest = may().map(|(_, order)| order.priority).max()?;
        let first = *may().find(|(_, order)| order.priority == highest)?.0;
        let case = if self.passed < PASSED { first } else { oldest };
        self.passed = if case == oldest { 0 } else { self.passed + 1 };
        self.waiting.remove_entry(&case)
    }

    /// Takes off the case of such an order that waits longest.
    pub fn pop_oldest(&mut self, is: impl Fn(&Order) -> bool) -> Option<(u64, Order)> {
        let case = *self.waiting.iter().find(|(_, order)| is(order))?.0;
        self.waiting.remove_entry(&case)
    }

    /// Whether a case waits whose order is such a one.
    pub fn any(&self, is: impl Fn(&Order) -> bool) -> bool {
        self.waiting.values().any(is)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Priority::{Routine, Stat, Urgent};

    fn order(priority: Priority) -> Order {
        Order {
            source: "a.png".to_owned(),
            priority,
            ..Order::default()
        }
    }

    fn queue(priorities: &[Priority]) -> Queue {
        let mut queue = Queue::default();
        for (case, priority) in (1..).zip(priorities) {
            queue.push(case, order(*priority));
        }
        queue
    }

    fn turns(queue: &mut Queue) -> Vec<u64> {
        std::iter::from_fn(|| queue.next(|_| false).map(|(case, _)| case)).collect()
    }

    #[test]
    fn the_higher_priority_goes_first_and_the_older_within_one() {
        let mut queue = queue(&[Routine, Urgent, Routine, Stat, Urgent]);
        assert_eq!(turns(&mut queue), [4, 2, 5, 1, 3]);
    }

    #[test]
    fn nobody_waits_for_ever() {
        let mut queue = queue(&[Routine, Routine]);
        let mut went = Vec::new();
        // One that hurries more comes before every turn.
        for case in 3..15 {
            queue.push(case, order(Stat));
            went.extend(queue.next(|_| false).map(|(case, _)| case));
        }
        assert_eq!(went, [3, 4, 5, 6, 1, 7, 8, 9, 10, 2, 11, 12]);
    }

    #[test]
    fn who_is_held_back_goes_after_all_others_and_is_not_forgotten() {
        let mut queue = queue(&[Routine, Stat, Routine, Urgent, Routine]);
        queue.push(6, order(Stat));
        // The cases of one sender, whatever they hurry.
        for case in [1, 2, 4] {
            let order = queue.waiting.get_mut(&case).unwrap();
            order.source = "greedy.png".to_owned();
        }
        let is_held_back = |order: &Order| order.source == "greedy.png";
        let turns = std::iter::from_fn(|| queue.next(is_held_back).map(|(case, _)| case));
        assert_eq!(turns.collect::<Vec<_>>(), [6, 3, 5, 2, 4, 1]);
    }

    #[test]
    fn what_is_routine_keeps_nothing_out_that_hurries() {
        let has_room = |queue: &Queue, priority, most| {
            let most_per_giver = most;
            let bounds = Bounds {
                most,
                most_per_giver,
                ..Bounds::default()
            };
            queue.has_room(priority, None, bounds)
        };
        let mut queue = queue(&[Routine, Urgent, Routine]);
        assert!(!has_room(&queue, Routine, 3) && has_room(&queue, Urgent, 3));
        queue.push(4, order(Stat));
        assert!(!has_room(&queue, Urgent, 2) && has_room(&queue, Stat, 2));
        queue.push(5, order(Stat));
        assert!(!has_room(&queue, Stat, 2));
    }

    #[test]
    fn whoever_floods_the_queue_keeps_out_nobody_else() {
        let bounds = Bounds {
            most: 32,
            most_per_giver: 24,
            ..Bounds::default()
        };
        let peer = |number: usize| Giver::Dicom(format!("UNIT{number}@10.0.0.{number}"));
        let flood = |queue: &mut Queue, giver: &Giver| {
            for _ in 0..100 {
                if queue.has_room(Stat, Some(giver), bounds) {
                    let giver = Some(giver.clone());
                    let case = queue.len() as u64;
                    queue.push(
                        case,
                        Order {
                            giver,
                            ..order(Stat)
                        },
                    );
                }
            }
        };
        let mut queue = Queue::default();
        flood(&mut queue, &peer(0));
        assert_eq!(queue.len(), 24, "its share");
        flood(&mut queue, &peer(1));
        assert_eq!(queue.len(), 32, "the rest, and no more");
        // Whoever comes to the full queue has a few places of its own, up to an end.
        assert!(queue.has_room(Routine, Some(&Giver::User(7)), bounds));
        for number in 2..100 {
            flood(&mut queue, &peer(number));
        }
        assert_eq!(queue.len(), 64);
        assert!(!queue.has_room(Stat, Some(&Giver::User(7)), bounds));
    }

    #[test]
    fn a_case_that_was_taken_off_and_put_back_keeps_its_place() {
        let mut queue = queue(&[Routine, Routine]);
        let (case, order) = queue.pop_oldest(|_| true).unwrap();
        let is_same = |order: &Order| order.source == "a.png";
        assert_eq!((case, queue.len(), queue.any(is_same)), (1, 1, true));
        queue.push(case, order);
        assert_eq!(turns(&mut queue), [1, 2]);
        assert!(!queue.any(is_same));
    }
}
