//! `medfocus calibrate` from the outside, on drawn images.

use crate::common::labelled::{BY, LabelledClinic, chests, verified};
use crate::common::{assert_valid, classify};
use serde_json::json;

#[test]
fn calibration_claims_sets_and_a_flag_of_cases_that_were_not_enrolled() {
    let clinic = LabelledClinic::new(0..8);
    clinic.enroll(&["--accept", "--by", BY]);
    let exam = ["--exam", "lung_tb2"];
    // These have made the head.
    let (code, _, error) = clinic.run("calibrate", "labelled", &exam);
    assert_eq!(code, 1);
    assert!(error.contains("too_few_cases"), "{error}");
    chests(&clinic.folder("others"), 20..44);
    let (code, _, error) = clinic.run(
        "calibrate",
        "others",
        &[&exam[..], &["--coverage", "0.99"]].concat(),
    );
    assert_eq!(code, 1);
    assert!(
        error.contains("coverage 0.99 has 48 of at least 149"),
        "{error}"
    );
    let picture = clinic.folder("curves.png");
    let wanted = ["--class", "tuberculosis", "--sensitivity", "0.9"];
    let more = ["--png", picture.to_str().unwrap(), "--accept", "--by", BY];
    let made = clinic.json("calibrate", "others", &[&exam[..], &wanted, &more].concat());
    assert_eq!(
        (&made["fitted_on"], &made["measured_on"]),
        (&json!(16), &json!(32))
    );
    let sets = made["prediction_sets"].as_array().unwrap();
    let coverages: Vec<_> = sets
        .iter()
        .map(|set| set["coverage"].as_f64().unwrap())
        .collect();
    assert_eq!(coverages, [0.8, 0.9, 0.95]);
    let flag = made["flag_from"].as_f64().unwrap();
    let rows = made["thresholds"].as_array().unwrap();
    let row = rows
        .iter()
        .find(|row| row["threshold"] == made["flag_from"])
        .unwrap();
    assert!(row["sensitivity"]["share"].as_f64() >= Some(0.9), "{row}");
    let picture = image::open(picture).unwrap();
    assert_eq!((picture.width(), picture.height()), (960, 520));
    verified(&clinic.current());
    let exam = clinic.exam("lung_tb2");
    assert_eq!(exam["classes"][1]["flag_from"].as_float(), Some(flag));
    assert_eq!(exam["calibrated"]["by"].as_str(), Some(BY));
    let image = clinic.folder("others/tuberculosis/30.png");
    let current = clinic.current();
    let ask = ["--bundle", current.to_str().unwrap(), "--exam", "lung_tb2"];
    let (answers, _) = classify(&[&ask[..], &[image.to_str().unwrap()]].concat());
    assert_valid(&answers[0]);
    assert_eq!(answers[0]["prediction_set"]["coverage"], 0.9);
    // Another head makes both void.
    chests(&clinic.folder("more"), 60..64);
    let (code, out, error) = clinic.run(
        "enroll",
        "more",
        &["--exam", "lung_tb2", "--accept", "--by", BY],
    );
    assert_eq!(code, 0, "{error}");
    assert!(
        out.contains("medfocus calibrate, with other cases"),
        "{out}"
    );
    assert!(clinic.exam("lung_tb2").get("calibrated").is_none());
}
