//! The control socket of a running device, and `medfocus submit`, which talks to it.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::hold::Hold;
use crate::common::{classify, phantom, root};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A device with a socket and a console.
struct Place {
    home: tempfile::TempDir,
    device: Device,
    console: Cable,
}

impl Place {
    fn start(more: &str) -> Self {
        let home = tempfile::tempdir().unwrap();
        let (device, console) = switch_on(home.path(), more);
        Self {
            home,
            device,
            console,
        }
    }

    fn socket(&self) -> PathBuf {
        self.home.path().join("state/medfocus.sock")
    }

    fn client(&self) -> Client {
        let stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Client(BufReader::new(stream))
    }

    fn command(&self) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_medfocus"));
        command.current_dir(root()).arg("submit");
        command.arg("--socket").arg(self.socket());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    fn submit(&self, arguments: &[&str]) -> Output {
        self.command().args(arguments).output().unwrap()
    }

    /// Gives the one worker something to wait for.
    fn hold(&mut self) -> Hold {
        Hold::on_a_case(&self.device, &mut self.console)
    }
}

fn switch_on(home: &Path, more: &str) -> (Device, Cable) {
    let port = home.join("port");
    let console = Cable::plug(&port);
    let config = format!("{more}\n[[serial]]\nport = \"{}\"\n", port.display());
    let device = Device::configured(home, &config);
    device.wait_for_open("port", 1);
    let begin = Instant::now();
    while UnixStream::connect(home.join("state/medfocus.sock")).is_err() {
        assert!(begin.elapsed() < PATIENCE, "{}", device.log());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    (device, console)
}

/// A client with nothing but a socket and JSON.
struct Client(BufReader<UnixStream>);

impl Client {
    fn send(&mut self, bytes: &[u8]) {
        self.0.get_mut().write_all(bytes).unwrap();
    }

    fn answer(&mut self) -> Value {
        let mut line = String::new();
        self.0.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap_or_else(|_| panic!("{line:?}"))
    }

    fn ask(&mut self, request: &Value) -> Value {
        self.send(format!("{request}\n").as_bytes());
        self.answer()
    }

    fn submit(&mut self, image: &[u8], more: &Value) -> Value {
        let mut request = json!({ "do": "submit", "size": image.len(), "sha256": hash(image) });
        let keys = more.as_object().unwrap().clone();
        request.as_object_mut().unwrap().extend(keys);
        self.send(format!("{request}\n").as_bytes());
        self.send(image);
        self.answer()
    }
}

fn hash(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn name(phantom_name: &str) -> String {
    phantom(phantom_name).display().to_string()
}

#[test]
fn what_the_device_answers_is_printed_as_classify_prints_it() {
    let place = Place::start("");
    let path = name("brain.png");
    let output = place.submit(&[&path, "--wait"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let same = crate::common::medfocus(&["classify", &path]);
    assert_eq!(text(&output.stdout), text(&same.stdout));
    let (breast, brain) = (name("breast.png"), name("brain.png"));
    let images = [breast.as_str(), brain.as_str(), "README.md"];
    let output = place.submit(&[&images[..], &["--wait"]].concat());
    assert_eq!(output.status.code(), Some(1), "one is no image");
    let same = crate::common::medfocus(&[&["classify"], &images[..]].concat());
    assert_eq!(text(&output.stdout), text(&same.stdout));
    let output = place.submit(&[&breast, "README.md", "--wait", "--format", "ndjson"]);
    let (same, _) = classify(&[&breast, "README.md"]);
    let answers = text(&output.stdout);
    let answers = answers
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap());
    for (answer, same) in answers.zip(&same) {
        for (key, value) in same.as_object().unwrap() {
            let is_of_the_run = ["case", "timings_ms"].contains(&key.as_str());
            assert!(is_of_the_run || answer[key] == *value, "{key}: {answer}");
        }
    }
}

#[test]
fn a_number_is_printed_for_what_is_on_the_disk() {
    let place = Place::start("");
    let output = place.submit(&[&name("brain.png"), &name("chest.png"), "--exam", "brain4"]);
    assert_eq!(
        (output.status.code(), text(&output.stdout)),
        (Some(0), "1\n2\n".into())
    );
    let accepted = place.device.journal("accepted");
    assert_eq!(accepted.len(), 2);
    assert_eq!(accepted[0]["order"]["exam"], "brain4");
    let output = place.submit(&[&name("brain.png"), "--exam", "knee"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("name one of covid3, lung_tb2, brain4, breast3"));
    let output = place.submit(&["nowhere.png"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("(not_found)"));
    assert_eq!(place.device.journal("accepted").len(), 2);
}

#[test]
fn help_speaks_of_what_a_client_can_say() {
    let place = Place::start("");
    let chest = std::fs::read(phantom("chest.png")).unwrap();
    let mut client = place.client();
    let case = client.submit(&chest, &json!({}))["case"].clone();
    let waited = client.ask(&json!({ "do": "wait", "case": case, "seconds": 60 }));
    let record = &waited["record"];
    assert_eq!(record["code"], "exam_needed", "{waited}");
    assert_eq!(
        record["help"],
        json!({ "choose_exam": ["covid3", "lung_tb2"] })
    );
    let help = record["cure"].as_str().unwrap();
    assert!(
        help.starts_with("say which with exam, in the request"),
        "{help}"
    );
    assert!(!help.contains("--"), "{help}");
    // What is no file is refused here, at once.
    let pipe = place.home.path().join("pipe.png");
    let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
    let kind = rustix::fs::FileType::Fifo;
    rustix::fs::mknodat(rustix::fs::CWD, &pipe, kind, mode, 0).unwrap();
    let output = place.submit(&[pipe.to_str().unwrap(), "--wait"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("(not_a_file)"));
}

#[test]
fn without_a_device_there_is_no_answer() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().display().to_string();
    let output = crate::common::medfocus(&["submit", &name("brain.png"), "--state", &state]);
    assert_eq!(output.status.code(), Some(3));
    assert!(text(&output.stderr).contains("(no_device)"));
}

#[test]
fn a_full_queue_says_when_to_ask_again_and_higher_priorities_come_in() {
    let mut place = Place::start("[queue]\nmost_waiting = 2\n");
    let hold = place.hold();
    let brain = std::fs::read(phantom("brain.png")).unwrap();
    let mut client = place.client();
    for case in 2..=3 {
        let answer = client.submit(&brain, &json!({}));
        assert_eq!(answer, json!({ "ok": true, "case": case }));
    }
    let refused = client.submit(&brain, &json!({}));
    assert_eq!(
        (&refused["ok"], &refused["code"]),
        (&false.into(), &"busy".into())
    );
    assert!(refused["retry_ms"].as_u64().unwrap() > 0);
    // Its bytes were read, so the next request is understood.
    let stat = client.submit(&brain, &json!({ "priority": "stat" }));
    assert_eq!(stat["case"], 4);
    let output = place.submit(&[&name("brain.png"), "--patience", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(text(&output.stderr).contains("(busy)"));
    // One that is patient comes in as soon as there is room.
    let patient = place
        .command()
        .args([&name("brain.png"), "--wait"])
        .spawn()
        .unwrap();
    let status = client.ask(&json!({ "do": "status" }));
    assert_eq!(
        (&status["waiting"], &status["case"]),
        (&3.into(), &1.into())
    );
    hold.let_go();
    let output = patient.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn many_at_once_and_one_that_hangs_delays_nobody() {
    let place = Place::start("");
    let mut hangs = place.client();
    hangs.send(b"{\"do\":\"sub");
    let mut half = place.client();
    let brain = std::fs::read(phantom("brain.png")).unwrap();
    let request = json!({ "do": "submit", "size": brain.len(), "sha256": hash(&brain) });
    half.send(format!("{request}\n").as_bytes());
    half.send(&brain[..1000]);
    let breast = name("breast.png");
    let start = || place.command().args([&breast, "--wait"]).spawn().unwrap();
    let clients: Vec<_> = (0..4).map(|_| start()).collect();
    for client in clients {
        let output = client.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    }
    assert_eq!(place.device.journal("accepted").len(), 4);
    half.send(&brain[1000..]);
    assert_eq!(half.answer()["case"], 5, "slow is not lost");
}

#[test]
fn what_is_wrong_is_told_by_a_code_and_the_next_request_works() {
    let place = Place::start("");
    let mut client = place.client();
    let brain = std::fs::read(phantom("brain.png")).unwrap();
    for (request, code) in [
        (json!({ "do": "fly" }), "request"),
        (json!({ "do": "wait" }), "request"),
        (json!([1, 2]), "request"),
        (json!({ "do": "wait", "case": 99 }), "no_such_case"),
        (
            json!({ "do": "submit", "size": 0, "sha256": hash(b"") }),
            "image_empty",
        ),
        (
            json!({ "do": "submit", "size": 0, "sha256": "x" }),
            "request",
        ),
    ] {
        let answer = client.ask(&request);
        assert_eq!(
            (&answer["ok"], &answer["code"]),
            (&false.into(), &code.into()),
            "{request}"
        );
        assert!(!answer["cure"].as_str().unwrap().is_empty(), "{request}");
    }
    client.send(b"\xff\xfe not json\n");
    assert_eq!(client.answer()["code"], "request");
    let spoilt = client.submit(&brain, &json!({ "sha256": hash(b"other") }));
    assert_eq!(spoilt["code"], "image_damaged");
    let knee = client.submit(&brain, &json!({ "exam": "knee" }));
    assert_eq!(knee["code"], "no_such_exam");
    let right = client.submit(&brain, &json!({ "request": 7 }));
    assert_eq!(right["case"], 1);
    let again = client.submit(&brain, &json!({ "request": 7 }));
    assert_eq!(again["case"], 1, "asked again, it is the same case");
    let ended = client.ask(&json!({ "do": "wait", "case": 1 }));
    assert_eq!(
        (&ended["state"], &ended["words"]["labels"]["glioma"]),
        (&"finding".into(), &"Glioma".into())
    );
    assert_eq!(ended["record"]["class"], "meningioma");
    let health = client.ask(&json!({ "do": "health" }));
    let schema = std::fs::read_to_string(root().join("docs/health.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    assert!(schema.is_valid(&health["health"]), "{health}");
    let large = json!({ "do": "submit", "size": 1u64 << 40, "sha256": hash(b"") });
    assert_eq!(client.ask(&large)["code"], "image_too_large");
    let mut client = place.client();
    client.send(&vec![b' '; 70 << 10]);
    assert_eq!(client.answer()["code"], "request", "a line without end");
    assert_eq!(
        place.client().ask(&json!({ "do": "status" }))["state"],
        "ready"
    );
}

#[test]
fn a_case_outlives_the_device_that_was_asked_for_it() {
    let mut place = Place::start("");
    let hold = place.hold();
    let brain = name("brain.png");
    let client = place.command().args([&brain, "--wait"]).spawn().unwrap();
    let begin = Instant::now();
    while place.device.journal("accepted").len() < 2 {
        assert!(begin.elapsed() < PATIENCE, "not accepted");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    place.device.kill();
    (place.device, place.console) = switch_on(place.home.path(), "");
    hold.let_go();
    let output = client.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let same = crate::common::medfocus(&["classify", &brain]);
    assert_eq!(text(&output.stdout), text(&same.stdout));
    assert_eq!(place.device.journal("accepted").len(), 2);
}

#[test]
fn the_configuration_is_read_again_on_request() {
    let mut place = Place::start("[queue]\nmost_waiting = 1\n");
    let hold = place.hold();
    let brain = std::fs::read(phantom("brain.png")).unwrap();
    let mut client = place.client();
    assert_eq!(client.submit(&brain, &json!({}))["case"], 2);
    assert_eq!(client.submit(&brain, &json!({}))["code"], "busy");
    let file = place.home.path().join("medfocus.toml");
    let config = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, config.replace("= 1", "= many")).unwrap();
    let refused = client.ask(&json!({ "do": "reload" }));
    assert_eq!(refused["code"], "not_reloaded");
    assert!(
        refused["message"]
            .as_str()
            .unwrap()
            .contains("(config_syntax)"),
        "{refused}"
    );
    std::fs::write(&file, config.replace("= 1", "= 2") + "baud = 9600\n").unwrap();
    let reloaded = client.ask(&json!({ "do": "reload" }));
    let changes = json!({
        "ok": true,
        "running": ["queue.most_waiting"],
        "at_next_start": ["serial"],
    });
    assert_eq!(reloaded, changes);
    assert_eq!(client.submit(&brain, &json!({}))["case"], 3);
    assert_eq!(place.device.journal("configured").len(), 2);
    hold.let_go();
}

#[test]
fn two_devices_do_not_share_a_socket() {
    let place = Place::start("");
    let socket = place.socket().display().to_string();
    let state = place.home.path().join("other").display().to_string();
    let second = crate::common::medfocus(&["serve", "--state", &state, "--socket", &socket]);
    assert_eq!(second.status.code(), Some(3));
    assert!(text(&second.stderr).contains("another device listens there (socket)"));
    assert_eq!(
        place.client().ask(&json!({ "do": "status" }))["state"],
        "ready"
    );
}

/// Takes two images, and then says nothing more, or hangs up.
fn device_that_stops(socket: &Path, hangs_up: bool) {
    let listener = std::os::unix::net::UnixListener::bind(socket).unwrap();
    std::thread::spawn(move || {
        let mut taken = 0;
        while let Ok((stream, _)) = listener.accept() {
            let mut client = BufReader::new(stream);
            let mut line = String::new();
            while client.read_line(&mut line).is_ok_and(|count| count > 0) {
                let request: Value = serde_json::from_str(&line).unwrap();
                let mut image = vec![0; request["size"].as_u64().unwrap_or(0) as usize];
                std::io::Read::read_exact(&mut client, &mut image).unwrap();
                taken += 1;
                if taken <= 2 {
                    let answer = json!({ "ok": true, "case": 100 + taken });
                    writeln!(client.get_mut(), "{answer}").unwrap();
                } else if hangs_up {
                    break;
                }
                line.clear();
            }
        }
    });
}

#[test]
fn the_numbers_of_accepted_cases_are_told_however_the_device_goes() {
    let image = phantom("brain.png");
    for (hangs_up, exit, code) in [(false, 4, "time_is_up"), (true, 3, "no_device")] {
        let folder = tempfile::tempdir().unwrap();
        let socket = folder.path().join("socket");
        device_that_stops(&socket, hangs_up);
        let mut command = Command::new(env!("CARGO_BIN_EXE_medfocus"));
        command.arg("submit").args([&image, &image, &image]);
        command.args(["--wait", "--patience", "1", "--socket"]);
        command.arg(&socket);
        if !hangs_up {
            command.args(["--timeout", "2"]);
        }
        let output = command.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("not answered yet: case 101, 102"), "{said}");
        assert!(said.contains(code), "{said}");
        assert_eq!(output.status.code(), Some(exit), "{said}");
    }
}
