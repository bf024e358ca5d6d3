//! A device that is upgraded answers what its predecessor accepted, once.
#![cfg(target_os = "linux")]

use std::path::Path;

use crate::common::clinic::{Clinic, hash, image};
use serde_json::{Value, json};

/// A journal as programs of before there were bound images wrote it.
fn old_journal(state: &Path, entries: &[Value]) {
    use sha2::{Digest, Sha256};
    let (mut chain, mut text) = ([0; 32], Vec::new());
    for (seq, entry) in (1..).zip(entries) {
        let mut line = json!({ "seq": seq, "time": "2026-11-01T00:00:00Z" });
        line.as_object_mut()
            .unwrap()
            .extend(entry.as_object().unwrap().clone());
        let mut body = line.to_string().into_bytes();
        body.pop();
        chain = Sha256::new()
            .chain_update(chain)
            .chain_update(&body)
            .finalize()
            .into();
        let hex: String = chain.iter().map(|byte| format!("{byte:02x}")).collect();
        text.extend(body);
        text.extend(format!(",\"chain\":\"{hex}\"}}\n").into_bytes());
    }
    std::fs::create_dir_all(state.join("images")).unwrap();
    std::fs::write(state.join("journal.ndjson"), text).unwrap();
}

#[test]
fn what_was_accepted_before_an_upgrade_is_answered_and_known() {
    let clinic = Clinic::open("");
    let state = clinic.at("state");
    let (mut clinic, bytes, other) = (clinic, image(1), image(2));
    clinic.device.kill();
    std::fs::remove_dir_all(&state).unwrap();
    let accepted = |case: u64, source: &Path, request: Option<u64>| {
        let mut order = json!({
            "source": source, "exam": "brain4", "region": null, "priority": "routine",
        });
        if let Some(request) = request {
            order["request"] = request.into();
        }
        json!({ "event": "accepted", "case": case, "order": order })
    };
    let stored = state.join("images").join(hash(&bytes).as_str().unwrap());
    let path = clinic.at("a.png");
    old_journal(
        &state,
        &[accepted(1, &stored, Some(7)), accepted(2, &path, None)],
    );
    std::fs::write(&stored, &bytes).unwrap();
    std::fs::write(&path, &other).unwrap();
    clinic.restart();
    assert_eq!(clinic.answer(1)["image_sha256"], hash(&bytes));
    assert_eq!(clinic.answer(2)["image_sha256"], hash(&other));
    let mut client = clinic.client();
    let seven = json!({ "request": 7, "exam": "brain4" });
    assert_eq!(
        client.submit(&bytes, &seven)["case"],
        1,
        "the same number, the same image"
    );
    let fresh = client.submit(&other, &seven);
    assert_eq!(fresh["case"], 3, "another image is never the old case");
    assert_eq!(clinic.answer(3)["image_sha256"], hash(&other));
    let (verified, code) = {
        let state = state.display().to_string();
        let output = crate::common::medfocus(&["journal", "--state", &state, "verify"]);
        (output.stdout, output.status.code())
    };
    assert_eq!(code, Some(0), "{}", String::from_utf8_lossy(&verified));
}

#[test]
fn instances_that_wait_in_the_inbox_over_an_upgrade_are_answered_once() {
    let clinic = Clinic::open("");
    let (state, mut clinic) = (clinic.at("state"), clinic);
    clinic.device.kill();
    std::fs::remove_dir_all(&state).unwrap();
    let inbox = state.join("dicom");
    std::fs::create_dir_all(&inbox).unwrap();
    let object =
        std::fs::read(crate::common::root().join("tests/vectors/dicom/patient.dcm")).unwrap();
    // By the start of the UID's hash, and asked for by that, as it was done.
    let entries: Vec<Value> = (1..=3_u64)
        .map(|case| {
            let source = inbox.join(format!("{case:016x}{case:016x}.dcm"));
            std::fs::write(&source, &object).unwrap();
            let order = json!({
                "source": source, "exam": "brain4", "region": null, "request": case,
                "priority": "routine",
            });
            json!({ "event": "accepted", "case": case, "order": order })
        })
        .collect();
    old_journal(&state, &entries);
    let port = crate::common::receivers::dead_port();
    let dicom = format!("[dicom]\nport = {port}\nbind = \"127.0.0.1\"\nexam = \"covid3\"\n");
    clinic.restart_with(&dicom, None);
    for case in 1..=3 {
        let record = clinic.answer(case);
        assert_eq!(record["status"], "finding", "{record}");
        assert_eq!(record["image_sha256"], hash(&object));
    }
    let left = || std::fs::read_dir(&inbox).unwrap().count();
    clinic.wait_until("the inbox is empty", || left() == 0);
    assert_eq!(clinic.device.journal("accepted").len(), 3, "each once");
}
