//! Heads that are chosen for drawn cases.

use super::super::unit;
use super::*;

const D: usize = 8;

/// Cases of three classes around known centres, drawn by a fixed rule.
fn cases(each: usize, spread: f32) -> Vec<LabelledCase> {
    let mut state: u64 = 11;
    let mut draw = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32 - 0.5
    };
    let case = |i: usize| {
        let label = i % 3;
        let mut around = || {
            let mut row: Vec<f32> = (0..D).map(|_| spread * draw()).collect();
            row[label] += 1.0;
            unit(&row)
        };
        LabelledCase {
            key: format!("{:05}", i * 7919 % 99991),
            whole: around(),
            focused: around(),
            label,
        }
    };
    (0..3 * each).map(case).collect()
}

/// A head whose prototypes name two of the classes the wrong way round.
fn wrong_head() -> FusionHead {
    let axis = |i: usize| (0..D).map(|j| f32::from(u8::from(i == j))).collect();
    FusionHead::zero_shot(&[axis(1), axis(0), axis(2)], 10.0).unwrap()
}

#[test]
fn a_wrong_head_is_mended_whatever_order_the_cases_come_in() {
    let cases = cases(12, 1.2);
    let head = wrong_head();
    let selected = select(&cases, Start::Head(&head)).unwrap();
    assert!(selected.before.balanced_accuracy < 0.5);
    assert!(
        selected.after.balanced_accuracy > 0.9,
        "{:?}",
        selected.after
    );
    assert!(selected.choice.penalty.is_some());
    let turned: Vec<_> = cases.iter().rev().cloned().collect();
    let again = select(&turned, Start::Head(&head)).unwrap();
    assert_eq!(again.head, selected.head);
    assert_eq!(again.after, selected.after);
}

#[test]
fn what_cannot_be_learnt_is_not_claimed() {
    let axis = |i: usize| (0..D).map(|j| f32::from(u8::from(i == j))).collect();
    let head = FusionHead::zero_shot(&[axis(0), axis(1), axis(2)], 10.0).unwrap();
    // Labels that have nothing to do with the embeddings.
    let mut cases = cases(20, 1.2);
    for (i, case) in cases.iter_mut().enumerate() {
        case.label = i / 7 % 3;
    }
    let selected = select(&cases, Start::Head(&head)).unwrap();
    assert!(
        selected.after.balanced_accuracy < 0.6,
        "nothing can be learnt: {:?}",
        selected.after
    );
}

#[test]
fn images_alone_make_a_head() {
    let start = Start::Means {
        classes: 3,
        logit_scale: 10.0,
    };
    let selected = select(&cases(10, 0.8), start).unwrap();
    assert!(
        selected.after.balanced_accuracy > 0.9,
        "{:?}",
        selected.after
    );
    let case = &cases(10, 0.8)[1];
    let logits = selected.head.logits(&case.whole, &case.focused);
    let p = selected.head.probabilities(&logits);
    assert!(p[case.label] > 0.5, "{p:?}");
}
