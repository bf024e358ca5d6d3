//! Starts the hostile decoder, once for each attempt, and looks what it got.

mod attempts;

use std::fs::{self, File, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use attempts::{Case, Fate, LEAKED, QUIT, Target, all};
use medfocus::case::{Refusal, RefusalCode};
use medfocus::image::{self, decode_as_child_by};
use medfocus::sandbox::{self, Part};
use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};

/// This program is started again as an ordinary user.
const AS_USER: &str = "--as-user";
/// It stands where the device does: everything must hold.
const UNDER_UNIT: &str = "--under-unit";
const NOBODY: u32 = 65_534;
/// What a worker or a process that is not confined does.
const WORKER: &str = "worker";
const LOOSE: &str = "loose";

const WORKED: &str = "it worked";
const FAILED: &str = "it failed";

pub fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words[..] {
        ["decode-image", wanted] => decode(wanted),
        [WORKER, name, path, parent] => {
            let folder = Path::new(path).parent().expect("a folder").to_owned();
            sandbox::begin().worker(&[folder]);
            print!("{}", tried(name, path, parent));
        }
        [QUIT] => {}
        [LOOSE, name, path, parent] => print!("{}", tried(name, path, parent)),
        [AS_USER] => every_case("an ordinary user", true),
        [UNDER_UNIT] => every_case("the unit's user", false),
        _ => {
            // Words for another harness, as a filter, mean nothing here.
            every_case("whoever runs the tests", true);
            as_ordinary_user();
        }
    }
}

/// The hostile decoder itself.
fn decode(wanted: &str) {
    let wanted = wanted.parse().expect("what is wanted");
    let hostile = |image: &[u8], _| {
        let image = std::str::from_utf8(image).expect("an attempt");
        let [name, path, parent] = image.lines().collect::<Vec<_>>()[..] else {
            panic!("no attempt: {image}");
        };
        let what = format!("image: {}", tried(name, path, parent));
        Err(Refusal::new(RefusalCode::Unreadable, what, "none"))
    };
    decode_as_child_by(wanted, hostile).expect("an answer");
}

fn tried(name: &str, path: &str, parent: &str) -> &'static str {
    let case = all().into_iter().find(|case| case.name == name);
    let target = Target {
        path: path.to_owned(),
        parent: parent.parse().expect("a number"),
    };
    match (case.expect("an attempt").attempt)(&target) {
        Ok(()) => WORKED,
        Err(_) => FAILED,
    }
}

/// Where the attempts are made.
struct Ground {
    folder: tempfile::TempDir,
    program: PathBuf,
    /// Stays open, and no one says that children shall not have it.
    _leaked: std::os::fd::OwnedFd,
}

impl Ground {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(folder.path().join("leaked"))
            .expect("a file");
        let leaked = fcntl_dupfd_cloexec(&file, LEAKED as i32).expect("a descriptor");
        fcntl_setfd(&leaked, FdFlags::empty()).expect("a descriptor");
        Self {
            program: std::env::current_exe().expect("this program"),
            folder,
            _leaked: leaked,
        }
    }

    /// An image that says what to try, on a file that is there.
    fn image(&self, case: &Case) -> (PathBuf, [String; 3]) {
        let path = self.folder.path().join("journal.ndjson");
        fs::write(&path, "a line\n").expect("a file");
        for made in ["new", "folder"] {
            let made = path.with_extension(format!("ndjson.{made}"));
            let _ = fs::remove_file(&made).or_else(|_| fs::remove_dir(&made));
        }
        let parent = std::process::id().to_string();
        let words = [case.name.to_owned(), path.display().to_string(), parent];
        let image = self.folder.path().join("image.png");
        fs::write(&image, words.join("\n")).expect("an image");
        (image, words)
    }

    /// What a decoder gets, that the library starts.
    fn decoder(&self, case: &Case) -> Fate {
        let refusal = image::read(&self.image(case).0).expect_err("no image");
        match refusal.message {
            message if message.contains(WORKED) => Fate::Allowed,
            message if message.contains(FAILED) => Fate::Denied,
            message if message.contains("the decoder tried what no decoder does") => Fate::Ended,
            message => panic!("{}: {message}", case.name),
        }
    }

    /// What another process gets.
    fn process(&self, role: &str, case: &Case) -> Fate {
        let (image, words) = self.image(case);
        let output = Command::new(&self.program)
            .arg(role)
            .args(words)
            .stdin(File::open(image).expect("an image"))
            .stderr(Stdio::null())
            .output()
            .expect("this program");
        match String::from_utf8_lossy(&output.stdout).as_ref() {
            WORKED => Fate::Allowed,
            FAILED => Fate::Denied,
            "" if output.status.signal() == Some(libc::SIGSYS) => Fate::Ended,
            // Another program runs in its place.
            "" if case.name == "run a program" => Fate::Allowed,
            other => panic!("{}: {other} {:?}", case.name, output.status),
        }
    }
}

fn every_case(who: &str, has_control: bool) {
    let ground = Ground::new();
    image::isolate(&ground.program);
    let report = image::sandbox_of_child().expect("a decoder that says what holds");
    for held in &report.0 {
        println!("{who}: {:?}: {}", held.part, held.what);
    }
    let lacks = |part| report.lacking().any(|held| held.part == part);
    if lacks(Part::Calls) && has_control {
        return println!("skipped: this system has no filter of calls");
    }
    // Without Landlock a worker reads what its user may; all else is held by the filter.
    let worker_may_read = lacks(Part::Files);
    let mut wrong = Vec::new();
    for case in all() {
        let mut expect = |role: &str, fate: Fate, expected: Fate| {
            if fate != expected {
                wrong.push(format!("{role} tries to {}: {fate:?}", case.name));
            }
        };
        expect("a decoder", ground.decoder(&case), case.decoder);
        if !(worker_may_read && case.is_elsewhere()) {
            expect("a worker", ground.process(WORKER, &case), case.worker);
        }
        if case.works && has_control {
            expect("anybody", ground.process(LOOSE, &case), Fate::Allowed);
        }
    }
    assert!(wrong.is_empty(), "{who}: {wrong:#?}");
    println!("{who}: {} attempts, nothing was had", all().len());
}

/// The same where this is root, whom other rules hold.
fn as_ordinary_user() {
    if !rustix::process::geteuid().is_root() {
        return println!("skipped: root alone can become an ordinary user");
    }
    let folder = tempfile::tempdir().expect("a folder");
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("a folder");
    let program = folder.path().join("hostile_decoder");
    fs::copy(std::env::current_exe().expect("this program"), &program).expect("a copy");
    let status = Command::new(program)
        .arg(AS_USER)
        .current_dir("/")
        .uid(NOBODY)
        .gid(NOBODY)
        .status()
        .expect("this program");
    assert!(status.success(), "as an ordinary user: {status}");
}
