//! What a head answers, and which files make none.

use super::*;

fn head() -> FusionHead {
    let prototypes = [vec![1.0, 0.0, 0.0], vec![0.0, 2.0, 0.0]];
    FusionHead::zero_shot(&prototypes, 10.0).unwrap()
}

/// A head's file with some of its tensors replaced or added.
fn file(tensors: &[(&'static str, &[usize], &[f32])]) -> Vec<u8> {
    let zeros = |count| vec![0.0; count];
    let (square, rows) = (zeros(18), zeros(6));
    let mut all: Vec<(&'static str, &[usize], &[f32])> = vec![
        ("prototypes", &[2, 3], &[1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        ("fusion.weight", &[3, 6], &square),
        ("fusion.bias", &[3], &[0.0; 3]),
        ("classifier.weight", &[2, 3], &rows),
        ("classifier.bias", &[2], &[0.0; 2]),
        ("logit_scale", &[1], &[10.0]),
        ("temperature", &[1], &[1.0]),
    ];
    all.retain(|(name, ..)| tensors.iter().all(|(other, ..)| other != name));
    let mut writer = Writer::default();
    for (name, shape, values) in all.iter().chain(tensors) {
        writer.put(name, shape, values);
    }
    writer.bytes().unwrap()
}

fn read(tensors: &[(&'static str, &[usize], &[f32])]) -> Result<FusionHead, HeadError> {
    FusionHead::read(&file(tensors), 2, 3)
}

const X: [f32; 3] = [0.6, 0.8, 0.0];

#[test]
fn a_file_of_before_answers_by_its_trained_logits() {
    let old = read(&[("classifier.bias", &[2], &[1.0, -1.0])]).unwrap();
    assert_eq!(old.blend(), 1.0);
    assert_eq!(old.logits(&X, &X), [7.0, 7.0]);
    let half = read(&[
        ("classifier.bias", &[2], &[1.0, -1.0]),
        ("blend", &[1], &[0.5]),
    ]);
    assert_eq!(half.unwrap().logits(&X, &X), [6.5, 7.5]);
}

#[test]
fn what_the_cache_remembers_is_added() {
    let cached = read(&[
        ("cache.keys", &[1, 3], &[0.6, 0.8, 0.0]),
        ("cache.values", &[1, 2], &[0.0, 1.0]),
        ("cache.alpha", &[1], &[2.0]),
        ("cache.beta", &[1], &[5.0]),
    ])
    .unwrap();
    let logits = cached.logits(&X, &X);
    assert!((logits[0] - 6.0).abs() < 1e-6 && (logits[1] - 10.0).abs() < 1e-5);
    let far = cached.logits(&[0.0, 0.0, 1.0], &[0.0, 0.0, 1.0]);
    assert!((far[1] - 2.0 * (-5f32).exp()).abs() < 1e-6, "{far:?}");
    assert_eq!(FusionHead::read(&cached.write().unwrap(), 2, 3), Ok(cached));
}

#[test]
fn what_cannot_be_is_refused_by_the_tensors_name() {
    let keys: (&'static str, &[usize], &[f32]) = ("cache.keys", &[1, 3], &[1.0, 0.0, 0.0]);
    let values: (&'static str, &[usize], &[f32]) = ("cache.values", &[1, 2], &[0.0, 1.0]);
    let (alpha, beta) = (
        ("cache.alpha", &[1][..], &[1.0][..]),
        ("cache.beta", &[1][..], &[1.0][..]),
    );
    let value = HeadError::Value;
    let long: (&'static str, &[usize], &[f32]) = ("cache.keys", &[1, 3], &[1.0, 1.0, 0.0]);
    let levels: (&'static str, &[usize], &[f32]) = ("conformal.levels", &[2], &[0.8, 0.9]);
    for (tensors, error) in [
        (vec![("blend", &[1][..], &[1.5][..])], value("blend")),
        (vec![("temperature", &[1], &[0.0])], value("temperature")),
        (
            vec![("logit_scale", &[1], &[f32::NAN])],
            value("logit_scale"),
        ),
        (vec![keys, values, alpha], HeadError::Missing("cache.beta")),
        (vec![long, values, alpha, beta], value("cache.keys")),
        (
            vec![keys, values, alpha, ("cache.beta", &[1], &[1e6])],
            value("cache.beta"),
        ),
        (vec![levels], HeadError::Missing("conformal.thresholds")),
        (
            vec![levels, ("conformal.thresholds", &[2], &[0.9, 0.8])],
            value("conformal.thresholds"),
        ),
        (
            vec![
                ("conformal.levels", &[1], &[1.0]),
                ("conformal.thresholds", &[1], &[0.9]),
            ],
            value("conformal.levels"),
        ),
    ] {
        assert_eq!(read(&tensors).unwrap_err(), error);
    }
    let shape = read(&[keys, ("cache.values", &[2, 1], &[0.0, 1.0]), alpha, beta]);
    assert!(matches!(
        shape,
        Err(HeadError::Shape {
            name: "cache.values",
            ..
        })
    ));
}

#[test]
fn every_part_comes_back_from_the_file() {
    let probe = Probe {
        weight: vec![0.5; 6],
        bias: vec![0.25, -0.25],
    };
    let cases: Vec<Vec<f64>> = (0..40)
        .map(|i| vec![0.5 + f64::from(i) / 100.0, 0.0])
        .collect();
    let sets = PredictionSets::fit(&cases, &[0; 40], &[0.8, 0.9], true);
    let full = head()
        .with_probe(&probe, 0.75)
        .with_temperature(1.5)
        .with_sets(sets);
    let back = FusionHead::read(&full.write().unwrap(), 2, 3).unwrap();
    assert_eq!(back, full);
    assert_eq!(back.write().unwrap(), full.write().unwrap());
}

#[test]
fn prototypes_of_no_length_make_no_head() {
    for rows in [vec![vec![0.0; 3]], vec![vec![1.0], vec![1.0, 1.0]], vec![]] {
        assert!(FusionHead::zero_shot(&rows, 10.0).is_err(), "{rows:?}");
    }
    assert!(FusionHead::zero_shot(&[vec![1.0]], 0.0).is_err());
}
