//! The specification's vectors, byte for byte: `tests/vectors/link.json`, which the Python
//! client reads as well. They never change while the protocol's version stays.

use std::fmt::Write;
use std::path::{Path, PathBuf};

use firmware_host::message::{self, Finding, Priority, Report, Request, Sex, Step};
use firmware_host::wire::{Packet, Run, Splitter, pack};
use serde::Serialize;
use serde_json::{Value, json};

fn path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/vectors/link.json")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").expect("memory");
        text
    })
}

fn bytes_of(vector: &Value) -> Vec<u8> {
    let text = vector["bytes"].as_str().expect("hexadecimal");
    let byte = |at| u8::from_str_radix(&text[at..at + 2], 16).expect("hexadecimal");
    (0..text.len()).step_by(2).map(byte).collect()
}

fn vectors(kind: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(path()).expect("the vectors");
    let all: Value = serde_json::from_str(&text).expect("JSON");
    all[kind].as_array().expect("a list").clone()
}

fn says(what: &impl Serialize) -> Value {
    serde_json::to_value(what).expect("JSON")
}

/// The only run of some bytes, as text, and the packet's own bytes again.
fn run_of(bytes: &[u8]) -> (String, Value, Vec<u8>) {
    let mut splitter = Splitter::default();
    let mut found = Vec::new();
    for &byte in bytes {
        match splitter.push(byte) {
            Some(Run::Frame(Ok(packet))) => {
                let again = pack(&packet).expect("short").to_vec();
                found.push((String::new(), says(&packet), again));
            }
            Some(Run::Frame(Err(damage))) => {
                found.push((format!("{damage:?}"), Value::Null, Vec::new()));
            }
            Some(Run::Line(line)) => panic!("{line:?}"),
            Some(Run::Clear) | None => {}
        }
    }
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn packets() {
    for vector in vectors("packets") {
        let bytes = bytes_of(&vector);
        assert_eq!(
            run_of(&bytes),
            (String::new(), vector["says"].clone(), bytes)
        );
    }
    for vector in vectors("damaged") {
        assert_eq!(run_of(&bytes_of(&vector)).0, vector["why"], "{vector}");
    }
}

#[test]
fn messages() {
    for vector in vectors("requests") {
        let bytes = bytes_of(&vector);
        let request: Request<'_> = message::unpack(&bytes[2..]).expect("a request");
        assert_eq!(says(&request), vector["says"]);
        assert_eq!(
            hex(&message::pack(&request).expect("short")),
            vector["bytes"]
        );
    }
    for vector in vectors("reports") {
        let bytes = bytes_of(&vector);
        let report: Report<'_> = message::unpack(&bytes[2..]).expect("a report");
        assert_eq!(says(&report), vector["says"]);
        assert_eq!(
            hex(&message::pack(&report).expect("short")),
            vector["bytes"]
        );
    }
}

const LONG: [u8; 300] = [0x55; 300];

fn some_packets() -> Vec<Packet<'static>> {
    let data = |sequence, bytes| Packet::Data { sequence, bytes };
    vec![
        Packet::Open { nonce: 7 },
        Packet::Opened { nonce: u32::MAX },
        data(0, b"a"),
        data(u16::MAX, b"\x00\n\r\x10\x00"),
        data(300, &LONG),
        Packet::Ack { sequence: 4096 },
        Packet::Reset,
        Packet::Close,
    ]
}

fn some_requests() -> Vec<Request<'static>> {
    let image = core::array::from_fn(|at| at as u8);
    let run = |exam, region| Request::Run {
        request: u64::MAX,
        image,
        exam,
        region,
    };
    vec![
        Request::Console {
            line: "CASE:RES? 1,JSON",
        },
        Request::Put {
            image,
            size: 70_000,
        },
        Request::Chunk {
            offset: 1000,
            bytes: b"\x89PNG",
        },
        run(None, None),
        run(Some("brain4"), Some([0, 1, 300, 70_000])),
        Request::Fetch,
        Request::Taken { case: 300 },
        Request::Client {
            identity: 0xfedc_ba98_7654_3210,
        },
        Request::RunWith {
            request: 1,
            image,
            exam: Some("lung_tb2"),
            region: None,
            priority: Priority::Urgent,
            age: Some(34),
            sex: Some(Sex::Female),
        },
        Request::RunWith {
            request: 2,
            image,
            exam: None,
            region: Some([0, 1, 300, 70_000]),
            priority: Priority::Routine,
            age: None,
            sex: None,
        },
        Request::Watch,
    ]
}

fn some_reports() -> Vec<Report<'static>> {
    let image = core::array::from_fn(|at| at as u8);
    let intended_use = "demonstration";
    let finding = Finding {
        exam: "brain4",
        class: "meningioma",
        level: "priority",
        probabilities: heapless::Vec::from_slice(&[("meningioma", 0.75), ("glioma", 0.25)])
            .expect("room"),
        region: [64, 27, 385, 462],
        area_fraction: 0.5,
        intended_use,
    };
    let progress = |step| Report::Progress { case: 1, step };
    vec![
        Report::Hello {
            device: 0x0123_4567_89ab_cdef,
            software: "medfocus 0.1.0",
            bundle: "starter 0.1.0",
            intended_use,
        },
        Report::Console {
            text: "1 running é",
            more: false,
        },
        Report::Wanted {
            image,
            offset: 3000,
        },
        Report::Stored { image },
        Report::Accepted {
            request: u64::MAX,
            case: 1,
        },
        Report::Refused {
            request: Some(1),
            number: -224,
            text: "Illegal parameter value",
        },
        Report::Refused {
            request: None,
            number: 31,
            text: "Image damaged",
        },
        progress(Step::Waiting),
        progress(Step::Started),
        progress(Step::Stage { index: 5, of: 6 }),
        Report::StorageFault(true),
        Report::Finding { case: 1, finding },
        Report::Refusal {
            case: 2,
            code: "blank",
            help: "take the picture again",
            intended_use,
        },
        Report::Aborted { case: 3 },
        Report::Fetched,
        Report::SafeState {
            code: "bundle_hash",
            help: "copy the bundle again",
        },
        Report::About { case: 300, image },
        Report::Notes {
            case: 300,
            codes: "unsure,age_unknown",
        },
        Report::Warnings {
            codes: "clock_unset,sink_hl7",
            help: "set the clock",
        },
        Report::Warnings {
            codes: "",
            help: "",
        },
    ]
}

/// Writes the vectors anew, for a new version of the protocol.
#[test]
#[ignore = "writes the vectors"]
fn write_vectors() {
    let pair = |says: Value, bytes: &[u8]| json!({"says": says, "bytes": hex(bytes)});
    let packets = some_packets();
    let packets = packets
        .iter()
        .map(|p| pair(says(p), &pack(p).expect("short")));
    let requests = some_requests();
    let requests = requests
        .iter()
        .map(|m| pair(says(m), &message::pack(m).expect("short")));
    let reports = some_reports();
    let reports = reports
        .iter()
        .map(|m| pair(says(m), &message::pack(m).expect("short")));
    let damaged = [
        ("Checksum", "000502040000000000".to_owned()),
        ("Checksum", "00ff00".to_owned()),
        ("Checksum", "00012a00".to_owned()),
        ("Version(2)", "0007020464b4827400".to_owned()),
        ("TooLong", format!("00{}00", "2a".repeat(1025))),
    ];
    let damaged = damaged.map(|(why, bytes)| json!({"why": why, "bytes": bytes}));
    let mut text = String::from("{\n");
    let kinds: [(&str, Vec<Value>); 4] = [
        ("packets", packets.collect()),
        ("damaged", damaged.to_vec()),
        ("requests", requests.collect()),
        ("reports", reports.collect()),
    ];
    for (number, (kind, list)) in kinds.iter().enumerate() {
        let lines: Vec<String> = list.iter().map(|v| format!("    {v}")).collect();
        let comma = if number + 1 < kinds.len() { "," } else { "" };
        writeln!(text, "  \"{kind}\": [\n{}\n  ]{comma}", lines.join(",\n")).expect("memory");
    }
    std::fs::write(path(), text + "}\n").expect("written");
}

/// Whole frames for the fuzzer to begin with.
#[test]
#[ignore = "writes the fuzzer's seeds: scripts/fuzz"]
fn write_seeds() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus");
    for (number, packet) in some_packets().iter().enumerate() {
        let seed = pack(packet).expect("short");
        std::fs::write(corpus.join(format!("frames/{number}")), seed).expect("written");
    }
    let help = firmware_host::console::Help.to_string();
    for (number, line) in help.split(' ').enumerate() {
        let seed = format!("{line} 1\n");
        std::fs::write(corpus.join(format!("console/{number}")), seed).expect("written");
    }
}
