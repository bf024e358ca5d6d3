//! `medfocus drift` from the outside, on a journal that is written as a device writes it.

use std::path::Path;

use crate::common::labelled::{BY, LabelledClinic};
use crate::common::{assert_valid_by, copy_of_starter, embedding_length, medfocus, seal};
use medfocus::triage::FusionHead;
use serde_json::{Value, json};

/// A journal of findings of an exam, written as a device writes it.
fn journal(clinic: &LabelledClinic, tuberculosis: f64) {
    use medfocus::case::{Order, Record};
    use medfocus::journal::{Entry, Journal};
    let state = clinic.folder("state");
    let _ = std::fs::remove_file(state.join(medfocus::journal::FILE));
    let outline = medfocus::bundle::outline(&clinic.current()).unwrap();
    let (mut journal, _) = Journal::open(&state, medfocus::clock::Clock::system()).unwrap();
    for case in 1..=80 {
        let order: Order = serde_json::from_value(json!({
            "source": "x.png", "exam": "lung_tb2", "region": null
        }))
        .unwrap();
        let p = tuberculosis + 0.001 * f64::from(case as u8 % 9);
        let record = json!({
            "status": "finding", "case": case.to_string(), "source": "x.png", "exam": "lung_tb2",
            "class": "normal", "probabilities": { "normal": 1.0 - p, "tuberculosis": p },
            "triage_level": "routine",
            "mask": {
                "bbox": [0, 0, 0, 0], "area_fraction": 0.0, "predicted_iou": 0.5,
                "rle": { "size": [1, 1], "counts": [1] },
            },
            "focus": "crop", "gate": "passed", "guard": "passed", "guard_distance": 0.95,
            "reasons": [], "intended_use": "demonstration", "software": "medfocus",
            "bundle": outline.id, "timings_ms": {},
        });
        let record: Record = serde_json::from_value(record).unwrap();
        journal.append(Entry::Accepted { case, order }).unwrap();
        journal.append(Entry::answered(case, &record)).unwrap();
    }
    let other = json!({ "status": "deferred", "case": "81", "source": "x.png" });
    let record = serde_json::from_value(other).unwrap();
    let (case, image) = (81, None);
    let order = Order::default();
    journal.append(Entry::Accepted { case, order }).unwrap();
    let answered = Entry::Answered {
        case,
        image,
        record,
    };
    journal.append(answered).unwrap();
}

/// Takes away what the answers of the exam lung_tb2 are compared with.
fn forget_reference(bundle: &Path) {
    const HEAD: &str = "heads/lung_tb2.safetensors";
    let bytes = std::fs::read(bundle.join(HEAD)).unwrap();
    let head = FusionHead::read(&bytes, 2, embedding_length()).unwrap();
    assert!(head.reference().is_some());
    let bytes = head.with_reference(None).write().unwrap();
    std::fs::write(bundle.join(HEAD), bytes).unwrap();
    seal(bundle, HEAD);
}

#[test]
fn drift_is_seen_in_the_journal() {
    let clinic = LabelledClinic::new(0..12);
    let state = clinic.folder("state");
    let drift = |more: &[&str]| {
        let state = ["--state", state.to_str().unwrap(), "--json"];
        let output = medfocus(&[&["drift", "--exam", "lung_tb2"], &state[..], more].concat());
        let text = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        (output.status.code().unwrap(), text, error)
    };
    let without = copy_of_starter();
    forget_reference(without.path());
    let (code, _, error) = drift(&["--bundle", without.path().to_str().unwrap()]);
    assert!(code == 1 && error.contains("no_reference"), "{error}");
    let accept = ["--exam", "lung_tb2", "--accept", "--by", BY];
    clinic.json("calibrate", "labelled", &accept);
    journal(&clinic, 0.98);
    let (code, text, error) = drift(&[]);
    assert_eq!(code, 1, "{error}");
    let moved: Value = serde_json::from_str(&text).unwrap();
    assert_valid_by("drift.schema.json", &moved);
    assert_eq!(moved["verdict"], "moved");
    assert_eq!(
        (&moved["reference_cases"], &moved["findings"]),
        (&json!(16), &json!(80))
    );
    assert_eq!(moved["left_out"], 1);
    for index in ["classes", "guard_distance"] {
        assert!(
            moved["stability_index"][index].as_f64() > Some(0.25),
            "{moved:#}"
        );
    }
}
