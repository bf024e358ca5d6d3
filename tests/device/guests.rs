//! Who may ask for what: peers that are slow, greedy or strange, and honest ones that must not
//! notice. Each fault was found on a device; the loopback addresses stand for several units.
#![cfg(target_os = "linux")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::hold::Hold;
use crate::common::peer::{Peer, connect_from, data_of, echoes, instance, loopback, request};
use crate::common::receivers::dead_port;
use crate::common::{phantom, root};
use dicom_ul::pdu::PDataValueType;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const UNIT: Ipv4Addr = Ipv4Addr::LOCALHOST;

/// A device with a DICOM port, a console and a socket.
struct Place {
    home: tempfile::TempDir,
    device: Device,
    console: Cable,
    port: u16,
}

impl Place {
    /// `dicom` are lines of its section, `serial` of the console's, `more` sections.
    fn start(dicom: &str, serial: &str, more: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (port, line) = (dead_port(), home.path().join("port"));
        let console = Cable::plug(&line);
        let config = format!(
            "{more}\n[dicom]\nport = {port}\nbind = \"127.0.0.1\"\n{dicom}\n[[serial]]\nport = \"{}\"\n{serial}\n",
            line.display()
        );
        let device = Device::configured(home.path(), &config);
        device.wait_for_open("port", 1);
        let place = Self {
            home,
            device,
            console,
            port,
        };
        let begin = Instant::now();
        while place.socket().is_err() {
            assert!(begin.elapsed() < PATIENCE, "{}", place.device.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        place
    }

    fn at(&self, path: &str) -> PathBuf {
        self.home.path().join(path)
    }

    fn socket(&self) -> std::io::Result<UnixStream> {
        let socket = UnixStream::connect(self.at("state/medfocus.sock"))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(socket)
    }

    fn ask_socket(&self, request: &Value) -> Value {
        let mut socket = self.socket().unwrap();
        socket.write_all(format!("{request}\n").as_bytes()).unwrap();
        answer(&mut BufReader::new(socket))
    }

    /// The worker stands still on a case of the console.
    fn hold(&mut self) -> Hold {
        Hold::on_a_case(&self.device, &mut self.console)
    }

    /// Waits until a case may be asked for: it stands in the journal before.
    fn wait_until_known(&mut self, case: u64) {
        let ask = format!("CASE:STAT? {case}");
        self.console
            .wait_until(&ask, |said| !said.starts_with("ERR 10,"));
    }

    fn wait_until(&self, what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", self.device.log());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn answer(socket: &mut BufReader<UnixStream>) -> Value {
    let mut line = String::new();
    socket.read_line(&mut line).unwrap();
    serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"))
}

fn store(address: Ipv4Addr, title: &str, port: u16, number: u32, hurry: &str) -> Option<u16> {
    Peer::associate(address, title, port)?.store(&instance(number, hurry))
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect()
}

fn files_of(folder: &Path, ending: &str) -> usize {
    let names = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let ends = |entry: &std::fs::DirEntry| entry.path().extension().is_some_and(|e| e == ending);
    names.filter(ends).count()
}

#[test]
fn slow_and_idle_connections_shut_nobody_out() {
    let place = Place::start("open = true", "", "");
    // One address with a hundred connections, of which some say half a request.
    let half = &request("SLOW")[..50];
    let connect = |address| {
        let mut stream = connect_from(loopback(address), place.port).unwrap();
        stream.write_all(half).unwrap();
        stream
    };
    let _many: Vec<_> = (0..100).map(|_| connect(2)).collect();
    // And a hundred addresses with one each.
    let _each: Vec<_> = (3..103).map(connect).collect();
    for _ in 0..3 {
        let begin = Instant::now();
        assert!(echoes(UNIT, "UNIT", place.port), "{}", place.device.log());
        assert!(begin.elapsed() < Duration::from_secs(5));
    }
    // Associations that ask nothing, as many as there are seats.
    let idle: Vec<_> = (103..167)
        .filter_map(|address| Peer::associate(loopback(address), "IDLE", place.port))
        .collect();
    assert!(idle.len() >= 60, "{}", idle.len());
    place.wait_until("an honest one is let in", || {
        echoes(UNIT, "UNIT", place.port)
    });
}

#[test]
fn busy_associations_of_a_few_addresses_shut_nobody_out() {
    let place = Place::start("open = true", "", "");
    let object = instance(1, "LOW");
    // Eight addresses with eight each, that have begun an instance and drip.
    let _dripping: Vec<_> = (16..80)
        .map(|number| {
            let mut peer = Peer::associate(loopback(number / 8), "DRIP", place.port).unwrap();
            peer.begin_store(&object).unwrap();
            peer.say(3, PDataValueType::Data, &[0, 0], false).unwrap();
            peer
        })
        .collect();
    place.wait_until("an honest one is let in", || {
        echoes(UNIT, "UNIT", place.port)
    });
}

#[test]
fn a_strangers_address_is_turned_away_before_a_byte_is_read() {
    let place = Place::start("allow = [\"UNIT@127.0.0.1\"]", "", "");
    let mut stranger = connect_from(loopback(9), place.port).unwrap();
    let mut said = Vec::new();
    stranger.read_to_end(&mut said).unwrap();
    assert_eq!(said, [3, 0, 0, 0, 0, 4, 0, 1, 1, 3], "and nothing was sent");
    assert!(!echoes(loopback(9), "UNIT", place.port));
    assert!(!echoes(UNIT, "OTHER", place.port));
    assert!(echoes(UNIT, "UNIT", place.port));
    place.device.wait_for_log("127.0.0.9 may not send");
}

#[test]
fn a_peer_has_its_time_and_no_more() {
    let deadlines = "idle_s = 2\ninstance_s = 3\nassociation_s = 6";
    let place = Place::start(deadlines, "", "");
    let ended_after =
        |what: &str, seconds: std::ops::Range<u64>, talk: &mut dyn FnMut() -> bool| {
            let begin = Instant::now();
            while talk() {
                assert!(begin.elapsed() < PATIENCE, "{what}");
                std::thread::sleep(Duration::from_millis(200));
            }
            let took = begin.elapsed().as_secs();
            assert!(seconds.contains(&took), "{what}: {took} s");
        };
    let associate = || Peer::associate(UNIT, "UNIT", place.port).unwrap();
    let is_open = |peer: &mut Peer| {
        let wait = Some(Duration::from_millis(1));
        peer.stream.set_read_timeout(wait).unwrap();
        peer.stream.peek(&mut [0]).is_err()
    };
    let mut idle = associate();
    ended_after("idle", 1..5, &mut || is_open(&mut idle));
    // One byte at a time is never silent.
    let (mut slow, object) = (associate(), instance(1, "LOW"));
    slow.begin_store(&object).unwrap();
    let data = data_of(&object);
    let mut bytes = data.iter();
    ended_after("one instance", 2..7, &mut || {
        let byte = [*bytes.next().unwrap()];
        let _ = slow.say(3, PDataValueType::Data, &byte, false);
        is_open(&mut slow)
    });
    let mut chatty = associate();
    ended_after("in all", 5..10, &mut || chatty.echo() == Some(0));
    assert_eq!(files_of(&place.at("state/dicom"), "part"), 0);
    assert!(echoes(UNIT, "UNIT", place.port));
}

#[test]
fn a_flood_that_claims_to_hurry_neither_hurries_nor_fills_the_queue() {
    let dicom = "allow = [\"UNIT@127.0.0.1\", \"FLOOD@127.0.0.2\"]\nhurry = [\"UNIT@127.0.0.1\"]";
    let mut place = Place::start(dicom, "", "[queue]\nmost_waiting = 8\n");
    let hold = place.hold();
    for number in 0..20 {
        assert_eq!(
            store(loopback(2), "FLOOD", place.port, number, "STAT"),
            Some(0)
        );
    }
    let accepted = || place.device.journal("accepted");
    let of = |entries: &[Value], title: &str| {
        let of = |entry: &&Value| entry["order"]["giver"]["dicom"] == title;
        entries.iter().filter(of).cloned().collect::<Vec<_>>()
    };
    place.wait_until("its share waits", || {
        of(&accepted(), "FLOOD@127.0.0.2").len() == 6
    });
    let floods = of(&accepted(), "FLOOD@127.0.0.2");
    for flood in &floods {
        let order = &flood["order"];
        assert_eq!(
            (&order["priority"], &order["priority_said"]),
            (&json!("routine"), &json!("stat"))
        );
    }
    let begin = Instant::now();
    assert_eq!(store(UNIT, "UNIT", place.port, 99, "STAT"), Some(0));
    place.wait_until("the honest one waits", || {
        of(&accepted(), "UNIT@127.0.0.1").len() == 1
    });
    assert!(begin.elapsed() < Duration::from_secs(10));
    assert_eq!(of(&accepted(), "FLOOD@127.0.0.2").len(), 6);
    let honest = of(&accepted(), "UNIT@127.0.0.1");
    assert_eq!(honest[0]["order"]["priority"], "stat");
    hold.let_go();
    place.wait_until("all are answered", || {
        place.device.journal("answered").len() == 22
    });
    let answered = place.device.journal("answered");
    assert_eq!(answered[1]["case"], honest[0]["case"], "it hurries");
    let reasons = answered[2]["record"]["reasons"].to_string();
    assert!(
        reasons.contains("priority_not_granted: its sender said stat"),
        "{reasons}"
    );
}

#[test]
fn a_console_drops_its_own_cases_and_those_of_others_only_where_it_may() {
    let mut place = Place::start("", "", "");
    let hold = place.hold();
    assert_eq!(store(UNIT, "UNIT", place.port, 1, "LOW"), Some(0));
    place.wait_until_known(2);
    let run = format!("CASE:RUN \"{}\"", phantom("breast.png").display());
    assert_eq!(place.console.ask(&run), "3");
    assert_eq!(place.console.ask("CASE:ABOR"), "1", "its own");
    assert_eq!(place.console.ask("CASE:STAT? 3"), "3 aborted");
    assert_eq!(place.console.ask("CASE:STAT? 2"), "2 waiting");
    hold.let_go();
    assert_eq!(place.console.wait_for_end("2"), "2 finding");
}

#[test]
fn what_was_acknowledged_and_dropped_is_kept_and_told_and_can_be_run_again() {
    let results = tempfile::tempdir().unwrap();
    let sinks = format!("[results]\nfolder = \"{}\"\n", results.path().display());
    let mut place = Place::start("", "abort = \"any\"", &sinks);
    let hold = place.hold();
    assert_eq!(store(UNIT, "UNIT", place.port, 1, "LOW"), Some(0));
    place.wait_until_known(2);
    assert_eq!(place.console.ask("CASE:ABOR"), "1");
    let told = place.console.ask("CASE:RES? 2");
    assert!(told.starts_with("2 refusal code=aborted "), "{told}");
    assert!(
        told.contains("cure=\"run it again with CASE:RERun 2\""),
        "{told}"
    );
    let waited = place.ask_socket(&json!({ "do": "wait", "case": 2 }));
    let message = waited["record"]["message"].as_str().unwrap().to_owned();
    let by = format!(
        "dropped by line {} before it ran",
        place.at("port").display()
    );
    assert!(message.contains(&by), "{message}");
    let has_result = || {
        let files = std::fs::read_dir(results.path()).unwrap().flatten();
        let texts = files.map(|file| std::fs::read_to_string(file.path()).unwrap_or_default());
        texts.into_iter().any(|text| text.contains("\"aborted\""))
    };
    place.wait_until("the sink is told", has_result);
    assert_eq!(
        std::fs::read_dir(place.at("state/kept")).unwrap().count(),
        1
    );
    hold.let_go();
    let again = place.console.ask("CASE:RER 2");
    assert_eq!(
        place.console.wait_for_end(&again),
        format!("{again} finding")
    );
    // The sender may send it again as well: it is the case that was answered.
    assert_eq!(store(UNIT, "UNIT", place.port, 1, "LOW"), Some(0));
    place.wait_until("it came again", || {
        place.device.journal("came_again").len() == 1
    });
}

#[test]
fn uploads_that_are_begun_have_their_bytes_and_no_more_than_a_share() {
    let mut place = Place::start("", "", "");
    let uploads: Vec<UnixStream> = (0..12)
        .map(|number| {
            let mut socket = place.socket().unwrap();
            let sha256 = hash(&[number]);
            let submit = json!({ "do": "submit", "size": 96 << 20, "sha256": sha256 });
            socket
                .write_all(format!("{submit}\nfirst").as_bytes())
                .unwrap();
            socket
        })
        .collect();
    place.wait_until("two are begun", || {
        files_of(&place.at("state/images"), "part") == 2
    });
    place
        .console
        .wait_until("STAT?", |status| status.contains("warnings=store_full"));
    let health = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_medfocus"));
        command.arg("health").arg("--state").arg(place.at("state"));
        String::from_utf8(command.output().unwrap().stdout).unwrap()
    };
    place.wait_until("people are told what to do", || {
        health().contains("store_full: wait for cases to end")
    });
    let told = place.ask_socket(&json!({ "do": "health" }));
    assert_eq!(told["health"]["warnings"], json!(["store_full"]));
    // Others have room meanwhile.
    let run = format!("CASE:RUN \"{}\"", phantom("brain.png").display());
    let case = place.console.ask(&run);
    assert_eq!(place.console.wait_for_end(&case), format!("{case} finding"));
    assert_eq!(files_of(&place.at("state/images"), "part"), 2);
    drop(uploads);
    place.wait_until("what was cut short is gone", || {
        files_of(&place.at("state/images"), "part") == 0
    });
}

#[test]
fn halves_survive_a_restart_only_within_their_bounds() {
    let home = tempfile::tempdir().unwrap();
    let images = home.path().join("state/images");
    std::fs::create_dir_all(&images).unwrap();
    for number in 0..5_u8 {
        let half = File::create(images.join(format!("{}.part", hash(&[number])))).unwrap();
        half.set_len(96 << 20).unwrap();
    }
    let device = Device::configured(home.path(), "[socket]\nenabled = true\n");
    let begin = Instant::now();
    while files_of(&images, "part") != 2 {
        assert!(begin.elapsed() < PATIENCE, "{}", device.log());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn unknown_keys_are_named_and_bytes_are_never_requests() {
    let place = Place::start("", "", "");
    for request in [
        json!({ "do": "status", "colour": 1 }),
        json!({ "do": "health", "colour": { "nested": 1 } }),
        json!({ "do": "reload", "colour": null }),
        json!({ "do": "wait", "case": 1, "colour": 1 }),
        json!({ "do": "rerun", "case": 1, "colour": 1 }),
    ] {
        let answer = place.ask_socket(&request);
        let (code, message) = (&answer["code"], answer["message"].to_string());
        assert!(
            code == "request" && message.contains("`colour`"),
            "{request}: {answer}"
        );
    }
    let bytes = b"{\"do\":\"reload\"}\n{\"do\":\"status\"}\n";
    let mut socket = place.socket().unwrap();
    let submit = json!({ "do": "submit", "size": bytes.len(), "sha256": hash(bytes), "colour": 1 });
    socket.write_all(format!("{submit}\n").as_bytes()).unwrap();
    socket.write_all(bytes).unwrap();
    socket
        .write_all(b"{\"do\":\"wait\",\"case\":99}\n")
        .unwrap();
    let mut socket = BufReader::new(socket);
    let first = answer(&mut socket);
    assert!(first["message"].to_string().contains("`colour`"), "{first}");
    assert_eq!(
        answer(&mut socket)["code"],
        "no_such_case",
        "nothing in between"
    );
}

#[test]
fn a_flood_of_refusals_ends_where_its_allowance_does() {
    let mut place = Place::start("", "", "[queue]\nmost_refused = 5\n");
    let run = format!("CASE:RUN \"{}\"", root().join("README.md").display());
    for case in 1..=5 {
        assert_eq!(place.console.ask(&run), case.to_string());
        place.console.wait_for_end(&case.to_string());
    }
    assert!(place.console.ask(&run).starts_with("ERR 15,"));
    assert_eq!(
        place.device.journal("accepted").len(),
        5,
        "nothing is written"
    );
    // Another source has its own.
    assert_eq!(store(UNIT, "UNIT", place.port, 1, "LOW"), Some(0));
    place.wait_until_known(6);
    assert_eq!(place.console.wait_for_end("6"), "6 finding");
}

#[test]
fn idle_clients_of_the_socket_shut_nobody_out() {
    let place = Place::start("", "", "");
    let _idle: Vec<_> = (0..100).map(|_| place.socket().unwrap()).collect();
    let _half: Vec<_> = (0..100)
        .map(|_| {
            let mut socket = place.socket().unwrap();
            socket.write_all(b"{\"do\":").unwrap();
            socket
        })
        .collect();
    // One that asks and never reads what is answered.
    let mut deaf = place.socket().unwrap();
    deaf.set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    while deaf.write_all(b"{\"do\":\"health\"}\n").is_ok() {}
    // Those that were told to go may take a moment on a machine that is busy; then the answer says when
    // to ask again.
    let begin = Instant::now();
    let status = loop {
        let status = place.ask_socket(&json!({ "do": "status" }));
        if status["code"] != "busy" || begin.elapsed() > Duration::from_secs(5) {
            break status;
        }
        std::thread::sleep(Duration::from_millis(100));
    };
    assert_eq!(status["ok"], true, "{status}");
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_open_port_is_wrong_until_somebody_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let doctor = |dicom: &str| {
        let file = folder.path().join("medfocus.toml");
        std::fs::write(&file, format!("[dicom]\nport = 11112\n{dicom}\n")).unwrap();
        let output = Command::new(env!("CARGO_BIN_EXE_medfocus"))
            .current_dir(root())
            .args(["doctor", "--json", "--config"])
            .arg(&file)
            .arg("--state")
            .arg(folder.path().join("state"))
            .output()
            .unwrap();
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        let checks = said["checks"].as_array().unwrap().clone();
        let check = checks.into_iter().find(|check| check["name"] == "dicom");
        (output.status.code(), check.unwrap())
    };
    let (code, check) = doctor("");
    assert_eq!(
        (code, &check["code"]),
        (Some(3), &json!("dicom_for_nobody"))
    );
    assert!(
        check["cure"].as_str().unwrap().contains("dicom.open"),
        "{check}"
    );
    assert_eq!(doctor("open = true").1["verdict"], "warned");
    assert_eq!(doctor("allow = [\"XRAY@10.0.0.7\"]").1["verdict"], "passed");
}
