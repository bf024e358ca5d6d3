//! The cases that wait, and whose turn it is.
//!
//! The higher priority goes first, the lower number within one. So that nobody waits for
//! ever, the oldest of all goes after [`PASSED`] that went before older ones: with `n` older
//! cases before it, one waits for `(PASSED + 1) * (n + 1)` others at most, whatever comes.
//!
//! A case is refused where as many of its own or a higher priority wait as may: what is
//! routine can never keep out what hurries, and what waits is bounded all the same.

use std::collections::BTreeMap;

use crate::journal::{Order, Priority};

/// So many cases in a row may go before an older one.
const PASSED: usize = 4;

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

    /// Whether another of this priority may wait, where `most` of each may.
    pub fn has_room(&self, priority: Priority, most: usize) -> bool {
        let before = |order: &&Order| order.priority >= priority;
        self.waiting.values().filter(before).count() < most
    }

    pub fn push(&mut self, case: u64, order: Order) {
        self.waiting.insert(case, order);
    }

    /// The case whose turn it is.
    pub fn next(&mut self) -> Option<(u64, Order)> {
        let oldest = *self.waiting.first_key_value()?.0;
        let highest = self.waiting.values().map(|order| order.priority).max()?;
        let of_highest = |(_, order): &(&u64, &Order)| order.priority == highest;
        let first = *self.waiting.iter().find(of_highest)?.0;
        let case = if self.passed < PASSED { first } else { oldest };
        self.passed = if case == oldest { 0 } else { self.passed + 1 };
        self.waiting.remove_entry(&case)
    }

    /// The case that waits longest.
    pub fn pop_oldest(&mut self) -> Option<(u64, Order)> {
        self.waiting.pop_first()
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
        std::iter::from_fn(|| queue.next().map(|(case, _)| case)).collect()
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
            went.extend(queue.next().map(|(case, _)| case));
        }
        assert_eq!(went, [3, 4, 5, 6, 1, 7, 8, 9, 10, 2, 11, 12]);
    }

    #[test]
    fn what_is_routine_keeps_nothing_out_that_hurries() {
        let mut queue = queue(&[Routine, Urgent, Routine]);
        assert!(!queue.has_room(Routine, 3) && queue.has_room(Urgent, 3));
        queue.push(4, order(Stat));
        assert!(!queue.has_room(Urgent, 2) && queue.has_room(Stat, 2));
        queue.push(5, order(Stat));
        assert!(!queue.has_room(Stat, 2));
    }

    #[test]
    fn a_case_that_was_taken_off_and_put_back_keeps_its_place() {
        let mut queue = queue(&[Routine, Routine]);
        let (case, order) = queue.pop_oldest().unwrap();
        let is_same = |order: &Order| order.source == "a.png";
        assert_eq!((case, queue.len(), queue.any(is_same)), (1, 1, true));
        queue.push(case, order);
        assert_eq!(turns(&mut queue), [1, 2]);
        assert!(!queue.any(is_same));
    }
}
