//! Where each buffer lies in the arena.
//!
//! With every shape known, so is the step that first writes a buffer and the one that
//! last touches it. Buffers that never live together share memory; the arena's length is
//! known before anything runs. Offsets are given largest buffer first, each at the lowest
//! place that is free for its whole life (greedy by size: Pisarchyk & Lee 2020,
//! arXiv 2001.03288).

use std::ops::Range;

use super::step::{Place, Step};

/// Floats in a cache line: buffers start on one.
const LINE: usize = 16;

/// Each buffer's place in the arena.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Arena {
    /// By buffer; empty for one that nothing touches.
    pub places: Vec<Range<usize>>,
    /// Floats in all.
    pub length: usize,
}

impl Arena {
    /// Lays out `lengths` (floats, by buffer) for these steps; `kept` are read at the end.
    pub fn lay_out(lengths: &[usize], steps: &[Step], kept: &[Place]) -> Self {
        let lives = lives(lengths.len(), steps, kept);
        let mut order: Vec<usize> = (0..lengths.len()).filter(|b| lives[*b].is_some()).collect();
        order.sort_by_key(|&b| (std::cmp::Reverse(lengths[b]), b));
        let mut arena = Self {
            places: vec![0..0; lengths.len()],
            length: 0,
        };
        let mut placed: Vec<usize> = Vec::new();
        for buffer in order {
            let length = lengths[buffer].next_multiple_of(LINE);
            let meets = |other: &&usize| meet(lives[buffer].as_ref(), lives[**other].as_ref());
            let mut taken: Vec<Range<usize>> = placed
                .iter()
                .filter(meets)
                .map(|&other| {
                    let start = arena.places[other].start;
                    start..start + lengths[other].next_multiple_of(LINE)
                })
                .collect();
            taken.sort_by_key(|range| range.start);
            let start = taken.iter().fold(0, |start, range| {
                if start + length <= range.start {
                    start
                } else {
                    start.max(range.end)
                }
            });
            // The fold only moves on while it does not fit before a range; once it fits,
            // later ranges start beyond it.
            arena.places[buffer] = start..start + lengths[buffer];
            arena.length = arena.length.max(start + length);
            placed.push(buffer);
        }
        arena
    }
}

/// First and last step that touches each buffer.
fn lives(buffers: usize, steps: &[Step], kept: &[Place]) -> Vec<Option<(usize, usize)>> {
    let mut lives = vec![None; buffers];
    let mut touch = |place: Place, step: usize| {
        if let Place::Buffer(buffer) = place {
            let (first, _) = lives[buffer].unwrap_or((step, step));
            lives[buffer] = Some((first, step));
        }
    };
    for (i, step) in steps.iter().enumerate() {
        step.reads.iter().for_each(|place| touch(*place, i));
        touch(Place::Buffer(step.writes), i);
    }
    kept.iter().for_each(|place| touch(*place, steps.len()));
    lives
}

fn meet(a: Option<&(usize, usize)>, b: Option<&(usize, usize)>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => a.0 <= b.1 && b.0 <= a.1,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::elementwise::{Shared, Unary};
    use super::super::step::Work;
    use super::super::view::View;
    use super::*;
    use proptest::prelude::*;

    fn step(reads: &[usize], writes: usize) -> Step {
        let view = View::contiguous(&[1]);
        let shared = Shared::of([&view, &view]).unwrap();
        Step {
            node: String::new(),
            work: Work::Unary(Unary::Copy, shared),
            reads: reads.iter().map(|b| Place::Buffer(*b)).collect(),
            writes,
        }
    }

    #[test]
    fn a_chain_needs_two_buffers() {
        let steps: Vec<Step> = (1..9).map(|i| step(&[i - 1], i)).collect();
        let arena = Arena::lay_out(&[160; 9], &steps, &[Place::Buffer(8)]);
        assert_eq!(arena.length, 320);
    }

    proptest! {
        #[test]
        fn buffers_that_live_together_never_overlap(
            lengths in proptest::collection::vec(1_usize..200, 12),
            reads in proptest::collection::vec(0_usize..12, 11),
        ) {
            let steps: Vec<Step> = (1..12).map(|i| step(&[reads[i - 1] % i], i)).collect();
            let kept = [Place::Buffer(11)];
            let arena = Arena::lay_out(&lengths, &steps, &kept);
            let lives = lives(12, &steps, &kept);
            for a in 0..12 {
                prop_assert!(arena.places[a].end <= arena.length);
                for b in 0..a {
                    let (x, y) = (&arena.places[a], &arena.places[b]);
                    let apart = x.end <= y.start || y.end <= x.start;
                    prop_assert!(apart || !meet(lives[a].as_ref(), lives[b].as_ref()));
                }
            }
        }
    }
}
