//! Every answer is about its own image: what identifies a request, an image and a case
//! (`docs/cases.md`), on the real program, through every source.
#![cfg(target_os = "linux")]

use std::time::Duration;

use crate::common::clinic::{Clinic, hash, image};
use crate::common::hold::Hold;
use crate::common::{classify, phantom};
use serde_json::{Value, json};

const ONE: &str = "00000000000000a1";
const OTHER: &str = "00000000000000b2";

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
    let (film, next) = (
        crate::common::clinic::raw_image(1),
        crate::common::clinic::raw_image(2),
    );
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
