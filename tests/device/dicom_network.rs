//! `medfocus serve --dicom-port` against a sender of our own; `scripts/dicom/peers` does
//! the same and more with dcmtk and Orthanc.
#![cfg(unix)]

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::peer::command;
use crate::common::receivers::{archive, dead_port};
use crate::common::{root, starter};
use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{DefaultDicomObject, InMemDicomObject, open_file};
use dicom_transfer_syntax_registry::entries::{
    IMPLICIT_VR_LITTLE_ENDIAN, JPEG_LS_LOSSLESS_IMAGE_COMPRESSION,
};
use dicom_ul::pdu::{PDataValue, PDataValueType, Pdu};
use dicom_ul::{ClientAssociation, ClientAssociationOptions};
use serde_json::Value;

/// Far beyond what any step takes: a test fails by this only where the device hangs.
const PATIENCE: Duration = Duration::from_secs(120);

pub struct Device {
    process: Child,
    state: PathBuf,
    pub port: u16,
}

impl Device {
    pub fn start(folder: &Path, options: &[&str]) -> Self {
        Self::start_on(folder, &starter(), options)
    }

    /// The same with another bundle than the starter.
    pub fn start_on(folder: &Path, bundle: &Path, options: &[&str]) -> Self {
        let port = dead_port();
        let state = folder.join("state");
        let process = Command::new(env!("CARGO_BIN_EXE_medfocus"))
            .current_dir(root())
            .args([
                "serve",
                "--dicom-port",
                &port.to_string(),
                "--dicom-bind",
                "127.0.0.1",
            ])
            .args(["--dicom-allow", "UNIT@127.0.0.1", "--state"])
            .arg(&state)
            .arg("--bundle")
            .arg(bundle)
            .args(options)
            .stderr(std::fs::File::create(folder.join("log")).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        let device = Self {
            process,
            state,
            port,
        };
        let begin = Instant::now();
        while !device.answers("UNIT") {
            assert!(begin.elapsed() < PATIENCE, "no answer to C-ECHO");
            std::thread::sleep(Duration::from_millis(50));
        }
        device
    }

    fn associate(&self, title: &str) -> Option<ClientAssociation<std::net::TcpStream>> {
        ClientAssociationOptions::new()
            .calling_ae_title(title.to_owned())
            .called_ae_title("MEDFOCUS")
            .with_presentation_context(uids::VERIFICATION, vec![uids::IMPLICIT_VR_LITTLE_ENDIAN])
            .with_presentation_context(
                uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
                vec![uids::JPEGLS_LOSSLESS],
            )
            .establish(("127.0.0.1", self.port))
            .ok()
    }

    /// C-ECHO.
    fn answers(&self, title: &str) -> bool {
        let Some(mut association) = self.associate(title) else {
            return false;
        };
        let echo = command(uids::VERIFICATION, 0x0030, 0x0101, None);
        association
            .send(&piece(1, PDataValueType::Command, echo))
            .unwrap();
        let status = reply(&mut association);
        association.release().unwrap();
        status == 0
    }

    /// C-STORE; the status.
    fn store(&self, object: &DefaultDicomObject) -> u16 {
        let mut association = self.associate("UNIT").unwrap();
        let class = uids::SECONDARY_CAPTURE_IMAGE_STORAGE;
        let instance = object.meta().media_storage_sop_instance_uid();
        let ask = command(class, 0x0001, 0x0001, Some(instance.trim_end_matches('\0')));
        association
            .send(&piece(3, PDataValueType::Command, ask))
            .unwrap();
        let mut data = Vec::new();
        let syntax = JPEG_LS_LOSSLESS_IMAGE_COMPRESSION.erased();
        object.write_dataset_with_ts(&mut data, &syntax).unwrap();
        let mut writer = association.send_pdata(3);
        writer.write_all(&data).unwrap();
        writer.finish().unwrap();
        let status = reply(&mut association);
        association.release().unwrap();
        status
    }

    /// The journal's entries of this event.
    pub fn journal(&self, event: &str) -> Vec<Value> {
        let text = std::fs::read_to_string(self.state.join("journal.ndjson")).unwrap_or_default();
        let entries = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        entries
            .filter(|entry: &Value| entry["event"] == event)
            .collect()
    }

    pub fn wait_for_answers(&self, count: usize) -> Vec<Value> {
        let begin = Instant::now();
        loop {
            let answered = self.journal("answered");
            let inbox = std::fs::read_dir(self.state.join("dicom")).unwrap().count();
            if answered.len() >= count && inbox == 0 {
                return answered;
            }
            assert!(
                begin.elapsed() < PATIENCE,
                "{} of {count}, {inbox} wait",
                answered.len()
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until the health file has this word.
    pub fn wait_for_health(&self, word: &str) {
        let health = || std::fs::read_to_string(self.state.join("health.json")).unwrap_or_default();
        let begin = Instant::now();
        while !health().contains(word) {
            assert!(begin.elapsed() < PATIENCE, "{}", health());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Asks it to end.
    pub fn stop(&self) {
        let own = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(own, rustix::process::Signal::TERM).unwrap();
    }

    /// As if the power failed.
    fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn piece(context: u8, kind: PDataValueType, data: Vec<u8>) -> Pdu {
    Pdu::PData {
        data: vec![PDataValue {
            presentation_context_id: context,
            value_type: kind,
            is_last: true,
            data,
        }],
    }
}

fn reply(association: &mut ClientAssociation<std::net::TcpStream>) -> u16 {
    let Pdu::PData { data } = association.receive().unwrap() else {
        panic!("no reply");
    };
    let syntax = IMPLICIT_VR_LITTLE_ENDIAN.erased();
    let set = InMemDicomObject::read_dataset_with_ts(&data[0].data[..], &syntax).unwrap();
    assert_eq!(
        set.element(tags::MESSAGE_ID_BEING_RESPONDED_TO)
            .unwrap()
            .to_int::<u16>()
            .unwrap(),
        7
    );
    set.element(tags::STATUS).unwrap().to_int().unwrap()
}

/// The patient's picture under another instance's name.
fn instance(number: usize) -> DefaultDicomObject {
    let mut object = open_file(root().join("tests/vectors/dicom/patient.dcm")).unwrap();
    let uid = format!("2.25.4711{number}");
    object.put(DataElement::new(
        tags::SOP_INSTANCE_UID,
        VR::UI,
        PrimitiveValue::from(uid.as_str()),
    ));
    object.update_meta(|meta| meta.media_storage_sop_instance_uid = uid);
    object
}

#[test]
fn what_was_acknowledged_is_answered_once_whatever_happens() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::start(folder.path(), &[]);
    assert!(!device.answers("STRANGER"), "a stranger was let in");
    for number in 0..6 {
        assert_eq!(device.store(&instance(number)), 0);
    }
    device.kill();
    let device = Device::start(folder.path(), &[]);
    // A unit that did not hear sends again.
    for number in 4..8 {
        assert_eq!(device.store(&instance(number)), 0);
    }
    let answered = device.wait_for_answers(8);
    assert_eq!(answered.len(), 8, "each once");
    assert!(
        answered
            .iter()
            .all(|entry| entry["record"]["status"] == "finding")
    );
    assert!(
        answered
            .iter()
            .all(|entry| entry["record"]["exam"] == "brain4")
    );
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    for word in ["Müller", "0815", "2.25.4711"] {
        assert!(!log.contains(word), "{word} in the log");
    }
}

#[test]
fn an_image_is_kept_until_the_archive_has_its_answer() {
    let folder = tempfile::tempdir().unwrap();
    let port = dead_port();
    let pacs = format!("ARCHIVE@127.0.0.1:{port}");
    let mut device = Device::start(folder.path(), &["--pacs", &pacs]);
    let kept = device.state.join("kept");
    let count = || std::fs::read_dir(&kept).unwrap().count();
    assert_eq!(device.store(&instance(0)), 0);
    device.wait_for_answers(1);
    // The answer is written before the image goes there.
    let begin = Instant::now();
    while count() == 0 {
        assert!(begin.elapsed() < PATIENCE, "it is not kept");
        std::thread::sleep(Duration::from_millis(5));
    }
    device.kill();
    assert_eq!(count(), 1);
    let device = Device::start(folder.path(), &["--pacs", &pacs]);
    // Sent again, it is the same case, and not in the way: once it left the inbox, the archive is
    // owed its answer no more than before.
    assert_eq!(device.store(&instance(0)), 0);
    assert_eq!(device.wait_for_answers(1).len(), 1, "answered once");
    let stored = archive(port);
    let begin = Instant::now();
    while device.journal("purged").is_empty() || count() > 0 {
        assert!(begin.elapsed() < PATIENCE, "it stays");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(device.wait_for_answers(1).len(), 1, "answered once");
    assert_eq!(stored.try_iter().count(), 3, "report, region and picture");
}

#[test]
fn an_image_that_does_not_say_its_exam_is_asked_about_or_asked_the_devices_own() {
    let mut silent = instance(0);
    silent.remove_element(tags::BODY_PART_EXAMINED);
    for (options, status, exam) in [
        (&[][..], "refusal", Value::Null),
        (&["--dicom-exam", "brain4"], "finding", "brain4".into()),
        // What the image does say must fit.
        (&["--dicom-exam", "breast3"], "refusal", "breast3".into()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        let device = Device::start(folder.path(), options);
        assert_eq!(device.store(&silent), 0);
        let answered = device.wait_for_answers(1);
        let record = &answered[0]["record"];
        assert_eq!(
            (&record["status"], &record["exam"]),
            (&status.into(), &exam)
        );
    }
}

#[test]
fn an_image_hurries_as_much_as_its_request_says() {
    let priority = |word: &str| {
        let value = PrimitiveValue::from(word);
        DataElement::new(tags::REQUESTED_PROCEDURE_PRIORITY, VR::SH, value)
    };
    let mut of_request = instance(1);
    let request = InMemDicomObject::from_element_iter([priority("HIGH")]);
    of_request.put(DataElement::new(
        tags::REQUEST_ATTRIBUTES_SEQUENCE,
        VR::SQ,
        DataSetSequence::from(vec![request]),
    ));
    let mut own = instance(2);
    own.put(priority("STAT"));
    let folder = tempfile::tempdir().unwrap();
    let device = Device::start(folder.path(), &["--dicom-hurry", "UNIT@127.0.0.1"]);
    for (case, (object, word)) in [
        (instance(0), "routine"),
        (of_request, "urgent"),
        (own, "stat"),
    ]
    .iter()
    .enumerate()
    {
        assert_eq!(device.store(object), 0);
        device.wait_for_answers(case + 1);
        let accepted = device.journal("accepted");
        assert_eq!(accepted[case]["order"]["priority"], *word);
    }
}

/// The same instance by its UID, of another patient.
fn of_another_patient(number: usize) -> DefaultDicomObject {
    let mut object = instance(number);
    let name = PrimitiveValue::from("Adams^Grace");
    object.put(DataElement::new(tags::PATIENT_NAME, VR::PN, name));
    object
}

#[test]
fn other_content_under_a_known_uid_is_a_case_of_its_own_that_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::start(folder.path(), &[]);
    // At once, so that both are in the inbox together.
    assert_eq!(device.store(&instance(0)), 0);
    assert_eq!(device.store(&of_another_patient(0)), 0);
    device.wait_for_answers(2);
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    assert!(
        log.contains("under the SOP Instance UID of case 1"),
        "{log}"
    );
    for word in ["Adams", "Müller", "2.25.4711"] {
        assert!(!log.contains(word), "{word} in the log");
    }
    device.kill();
    let device = Device::start(folder.path(), &[]);
    // Sent again, each is its own case still.
    assert_eq!(device.store(&of_another_patient(0)), 0);
    assert_eq!(device.store(&instance(0)), 0);
    let answered = device.wait_for_answers(2);
    assert_eq!(answered.len(), 2, "each once");
    let images: Vec<&Value> = answered.iter().map(|entry| &entry["image"]).collect();
    assert_ne!(images[0], images[1]);
    let says_so = |entry: &Value| {
        let reasons = entry["record"]["reasons"].as_array().unwrap();
        let mut reasons = reasons.iter().filter_map(Value::as_str);
        reasons.any(|reason| reason.starts_with("uid_reused: case 1 has other content"))
    };
    assert!(
        !says_so(&answered[0]) && says_so(&answered[1]),
        "{answered:#?}"
    );
}

#[test]
fn the_same_object_for_another_exam_is_no_other_content() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::start(folder.path(), &["--dicom-exam", "brain4"]);
    assert_eq!(device.store(&instance(0)), 0);
    device.wait_for_answers(1);
    device.kill();
    let device = Device::start(folder.path(), &["--dicom-exam", "breast3"]);
    assert_eq!(device.store(&instance(0)), 0);
    device.wait_for_answers(2);
    let accepted = device.journal("accepted");
    assert!(
        accepted
            .iter()
            .all(|entry| entry["order"]["same_claim_as"].is_null())
    );
}

#[test]
fn an_instance_that_comes_again_has_its_answer_sent_again() {
    let folder = tempfile::tempdir().unwrap();
    let port = dead_port();
    let pacs = format!("ARCHIVE@127.0.0.1:{port}");
    let stored = archive(port);
    let device = Device::start(folder.path(), &["--pacs", &pacs]);
    for times in 1..=2 {
        assert_eq!(device.store(&instance(0)), 0);
        let begin = Instant::now();
        while device.journal("delivered").len() < times {
            assert!(begin.elapsed() < PATIENCE, "delivered {times} times");
            std::thread::sleep(Duration::from_millis(50));
        }
    }
    assert_eq!(device.wait_for_answers(1).len(), 1, "answered once");
    assert_eq!(
        stored.try_iter().count(),
        6,
        "report, region and picture, twice"
    );
}

/// A received file with the name of its implementation's version changed, as another version of
/// this program writes it.
fn by_another_version(mut bytes: Vec<u8>) -> Vec<u8> {
    let head = [2, 0, 0x13, 0, b'S', b'H'];
    let at = bytes.windows(6).position(|bytes| bytes == head).unwrap();
    bytes[at + 8] ^= 1;
    bytes
}

#[test]
fn what_comes_to_nothing_holds_up_nothing_behind_it() {
    let folder = tempfile::tempdir().unwrap();
    let mut device = Device::start(folder.path(), &[]);
    let inbox = folder.path().join("state/dicom");
    let seen = std::thread::scope(|scope| {
        let watch = scope.spawn(|| {
            let begin = Instant::now();
            while begin.elapsed() < PATIENCE {
                for entry in std::fs::read_dir(&inbox).unwrap().flatten() {
                    let path = entry.path();
                    let is_whole = path.extension().is_some_and(|ending| ending == "dcm");
                    if is_whole && let Ok(bytes) = std::fs::read(&path) {
                        return (path, bytes);
                    }
                }
            }
            panic!("nothing came into the inbox");
        });
        assert_eq!(device.store(&instance(0)), 0);
        watch.join().unwrap()
    });
    device.wait_for_answers(1);
    device.kill();
    let (path, bytes) = seen;
    std::fs::write(&path, by_another_version(bytes)).unwrap();
    let device = Device::start(folder.path(), &[]);
    // The same object is the same case, whoever wrote what is around it.
    assert_eq!(device.wait_for_answers(1).len(), 1, "no case of its own");

    // An entry that is damaged meanwhile: its image cannot be told to be known.
    let journal = device.state.join("journal.ndjson");
    let text = std::fs::read_to_string(&journal).unwrap();
    let at = text.find("\"accepted\"").unwrap();
    let at = at + text[at..].find("dicom/").unwrap();
    let file = std::fs::File::options().write(true).open(&journal).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"D", at as u64).unwrap();
    assert_eq!(device.store(&instance(0)), 0);
    for number in 1..4 {
        assert_eq!(device.store(&instance(number)), 0);
    }
    let begin = Instant::now();
    while device.journal("answered").len() < 4 {
        assert!(begin.elapsed() < PATIENCE, "the others wait for ever");
        std::thread::sleep(Duration::from_millis(50));
    }
    device.wait_for_health("inbox_held");
    let log = std::fs::read_to_string(folder.path().join("log")).unwrap();
    let said = |what: &str| log.lines().filter(|line| line.contains(what)).count();
    assert_eq!(said("cannot become a case"), 1, "{log}");
    assert!(said("ERROR") < 6, "{log}");
}
