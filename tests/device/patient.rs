//! Age and sex: who may give them, which exams they stop, and where they go. What an image
//! says of them is `patient_said`'s.
#![cfg(unix)]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::common::cable::{Cable as Line, GOOD};
use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::film::{answer_of, chest_film, codes};
use crate::common::{copy_of_starter, medfocus, phantom};
use dicom_core::VR;
use dicom_dictionary_std::tags;
use dicom_object::open_file;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// From 15 years on, in the starter bundle.
const EXAM: &str = "lung_tb2";

#[test]
fn a_caller_may_say_it_and_must_not_say_another() {
    let folder = tempfile::tempdir().unwrap();
    let words = [
        (tags::PATIENT_AGE, VR::AS, "034Y"),
        (tags::PATIENT_SEX, VR::CS, "F"),
    ];
    let film = chest_film(&folder.path().join("film.dcm"), &words);
    let ask = |more: &[&str]| answer_of(&[&[&film[..], "--exam", EXAM], more].concat());
    let both = json!({ "age_years": 34, "sex": "F" });
    assert_eq!(ask(&[])["patient"], both);
    assert_eq!(ask(&["--age", "34", "--sex", "f"])["patient"], both);
    // Today's age, of last year's image: the image's own counts.
    for near in ["33", "35"] {
        let answer = ask(&["--age", near]);
        assert_eq!(codes(&answer), ["age_differs"], "{answer}");
        assert_eq!(answer["patient"], both);
    }
    let refused = ask(&["--age", "36"]);
    assert_eq!(codes(&refused), ["refused age"]);
    let message = refused["message"].as_str().unwrap();
    assert!(
        message.contains("34") && message.contains("36"),
        "both are said: {message}"
    );
    assert!(message.starts_with(&film), "{message}");
    let refused = ask(&["--sex", "M", "--force"]);
    assert_eq!(
        codes(&refused),
        ["refused sex"],
        "no force makes them agree"
    );

    // No caller settles which of two an image means.
    let words = [
        (tags::PATIENT_AGE, VR::AS, "005Y"),
        (tags::PATIENT_BIRTH_DATE, VR::DA, "19800101"),
        (tags::STUDY_DATE, VR::DA, "20260314"),
    ];
    let film = chest_film(&folder.path().join("disputed.dcm"), &words);
    for age in ["34", "46", "5"] {
        let refused = answer_of(&[&film, "--exam", EXAM, "--age", age]);
        assert_eq!(codes(&refused), ["refused age"], "{age}");
        let message = refused["message"].as_str().unwrap();
        assert!(message.contains("5 or 46"), "{message}");
    }

    // Where the image is silent, the caller's word counts.
    let chest = phantom("chest.png").display().to_string();
    let ask = |more: &[&str]| answer_of(&[&[&chest[..], "--exam", EXAM], more].concat());
    assert_eq!(codes(&ask(&[])), ["age_unknown"]);
    assert_eq!(codes(&ask(&["--age", "15"])), [""; 0]);
    let refused = ask(&["--age", "14"]);
    assert_eq!(codes(&refused), ["refused age"]);
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("from 15 years on"), "{message}");
    let forced = ask(&["--age", "14", "--force"]);
    assert_eq!(
        (codes(&forced), &forced["gate"]),
        (vec!["forced".to_owned()], &json!("forced"))
    );
    for wrong in [
        ["--age", "121"],
        ["--age", "-1"],
        ["--age", "1.5"],
        ["--sex", "W"],
    ] {
        let output = medfocus(&[&["classify", &chest, "--exam", EXAM], &wrong[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
    // Another exam is for any age, and a child's image does not become it by itself.
    let other = answer_of(&[&chest, "--exam", "covid3", "--age", "4"]);
    assert_eq!(codes(&other), [""; 0]);
    let words = [(tags::PATIENT_AGE, VR::AS, "004Y")];
    let child = chest_film(&folder.path().join("child.dcm"), &words);
    assert_eq!(codes(&answer_of(&[&child])), ["refused exam_needed"]);
}

/// The starter with these lines in its exam of the lung, in place of its own on age.
fn starter_with(lines: &str) -> tempfile::TempDir {
    let bundle = copy_of_starter();
    let manifest = bundle.path().join("bundle.toml");
    let text = std::fs::read_to_string(&manifest).unwrap();
    let own = "ages = [15, 120]\nage_unsaid = \"note\"\n";
    assert!(text.contains(own), "the starter says whom its exam is for");
    std::fs::write(manifest, text.replace(own, lines)).unwrap();
    bundle
}

#[test]
fn a_bundle_says_whom_an_exam_is_for_and_what_becomes_of_silence() {
    let chest = phantom("chest.png").display().to_string();
    let ask = |lines: &str, more: &[&str]| {
        let bundle = starter_with(lines);
        let folder = bundle.path().display().to_string();
        let fixed = [&chest[..], "--exam", EXAM, "--bundle", &folder];
        codes(&answer_of(&[&fixed[..], more].concat()))
    };
    assert_eq!(ask("", &["--age", "3"]), [""; 0]);
    let strict = "ages = [15, 64]\nage_unsaid = \"refuse\"\n";
    assert_eq!(ask(strict, &[]), ["refused age"]);
    let bundle = starter_with(strict);
    let folder = bundle.path().display().to_string();
    let refused = answer_of(&[&chest, "--exam", EXAM, "--bundle", &folder]);
    assert_eq!(refused["cure"], "say it with --age YEARS");
    assert_eq!(ask(strict, &["--age", "64"]), [""; 0]);
    assert_eq!(ask(strict, &["--age", "65"]), ["refused age"]);
    let women = "sexes = [\"F\"]\n";
    assert_eq!(ask(women, &[]), ["sex_unknown"]);
    assert_eq!(ask(women, &["--sex", "F"]), [""; 0]);
    assert_eq!(ask(women, &["--sex", "O"]), ["refused sex"]);
    assert_eq!(
        ask("sexes = [\"M\"]\nsex_unsaid = \"refuse\"\n", &[]),
        ["refused sex"]
    );
    for (wrong, why) in [
        ("ages = [20, 10]\n", "ages from 20 to 10 are none"),
        (
            "ages = [0, 200]\n",
            "an age is a whole number of years, 0 to 120",
        ),
        ("ages = [15]\n", "ages"),
        ("sexes = [\"W\"]\n", "unknown variant `W`"),
        (
            "age_unsaid = \"refuse\"\n",
            "age_unsaid asks nothing without ages",
        ),
        (
            "sex_unsaid = \"refuse\"\n",
            "sex_unsaid asks nothing without sexes",
        ),
        ("age_unsaid = \"guess\"\n", "unknown variant `guess`"),
    ] {
        let bundle = starter_with(wrong);
        let folder = bundle.path().display().to_string();
        let output = medfocus(&["bundle", "inspect", &folder]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{wrong}: {text}");
        assert!(
            text.contains("bundle_manifest") && text.contains(why),
            "{wrong}: {text}"
        );
    }
}

#[test]
fn outputs_carry_age_and_sex_and_deidentified_ones_say_no_more_than_they_may() {
    let chest = phantom("chest.png").display().to_string();
    let write = |more: &[&str]| {
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().display().to_string();
        let fixed = ["--exam", EXAM, "--write", "sr,sc,hl7,page,pdf", "--to", &to];
        let answer = answer_of(&[&[&chest[..]], &fixed[..], more].concat());
        (folder, answer)
    };
    let find = |folder: &Path, ending: &str| -> PathBuf {
        let files = std::fs::read_dir(folder).unwrap();
        let mut files = files.map(|entry| entry.unwrap().path());
        files
            .find(|p| p.to_str().unwrap().ends_with(ending))
            .unwrap()
    };
    let given = ["--age", "93", "--sex", "F"];
    let (folder, answer) = write(&given);
    assert_eq!(answer["patient"], json!({ "age_years": 93, "sex": "F" }));
    for ending in ["sr.dcm", "sc.dcm"] {
        let object = open_file(find(folder.path(), ending)).unwrap();
        let text = |tag| {
            object
                .element(tag)
                .unwrap()
                .to_str()
                .unwrap()
                .trim_end()
                .to_owned()
        };
        assert_eq!(text(tags::PATIENT_AGE), "093Y", "{ending}");
        assert_eq!(text(tags::PATIENT_SEX), "F", "{ending}");
    }
    let hl7 = std::fs::read_to_string(find(folder.path(), "hl7")).unwrap();
    let segment = |name: &str| hl7.split('\r').find(|s| s.starts_with(name)).unwrap();
    assert_eq!(segment("PID").split('|').nth(8), Some("F"), "{hl7}");
    assert!(
        hl7.contains("|NM|30525-0^Age^LN||93|a^year^UCUM|||||P|||"),
        "{hl7}"
    );
    let page = std::fs::read(find(folder.path(), "page.png")).unwrap();

    let (folder, answer) = write(&[&given[..], &["--deidentify", "--nothing-burned-in"]].concat());
    assert_eq!(answer["patient"], json!({ "age_years": 90, "sex": "F" }));
    for ending in ["sr.dcm", "sc.dcm"] {
        let object = open_file(find(folder.path(), ending)).unwrap();
        assert!(object.element(tags::PATIENT_AGE).is_err(), "{ending}");
        assert_eq!(
            object.element(tags::PATIENT_SEX).unwrap().to_str().unwrap(),
            ""
        );
    }
    let hl7 = std::fs::read_to_string(find(folder.path(), "hl7")).unwrap();
    assert!(!hl7.contains("30525-0") && !hl7.contains("||93|"), "{hl7}");
    // The page says the age, as far as it may: another page than without.
    let (folder, _) = write(&["--sex", "F"]);
    assert_ne!(
        std::fs::read(find(folder.path(), "page.png")).unwrap(),
        page
    );
    let text = medfocus(&[&["classify", &chest, "--exam", EXAM], &given[..]].concat());
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("  patient   age 90 or more, sex F\n"),
        "{text}"
    );
}

/// A device with a console, a socket, a watched folder and results.
struct Place {
    home: tempfile::TempDir,
    device: Device,
    console: Cable,
}

impl Place {
    fn start() -> Self {
        let home = tempfile::tempdir().unwrap();
        let port = home.path().join("port");
        let console = Cable::plug(&port);
        let incoming = home.path().join("in");
        std::fs::create_dir(&incoming).unwrap();
        let config = format!(
            "[[serial]]\nport = \"{}\"\n[[folder]]\npath = \"{}\"\nexam = \"{EXAM}\"\n\
             settle_s = 0\npoll_s = 1\n",
            port.display(),
            incoming.display()
        );
        let device = Device::configured(home.path(), &config);
        device.wait_for_open("port", 1);
        Self {
            home,
            device,
            console,
        }
    }

    fn run(&mut self, image: &str) -> Value {
        let case = self.console.ask(&format!("CASE:RUN \"{image}\""));
        self.console.wait_for_end(&case);
        let record = self.console.ask(&format!("CASE:RES? {case},JSON"));
        serde_json::from_str(&record).unwrap()
    }

    fn assert_ok(&mut self, line: &str) {
        assert_eq!(self.console.ask(line), "OK", "{line}");
    }
}

#[test]
fn a_console_says_it_for_the_next_case() {
    let mut place = Place::start();
    let chest = phantom("chest.png").display().to_string();
    place.assert_ok(&format!("EXAM {EXAM}"));
    place.assert_ok("CASE:AGE 34");
    place.assert_ok("case:sex f");
    let answer = place.run(&chest);
    assert_eq!(answer["patient"], json!({ "age_years": 34, "sex": "F" }));
    assert_eq!(
        codes(&place.run(&chest)),
        ["age_unknown"],
        "the next case has another"
    );
    place.assert_ok("CASE:AGE 14");
    assert_eq!(codes(&place.run(&chest)), ["refused age"]);
    for taken_back in ["CASE:AGE", "*RST"] {
        place.assert_ok("CASE:AGE 14");
        place.assert_ok(taken_back);
        place.assert_ok(&format!("EXAM {EXAM}"));
        assert_eq!(codes(&place.run(&chest)), ["age_unknown"], "{taken_back}");
    }
    for (wrong, number) in [
        ("CASE:AGE 121", "-222"),
        ("CASE:AGE 256", "-222"),
        ("CASE:AGE 018M", "-104"),
        ("CASE:SEX W", "-224"),
    ] {
        let answer = place.console.ask(wrong);
        assert!(
            answer.starts_with(&format!("ERR {number}")),
            "{wrong}: {answer}"
        );
    }
    let help = place.console.ask("HELP?");
    for command in ["CASE:AGE [years]", "CASE:SEX [M|F|O]"] {
        assert!(help.contains(command), "{help}");
    }

    // The order is durable with what was said; a log line never has it.
    let accepted = place.device.journal("accepted");
    assert_eq!(
        accepted[0]["order"]["patient"],
        json!({ "age_years": 34, "sex": "F" })
    );
    assert!(
        accepted[1]["order"].get("patient").is_none(),
        "{accepted:?}"
    );
    let log = place.device.log();
    assert!(!log.contains("patient") && !log.contains("sex"), "{log}");
}

#[test]
fn the_socket_has_keys_for_it_and_submit_options() {
    let place = Place::start();
    let socket = place.home.path().join("state/medfocus.sock");
    let (begin, stream) = (
        Instant::now(),
        loop {
            if let Ok(stream) = UnixStream::connect(&socket) {
                break stream;
            }
            std::thread::sleep(Duration::from_millis(20));
        },
    );
    assert!(begin.elapsed() < PATIENCE);
    let chest = std::fs::read(phantom("chest.png")).unwrap();
    let hash: String = Sha256::digest(&chest)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let mut client = BufReader::new(stream);
    let mut ask = |request: Value, image: &[u8]| -> Value {
        let stream = client.get_mut();
        stream.write_all(format!("{request}\n").as_bytes()).unwrap();
        stream.write_all(image).unwrap();
        let mut line = String::new();
        client.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    };
    let submit = |more: Value| {
        let mut request = json!({
            "do": "submit", "size": chest.len(), "sha256": hash, "exam": EXAM,
        });
        let keys = more.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(keys);
        request
    };
    for (more, expected) in [
        (json!({ "age": 34, "sex": "F" }), vec![]),
        (json!({ "age": 14 }), vec!["refused age"]),
        (json!({}), vec!["age_unknown"]),
    ] {
        let begin = Instant::now();
        let case = loop {
            let answer = ask(submit(more.clone()), &chest);
            if answer["ok"] == true {
                break answer["case"].clone();
            }
            // The same image's last case may just have ended.
            assert!(answer["retry_ms"].is_u64(), "{answer}");
            assert!(begin.elapsed() < PATIENCE, "{answer}");
        };
        let waited = ask(json!({ "do": "wait", "case": case }), &[]);
        let record = &waited["record"];
        assert!(record.is_object(), "{waited}");
        assert_eq!(codes(record), expected, "{more}");
    }
    for wrong in [
        json!({ "age": 121 }),
        json!({ "age": "34" }),
        json!({ "sex": "W" }),
    ] {
        let mut request = submit(wrong.clone());
        request["size"] = json!(0);
        assert_eq!(ask(request, &[])["code"], "request", "{wrong}");
    }
    let path = phantom("chest.png").display().to_string();
    let socket = socket.display().to_string();
    let submit = [
        "submit", &path, "--socket", &socket, "--exam", EXAM, "--wait",
    ];
    let text = |more: &[&str]| {
        let output = medfocus(&[&submit[..], more].concat());
        (
            output.status.code(),
            String::from_utf8(output.stdout).unwrap(),
        )
    };
    let (code, printed) = text(&["--age", "34", "--sex", "M"]);
    assert_eq!(code, Some(0), "{printed}");
    assert!(printed.contains("patient   age 34, sex M"), "{printed}");
    let (code, printed) = text(&["--age", "3"]);
    assert_eq!(code, Some(1), "{printed}");
    assert!(printed.contains("refused   age"), "{printed}");
}

#[test]
fn a_host_on_a_link_says_it() {
    let folder = tempfile::tempdir().unwrap();
    let _cable = Line::lay(folder.path(), GOOD);
    let _device = Device::start(folder.path(), &["right"], 4_000_000);
    let (port, chest) = (folder.path().join("left"), phantom("chest.png"));
    let ask = |more: &[&str]| {
        let [port, chest] = [&port, &chest].map(|path| path.display().to_string());
        let fixed = [
            "link", &port, &chest, "--baud", "4000000", "--format", "ndjson",
        ];
        let output = medfocus(&[&fixed[..], &["--exam", EXAM], more].concat());
        assert_ne!(output.status.code(), Some(3), "{output:?}");
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap();
        // The whole record says what was said.
        let case = answer["case"].to_string();
        let case = case.trim_matches('"');
        let line = format!("CASE:RES? {case},JSON");
        let asked = ["link", &port, "--baud", "4000000", "--console", &line];
        let record = medfocus(&asked).stdout;
        serde_json::from_slice::<Value>(&record).unwrap()
    };
    let answer = ask(&["--age", "34", "--sex", "O"]);
    assert_eq!(answer["patient"], json!({ "age_years": 34, "sex": "O" }));
    assert_eq!(codes(&ask(&["--age", "14"])), ["refused age"]);
    assert_eq!(codes(&ask(&[])), ["age_unknown"]);
}

#[test]
fn a_watched_folder_takes_what_dicom_says() {
    let place = Place::start();
    let words = [(tags::PATIENT_AGE, VR::AS, "009Y")];
    let part = place.home.path().join("part");
    chest_film(&part, &words);
    std::fs::rename(part, place.home.path().join("in/child.dcm")).unwrap();
    let begin = Instant::now();
    let answered = loop {
        if let Some(answered) = place.device.journal("answered").pop() {
            break answered;
        }
        assert!(begin.elapsed() < PATIENCE, "{}", place.device.log());
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(answered["record"]["code"], "age", "{answered}");
}
