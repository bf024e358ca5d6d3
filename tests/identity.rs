//! Every answer is about its own image: what identifies a request, an image and a case
//! (`docs/cases.md`), on the real program, through every source.
#![cfg(target_os = "linux")]

mod common;

use std::path::Path;
use std::time::Duration;

use common::clinic::{Clinic, hash, image};
use common::hold::Hold;
use common::{classify, copy_of_starter, phantom};
use serde_json::{Value, json};

const ONE: &str = "00000000000000a1";
const OTHER: &str = "00000000000000b2";

fn case_of(answer: &Value) -> u64 {
    answer["case"]
        .as_u64()
        .unwrap_or_else(|| panic!("{answer}"))
}

/// Asks for the same things again and again; all must be as at first.
fn numbers_belong_to_their_askers(clinic: &Clinic, images: &[Vec<u8>; 2]) {
    let mut client = clinic.client();
    let brain = |client: &str| json!({ "client": client, "request": 1, "exam": "brain4" });
    assert_eq!(client.submit(&images[0], &brain(ONE))["case"], 1);
    let hurries = json!({ "client": ONE, "request": 1, "exam": "brain4", "priority": "stat" });
    let answer = client.submit(&images[0], &hurries);
    assert_eq!(answer["case"], 1, "how much it hurries changes no answer");
    let (exam, region) = (json!("breast3"), json!([10, 10, 200, 200]));
    for (image, more) in [
        (&images[1], brain(ONE)),
        (
            &images[0],
            json!({ "client": ONE, "request": 1, "exam": exam }),
        ),
        (&images[0], json!({ "client": ONE, "request": 1 })),
        (
            &images[0],
            json!({ "client": ONE, "request": 1, "exam": "brain4", "region": region }),
        ),
    ] {
        let refused = client.submit(image, &more);
        assert_eq!(refused["code"], "request_reused", "{more}: {refused}");
        assert_eq!(refused["highest"], 1);
    }
    // Another client has the same number, and so has one that tells no identity.
    assert_eq!(client.submit(&images[1], &brain(OTHER))["case"], 2);
    let old = json!({ "request": 1, "exam": "brain4" });
    assert_eq!(client.submit(&images[1], &old)["case"], 3);
    assert_eq!(client.submit(&images[0], &old)["code"], "request_reused");
    // A host on the link has it, too; one that tells no identity is known by its line.
    let mut host = clinic.host(Some(7));
    assert_eq!(host.run(1, &images[1], "brain4"), Ok(4));
    let (number, text) = host.run(1, &images[0], "brain4").unwrap_err();
    assert_eq!(number, 34);
    assert!(text.ends_with("the highest in use is 1"), "{text}");
    assert_eq!(host.run(1, &images[1], "breast3").unwrap_err().0, 34);
    host.close();
    let mut host = clinic.host(None);
    assert_eq!(host.run(1, &images[0], "brain4"), Ok(5));
    assert_eq!(host.run(1, &images[1], "brain4").unwrap_err().0, 34);
    host.close();
}

#[test]
fn a_request_number_is_of_one_asker_and_of_one_question_for_ever() {
    let mut clinic = Clinic::open("");
    let images = [image(1), image(2)];
    numbers_belong_to_their_askers(&clinic, &images);
    clinic.restart();
    numbers_belong_to_their_askers(&clinic, &images);
    for (case, of) in [(1, 0), (2, 1), (3, 1), (4, 1), (5, 0)] {
        assert_eq!(
            clinic.answer(case)["image_sha256"],
            hash(&images[of]),
            "case {case}"
        );
    }
    assert_eq!(clinic.device.journal("accepted").len(), 5);
    let mut host = clinic.host(Some(7));
    assert_eq!(host.run(2, &images[0], "brain4"), Ok(6));
    let about = host.image_of_answer(6).map(|sha256| sha256.to_string());
    assert_eq!(about.map(Value::from), Some(hash(&images[0])));
}

#[test]
fn bytes_that_are_not_those_of_their_hash_get_no_answer() {
    let clinic = Clinic::open("");
    let (mine, other) = (image(1), image(2));
    let mut client = clinic.client();
    let asked = json!({ "client": ONE, "request": 1, "exam": "brain4" });
    assert_eq!(client.submit(&mine, &asked)["case"], 1);
    let claim = json!({
        "client": ONE, "request": 1, "exam": "brain4",
        "sha256": hash(&mine),
    });
    let refused = client.submit(&other, &claim);
    assert_eq!(refused["code"], "image_damaged", "{refused}");
}

#[test]
fn a_file_is_answered_as_it_was_when_its_case_was_accepted() {
    let mut clinic = Clinic::open("");
    let path = clinic.at("frame.png");
    let ask = format!("CASE:RUN \"{}\"", path.display());
    assert_eq!(clinic.console.ask("EXAM brain4"), "OK");
    let images: Vec<Vec<u8>> = (0..4).map(image).collect();
    let hold = Hold::worker(&clinic.device);
    // A frame grabber writes over one name while cases wait.
    for (number, image) in (1..).zip(&images) {
        std::fs::write(&path, image).unwrap();
        assert_eq!(clinic.console.ask(&ask), number.to_string());
    }
    std::fs::remove_file(&path).unwrap();
    hold.let_go();
    for (case, image) in (1..).zip(&images) {
        let record = clinic.answer(case);
        assert_eq!(record["status"], "finding", "{record}");
        assert_eq!(record["image_sha256"], hash(image));
        assert_eq!(record["source"], path.display().to_string());
        let line = clinic.console.ask(&format!("CASE:RES? {case}"));
        let word = format!(" image={} ", hash(image).as_str().unwrap());
        assert!(line.contains(&word), "{line}");
    }
    // The journal has the image's hash from acceptance on.
    let accepted = clinic.device.journal("accepted");
    for (entry, image) in accepted.iter().zip(&images) {
        assert_eq!(entry["order"]["image"]["stored"], hash(image));
    }
    assert!(clinic.device.journal("answered").iter().all(|entry| {
        let case = entry["case"].as_u64().unwrap() as usize;
        entry["image"] == hash(&images[case - 1])
    }));
    // What is not there when it is accepted is refused, whatever comes under its name.
    let hold = Hold::worker(&clinic.device);
    assert_eq!(clinic.console.ask(&ask), "5");
    std::fs::write(&path, &images[0]).unwrap();
    hold.let_go();
    let record = clinic.answer(5);
    assert_eq!(
        (&record["code"], &record["image_sha256"]),
        (&json!("not_found"), &Value::Null)
    );
}

#[test]
fn a_file_that_is_too_large_to_keep_and_shrinks_is_another_image() {
    let mut clinic = Clinic::open("");
    let path = clinic.at("large.png");
    let large = std::fs::File::create(&path).unwrap();
    large.set_len(97 << 20).unwrap();
    let ask = format!("CASE:RUN \"{}\"", path.display());
    assert_eq!(clinic.console.ask("EXAM brain4"), "OK");
    let hold = Hold::worker(&clinic.device);
    assert_eq!(clinic.console.ask(&ask), "1");
    assert_eq!(clinic.console.ask(&ask), "2");
    hold.let_go();
    assert_eq!(clinic.answer(2)["code"], "too_large");
    let hold = Hold::on_a_case(&clinic.device, &mut clinic.console);
    assert_eq!(clinic.console.ask(&ask), "4");
    std::fs::write(&path, image(1)).unwrap();
    hold.let_go();
    let record = clinic.answer(4);
    assert_eq!(record["code"], "image_changed", "{record}");
}

#[test]
fn a_stored_image_that_changes_on_the_disk_gets_no_answer() {
    let mut clinic = Clinic::open("");
    let (path, mine) = (clinic.at("a.png"), image(1));
    std::fs::write(&path, &mine).unwrap();
    assert_eq!(clinic.console.ask("EXAM brain4"), "OK");
    let hold = Hold::on_a_case(&clinic.device, &mut clinic.console);
    let ask = format!("CASE:RUN \"{}\"", path.display());
    assert_eq!(clinic.console.ask(&ask), "2");
    let stored = clinic
        .at("state/images")
        .join(hash(&mine).as_str().unwrap());
    std::fs::write(stored, image(2)).unwrap();
    hold.let_go();
    let record = clinic.answer(2);
    assert_eq!(record["code"], "image_changed", "{record}");
    assert_eq!(record["image_sha256"], hash(&mine));
}

/// Has the device refuse a file of its folder by its deadline.
fn refused_by_deadline(clinic: &Clinic, name: &str, bytes: &[u8]) {
    let hold = Hold::worker(&clinic.device);
    clinic.drop_in(name, bytes);
    let rejected = clinic.at("in/rejected").join(format!("1-{name}"));
    clinic.wait_until("rejected", || rejected.is_file());
    drop(hold);
    assert_eq!(clinic.answer(1)["code"], "deadline");
}

#[test]
fn what_lay_in_the_device_is_run_again_when_the_image_comes_again() {
    let mut clinic = Clinic::open("[device]\ndeadline_s = 2\n");
    let bytes = image(1);
    refused_by_deadline(&clinic, "a.png", &bytes);
    clinic.drop_in("a.png", &bytes);
    clinic.wait_until("answered", || clinic.at("in/taken/2-a.png").is_file());
    let record = clinic.answer(2);
    assert_eq!(
        (&record["status"], &record["rerun_of"]),
        (&json!("finding"), &json!("1"))
    );
    assert_eq!(record["image_sha256"], hash(&bytes));
    // From now on there is an answer, and it is the same for ever; it is written again.
    let result = std::fs::read_dir(clinic.at("results")).unwrap();
    let result = result
        .flatten()
        .find(|file| file.path().display().to_string().ends_with("-2.json"));
    let result = result.expect("a result").path();
    std::fs::remove_file(&result).unwrap();
    clinic.drop_in("b.png", &bytes);
    clinic.wait_until("put away", || clinic.at("in/taken/2-b.png").is_file());
    clinic.wait_until("written again", || result.is_file());
    assert_eq!(clinic.device.journal("accepted").len(), 2);
    clinic.restart();
    clinic.drop_in("c.png", &bytes);
    clinic.wait_until("put away", || clinic.at("in/taken/2-c.png").is_file());
    assert_eq!(clinic.device.journal("accepted").len(), 2);
}

#[test]
fn a_refused_file_that_is_put_back_while_the_device_is_off_is_run_again() {
    let mut clinic = Clinic::open("[device]\ndeadline_s = 2\n");
    refused_by_deadline(&clinic, "a.png", &image(1));
    clinic.device.kill();
    std::fs::rename(clinic.at("in/rejected/1-a.png"), clinic.at("in/a.png")).unwrap();
    clinic.restart();
    clinic.wait_until("answered", || clinic.at("in/taken/2-a.png").is_file());
    assert_eq!(clinic.answer(2)["rerun_of"], "1");
}

#[test]
fn a_file_that_was_left_when_the_power_failed_is_not_run_again() {
    let mut clinic = Clinic::open("[device]\ndeadline_s = 2\n");
    let hold = Hold::worker(&clinic.device);
    // It cannot be put away while a file stands where its folder should.
    std::fs::write(clinic.at("in/rejected"), b"").unwrap();
    clinic.drop_in("a.png", &image(1));
    assert_eq!(clinic.answer(1)["code"], "deadline");
    drop(hold);
    clinic.device.kill();
    std::fs::remove_file(clinic.at("in/rejected")).unwrap();
    clinic.restart();
    clinic.wait_until("put away", || clinic.at("in/rejected/1-a.png").is_file());
    assert_eq!(clinic.device.journal("accepted").len(), 1);
}

#[test]
fn a_case_is_run_again_on_request_and_names_the_old_one() {
    let mut clinic = Clinic::open("[device]\ndeadline_s = 2\n");
    let (path, bytes) = (clinic.at("a.png"), image(1));
    std::fs::write(&path, &bytes).unwrap();
    assert_eq!(clinic.console.ask("EXAM brain4"), "OK");
    let hold = Hold::worker(&clinic.device);
    assert_eq!(
        clinic
            .console
            .ask(&format!("CASE:RUN \"{}\"", path.display())),
        "1"
    );
    assert!(
        clinic.console.ask("CASE:RER 1").starts_with("ERR 11,"),
        "it runs"
    );
    assert_eq!(clinic.answer(1)["code"], "deadline");
    drop(hold);
    std::fs::remove_file(&path).unwrap();
    assert_eq!(clinic.console.ask("CASE:RERUN 1"), "2");
    let record = clinic.answer(2);
    assert_eq!(
        (&record["status"], &record["image_sha256"]),
        (&json!("finding"), &hash(&bytes))
    );
    let line = clinic.console.ask("CASE:RES? 2");
    assert!(line.contains(" rerun_of=1 "), "{line}");
    assert!(clinic.console.ask("CASE:RER 99").starts_with("ERR 10,"));
    // An image that is kept no longer has to be given again.
    let gone = |clinic: &mut Clinic| clinic.console.ask("CASE:RER 2").starts_with("ERR 32,");
    assert!(
        gone(&mut clinic),
        "answers' images are not kept unless asked for"
    );
    let socket = clinic.at("state/medfocus.sock").display().to_string();
    let output = common::medfocus(&["submit", "--rerun", "2", "--socket", &socket]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&output.stderr).contains("(image_gone)"));
    // The command line does the same.
    clinic.restart_with("[keep]\nimages_days = 1\n", None);
    let more = json!({ "exam": "brain4" });
    assert_eq!(clinic.client().submit(&bytes, &more)["case"], 3);
    clinic.answer(3);
    let output = common::medfocus(&[
        "submit", "--rerun", "3", "--wait", "--format", "ndjson", "--socket", &socket,
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let record: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&record["case"], &record["rerun_of"]),
        (&json!("4"), &json!("3"))
    );
    common::assert_valid(&record);
}

#[test]
fn a_new_bundle_starts_nothing_anew_and_the_old_finding_says_that_there_is_one() {
    let newer = copy_of_starter();
    let manifest = newer.path().join("bundle.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    std::fs::write(
        &manifest,
        text.replacen("version = \"0.1.0\"", "version = \"0.2.0\"", 1),
    )
    .unwrap();
    let mut clinic = Clinic::open("[keep]\nimages_days = 1\n");
    let bytes = image(1);
    clinic.drop_in("a.png", &bytes);
    clinic.wait_until("answered", || clinic.at("in/taken/1-a.png").is_file());
    assert!(clinic.answer(1).get("bundle_in_use").is_none());
    clinic.restart_with("[keep]\nimages_days = 1\n", Some(newer.path()));
    clinic.drop_in("a.png", &bytes);
    clinic.wait_until("put away", || clinic.at("in/taken/1-a.png").is_file());
    assert_eq!(clinic.device.journal("accepted").len(), 1);
    let record = clinic.answer(1);
    common::assert_valid(&record);
    assert_eq!(record["bundle"]["version"], "0.1.0");
    assert_eq!(record["bundle_in_use"]["version"], "0.2.0");
    let line = clinic.console.ask("CASE:RES? 1");
    assert!(line.contains(" bundle_in_use=starter/0.2.0 "), "{line}");
    assert_eq!(clinic.console.ask("CASE:RER 1"), "2");
    let record = clinic.answer(2);
    assert_eq!(
        (&record["bundle"]["version"], &record["rerun_of"]),
        (&json!("0.2.0"), &json!("1"))
    );
}

#[test]
fn an_output_is_another_instance_where_it_says_anything_else() {
    let folder = tempfile::tempdir().unwrap();
    let brain = phantom("brain.png").display().to_string();
    let made = |more: &[&str]| -> Vec<String> {
        let to = folder.path().display().to_string();
        let asked = [
            &[
                &*brain,
                "--exam",
                "brain4",
                "--write",
                "sr,sc,hl7",
                "--to",
                &to,
            ],
            more,
        ];
        let (answers, code) = classify(&asked.concat());
        assert_eq!(code, 0, "{answers:?}");
        let case = answers[0]["case"].as_str().unwrap();
        let uid = |ending: &str| {
            let object = dicom_object::open_file(folder.path().join(format!("{case}.{ending}")));
            object
                .unwrap()
                .meta()
                .media_storage_sop_instance_uid()
                .to_owned()
        };
        let hl7 = std::fs::read_to_string(folder.path().join(format!("{case}.hl7"))).unwrap();
        vec![
            uid("sr.dcm"),
            uid("sc.dcm"),
            hl7.split('|').nth(9).unwrap().to_owned(),
        ]
    };
    let bare = made(&[]);
    assert_eq!(made(&[]), bare, "the same content is the same instance");
    for more in [
        &["--prompt", "box:60,30,300,300"][..],
        &["--focus", "overlay"],
        &["--focus", "none"],
        &["--deidentify", "--nothing-burned-in"],
    ] {
        for (one, other) in made(more).iter().zip(&bare) {
            assert_ne!(one, other, "{more:?}");
        }
    }
}

#[test]
fn a_file_that_is_written_over_with_its_old_time_is_another_image() {
    let clinic = Clinic::open("");
    let (film, next) = (common::clinic::raw_image(1), common::clinic::raw_image(2));
    assert_eq!(
        film.len(),
        next.len(),
        "nothing but the bytes tells them apart"
    );
    let hold = Hold::worker(&clinic.device);
    clinic.drop_in("frame.bmp", &film);
    clinic.wait_for_accepted(1);
    // As `cp -p` does it, and file systems with a coarse clock.
    let path = clinic.at("in/frame.bmp");
    let written = std::fs::metadata(&path).unwrap().modified().unwrap();
    std::fs::write(&path, &next).unwrap();
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(written).unwrap();
    drop(file);
    hold.let_go();
    clinic.wait_until("the second", || clinic.at("in/taken/2-frame.bmp").is_file());
    assert_eq!(clinic.answer(1)["image_sha256"], hash(&film));
    assert_eq!(clinic.answer(2)["image_sha256"], hash(&next));
    assert_eq!(
        std::fs::read(clinic.at("in/taken/2-frame.bmp")).unwrap(),
        next
    );
    assert!(
        !clinic.at("in/taken/1-frame.bmp").exists(),
        "it was written over"
    );
}

#[test]
fn a_case_that_had_no_image_is_not_run_again_on_whatever_lies_there_now() {
    let mut clinic = Clinic::open("");
    let path = clinic.at("a.png");
    assert_eq!(clinic.console.ask("EXAM brain4"), "OK");
    let ask = format!("CASE:RUN \"{}\"", path.display());
    assert_eq!(clinic.console.ask(&ask), "1");
    assert_eq!(clinic.answer(1)["code"], "not_found");
    std::fs::write(&path, image(1)).unwrap();
    assert!(clinic.console.ask("CASE:RER 1").starts_with("ERR 32,"));
}

#[test]
fn right_bytes_take_the_place_of_damaged_ones() {
    let mut clinic = Clinic::open("[keep]\nimages_days = 1\n");
    let (bytes, exam) = (image(1), json!({ "exam": "brain4" }));
    assert_eq!(clinic.client().submit(&bytes, &exam)["case"], 1);
    clinic.answer(1);
    let kept = clinic.at("state/kept").join(hash(&bytes).as_str().unwrap());
    clinic.wait_until("kept", || kept.is_file());
    std::fs::write(&kept, b"damaged").unwrap();
    assert!(
        clinic.console.ask("CASE:RER 1").starts_with("ERR 32,"),
        "it is no image"
    );
    assert_eq!(clinic.client().submit(&bytes, &exam)["case"], 2);
    clinic.answer(2);
    clinic.wait_until("mended", || {
        std::fs::read(&kept).is_ok_and(|kept| kept == bytes)
    });
    // In the store, too: what is sent again is not taken for what lies there.
    let hold = Hold::on_a_case(&clinic.device, &mut clinic.console);
    assert_eq!(clinic.client().submit(&bytes, &exam)["case"], 4);
    let stored = clinic
        .at("state/images")
        .join(hash(&bytes).as_str().unwrap());
    std::fs::write(&stored, b"damaged").unwrap();
    assert_eq!(clinic.client().submit(&bytes, &exam)["case"], 5);
    hold.let_go();
    assert_eq!(
        clinic.answer(4)["status"],
        "finding",
        "mended by what was sent for case 5"
    );
    assert_eq!(clinic.answer(5)["status"], "finding");
}

#[test]
fn uploads_that_were_cut_do_not_fill_the_store() {
    use std::io::Write;
    use std::os::unix::net::UnixStream;
    let clinic = Clinic::open("[keep]\nfree_mib = 1\n");
    let images = clinic.at("state/images");
    // Sparse: what was begun and never went on, as much as the store holds.
    for number in 0..6 {
        let name = format!("{number:064x}.part");
        let part = std::fs::File::create(images.join(name)).unwrap();
        part.set_len(90 << 20).unwrap();
    }
    let bytes = image(1);
    // One of them is torn, and is of the very image that comes.
    let torn = images.join(format!("{}.part", hash(&bytes).as_str().unwrap()));
    std::fs::write(torn, [0; 4096]).unwrap();
    let mut cut = UnixStream::connect(clinic.at("state/medfocus.sock")).unwrap();
    let asked = json!({ "do": "submit", "size": 5000, "sha256": hash(b"cut") });
    cut.write_all(format!("{asked}\nhalf").as_bytes()).unwrap();
    drop(cut);
    let answer = clinic.client().submit(&bytes, &json!({ "exam": "brain4" }));
    assert_eq!(answer["case"], 1, "{answer}");
    assert_eq!(clinic.answer(1)["image_sha256"], hash(&bytes));
}

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
    assert_eq!(case_of(&fresh), 3, "another image is never the old case");
    assert_eq!(clinic.answer(3)["image_sha256"], hash(&other));
    let (verified, code) = {
        let state = state.display().to_string();
        let output = common::medfocus(&["journal", "--state", &state, "verify"]);
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
    let object = std::fs::read(common::root().join("tests/vectors/dicom/patient.dcm")).unwrap();
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
    let port = common::receivers::dead_port();
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

#[test]
fn a_file_that_is_still_written_is_not_accepted() {
    use std::io::Write;
    let mut clinic = Clinic::open("");
    let path = clinic.at("grows.png");
    std::fs::write(&path, vec![0; 8 << 20]).unwrap();
    let ended = std::sync::atomic::AtomicBool::new(false);
    let answer = std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = std::fs::File::options().append(true).open(&path).unwrap();
            while !ended.load(std::sync::atomic::Ordering::Relaxed) {
                file.write_all(b"more").unwrap();
                std::thread::sleep(Duration::from_micros(50));
            }
        });
        let answer = clinic
            .console
            .ask(&format!("CASE:RUN \"{}\"", path.display()));
        ended.store(true, std::sync::atomic::Ordering::Relaxed);
        answer
    });
    assert!(answer.starts_with("ERR 35,"), "{answer}");
    assert_eq!(clinic.device.journal("accepted").len(), 0);
}
