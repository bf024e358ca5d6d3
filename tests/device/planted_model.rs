//! An adversary with rights to every folder that a device shares with others: for some seconds
//! it plants links, pipes, folders, hard links and files, under names that can be foretold and
//! under those that it sees, and swaps whole folders for links, while honest images come in.
//!
//! The oracle: nothing outside of the folders was changed or removed; the device's journal only
//! grew and is whole; no image was answered that nobody gave; the device answers all the time,
//! and once the adversary is gone, what it writes is its own.
//!
//! `MEDFOCUS_PLANTED_SEED` runs a round again, `MEDFOCUS_PLANTED_SECONDS` makes it longer.
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;
use std::os::unix::fs::{PermissionsExt, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::clinic::{hash, image};
use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use serde_json::Value;

/// How long the adversary is at work, where nothing else is said.
const SECONDS: u64 = 6;
/// The folders that others may write.
const SHARED: [&str; 3] = ["in", "results", "shown"];
/// The user that a service runs as.
const SERVICE: u32 = 65_533;
/// Whose links the adversary plants then.
const OTHER: u32 = 65_534;

/// Chance that can be repeated (xorshift64*).
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let word = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        word as usize % end
    }

    fn of<'a, T>(&mut self, these: &'a [T]) -> &'a T {
        &these[self.below(these.len())]
    }
}

struct Place {
    home: tempfile::TempDir,
    device: Device,
    console: Cable,
    id: String,
    /// The device is another user than the adversary.
    as_another: bool,
}

/// What lies in a folder, and the content of files.
fn picture(folder: &Path) -> BTreeMap<PathBuf, Option<Vec<u8>>> {
    let mut all = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        // Not what else may have come: nobody writes into a pipe.
        let content = kind.is_file().then(|| std::fs::read(&path).unwrap());
        all.insert(path, content);
    }
    all
}

/// Whether the program can be started as another user here.
fn starts_as_another() -> bool {
    let mut tried = Command::new(env!("CARGO_BIN_EXE_medfocus"));
    tried.arg("--version").uid(SERVICE).gid(SERVICE);
    let is_there = tried.stdout(Stdio::null()).status();
    rustix::process::geteuid().is_root() && is_there.is_ok_and(|status| status.success())
}

impl Place {
    fn open(as_another: bool) -> Self {
        let home = tempfile::tempdir().unwrap();
        let at = |name: &str| home.path().join(name);
        let console = Cable::plug(&at("port"));
        for name in [&SHARED[..], &["state", "treasure"]].concat() {
            std::fs::create_dir(at(name)).unwrap();
        }
        for (name, content) in [("text", b"not yours".to_vec()), ("secret.png", image(150))] {
            std::fs::write(at("treasure").join(name), content).unwrap();
        }
        let config = format!(
            "[[serial]]\nport = \"{}\"\n[[folder]]\npath = \"{}\"\nexam = \"brain4\"\n\
             settle_s = 0\npoll_s = 1\n[results]\nfolder = \"{}\"\n[[display]]\n\
             place = \"png:{}\"\n",
            at("port").display(),
            at("in").display(),
            at("results").display(),
            at("shown").display(),
        );
        std::fs::write(at("medfocus.toml"), config).unwrap();
        let file = at("medfocus.toml").display().to_string();
        let mut command = Device::command(home.path(), &[], 115_200, &["--config", &file]);
        command.arg("--bundle").arg(crate::common::starter());
        for path in SHARED.map(at) {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).unwrap();
        }
        if as_another {
            let mode = std::fs::Permissions::from_mode(0o755);
            std::fs::set_permissions(home.path(), mode).unwrap();
            let port = at("port").canonicalize().unwrap();
            let its = ["state", "treasure", "treasure/text", "treasure/secret.png"].map(at);
            for path in its.iter().chain([&port]) {
                lchown(path, Some(SERVICE), Some(SERVICE)).unwrap();
            }
            command.uid(SERVICE).gid(SERVICE);
        }
        let device = Device::start_as(home.path(), &["port"], command);
        let mut place = Self {
            home,
            device,
            console,
            id: String::new(),
            as_another,
        };
        let identity = place.console.ask("*IDN?");
        place.id = identity.split(',').nth(2).unwrap().to_owned();
        place
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// A name under which the device may write or read next.
    fn name(&self, folder: &str, chance: &mut Chance) -> String {
        let seen: Vec<String> = std::fs::read_dir(self.at(folder))
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        if !seen.is_empty() && chance.below(2) == 0 {
            return chance.of(&seen).clone();
        }
        let case = 1 + chance.below(20);
        let names = match folder {
            "in" => vec![
                "taken".to_owned(),
                "rejected".to_owned(),
                format!("{case}.png"),
                format!(".{case}-{case}.png"),
                // Never through a link that it planted there itself.
                match self.at("in/taken").symlink_metadata() {
                    Ok(about) if about.is_dir() => format!("taken/{case}-{case}.png"),
                    _ => "taken".to_owned(),
                },
            ],
            "results" => vec![
                format!(".{}-{case}.json.part", self.id),
                format!("{}-{case}.json", self.id),
                format!("{}-{case}.overlay.png", self.id),
            ],
            _ => vec![
                ".now.png.part".to_owned(),
                "now.png".to_owned(),
                "finding.png".to_owned(),
                ".finding.png.part".to_owned(),
            ],
        };
        chance.of(&names).clone()
    }

    /// One act of the adversary. Whatever fails has been done by the device before.
    fn plant(&self, chance: &mut Chance) {
        let folder = *chance.of(&SHARED);
        if chance.below(40) == 0 {
            return self.swap(folder, chance);
        }
        let path = self.at(folder).join(self.name(folder, chance));
        if chance.below(3) > 0 {
            let stolen = self.at("stolen").join(chance.below(1000).to_string());
            let _ = std::fs::create_dir(self.at("stolen"));
            let _ = std::fs::rename(&path, stolen);
        }
        let targets = [
            "treasure/text",
            "treasure/secret.png",
            "treasure/new",
            "treasure",
            "state/journal.ndjson",
            "state/device-id",
            "state",
        ];
        let target = self.at(targets[chance.below(targets.len())]);
        match chance.below(6) {
            0 | 1 => self.link(&target, &path),
            2 => {
                let special = chance.of(&["/dev/zero", "/dev/stdin"]);
                self.link(Path::new(special), &path);
            }
            // Not of the image: who links it there has given it.
            3 => drop(std::fs::hard_link(self.at("treasure/text"), &path)),
            4 => drop(std::fs::create_dir(&path)),
            _ => {
                let mode = rustix::fs::Mode::from_raw_mode(0o666);
                let kind = rustix::fs::FileType::Fifo;
                let _ = rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0);
            }
        }
    }

    /// A whole folder is a link elsewhere for a moment.
    fn swap(&self, folder: &str, chance: &mut Chance) {
        let (path, away) = (self.at(folder), self.at("away"));
        std::fs::rename(&path, &away).unwrap();
        // A device follows a link of its own user's, as the operator would have made it; only
        // the state folder is never watched, whoever leads there.
        let targets = match (folder, self.as_another) {
            ("in", _) | (_, true) => ["state", "treasure"],
            _ => ["none", "medfocus.toml"],
        };
        let target = match folder {
            "in" => targets[0],
            _ => *chance.of(&targets),
        };
        self.link(&self.at(target), &path);
        std::thread::sleep(Duration::from_millis(chance.below(300) as u64));
        // Between both the device may have made the folder that was missing.
        let _ = std::fs::remove_file(&path);
        let _ = std::fs::remove_dir_all(&path);
        std::fs::rename(&away, &path).unwrap();
        let _ = std::fs::remove_dir_all(self.at("none"));
    }

    /// A link of another user's than the device's, where there is one.
    fn link(&self, target: &Path, path: &Path) {
        let made = symlink(target, path);
        if self.as_another && made.is_ok() {
            let _ = lchown(path, Some(OTHER), Some(OTHER));
        }
    }

    /// Nothing that was planted is left.
    fn clear(&self) {
        for folder in SHARED {
            for entry in std::fs::read_dir(self.at(folder)).unwrap().flatten() {
                let removed = match entry.file_type().unwrap().is_dir() {
                    true => std::fs::remove_dir_all(entry.path()),
                    false => std::fs::remove_file(entry.path()),
                };
                removed.unwrap_or_else(|error| println!("left: {error}"));
            }
        }
    }

    fn give(&self, number: u8) {
        let part = self.at(&format!("{number}.part"));
        std::fs::write(&part, image(number)).unwrap();
        let _ = std::fs::rename(part, self.at("in").join(format!("{number}.png")));
    }

    fn is_well(&mut self) {
        let begin = Instant::now();
        let status = self.console.ask("STAT?");
        assert!(!status.contains("safe_state"), "{status}");
        assert!(begin.elapsed() < Duration::from_secs(10), "it waits");
    }

    fn wait_for(&self, what: &str, is_so: impl Fn() -> bool) {
        let begin = Instant::now();
        while !is_so() {
            assert!(begin.elapsed() < PATIENCE, "{what}: {}", self.device.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

fn round(as_another: bool) {
    let now = std::time::SystemTime::now();
    let since = now.duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = number("MEDFOCUS_PLANTED_SEED").unwrap_or(since.as_nanos() as u64) | 1;
    println!("seed {seed}, as another user: {as_another}");
    let mut chance = Chance(seed);
    let mut place = Place::open(as_another);
    let treasure = picture(&place.at("treasure"));
    let device_id = std::fs::read(place.at("state/device-id")).unwrap();
    let mut journal = std::fs::read(place.at("state/journal.ndjson")).unwrap();
    let seconds = number("MEDFOCUS_PLANTED_SECONDS").unwrap_or(SECONDS);
    let (begin, mut given) = (Instant::now(), 0);
    while begin.elapsed() < Duration::from_secs(seconds) {
        for _ in 0..40 {
            place.plant(&mut chance);
            std::thread::sleep(Duration::from_micros(chance.below(4000) as u64));
        }
        if given < 100 {
            place.give(given);
            given += 1;
        }
        place.is_well();
        assert_eq!(picture(&place.at("treasure")), treasure, "seed {seed}");
        let now = std::fs::read(place.at("state/journal.ndjson")).unwrap();
        assert!(
            now.starts_with(&journal),
            "seed {seed}: the journal changed"
        );
        journal = now;
    }
    // The adversary is gone: what comes now is answered, and written by the device.
    place.clear();
    let last = image(given);
    place.give(given);
    let name = format!("{given}.png");
    let taken = || {
        let entries = std::fs::read_dir(place.at("in/taken"))
            .into_iter()
            .flatten();
        let mut names = entries.flatten().map(|entry| entry.file_name());
        names.any(|taken| taken.to_string_lossy().ends_with(&format!("-{name}")))
    };
    place.wait_for("the last image", taken);
    let answered = place.device.journal("answered");
    let honest: Vec<Value> = (0..=given).map(|number| hash(&image(number))).collect();
    for entry in &answered {
        let is_refusal = entry["record"]["status"] == "refusal";
        assert!(
            is_refusal || honest.contains(&entry["image"]),
            "seed {seed}: {entry}"
        );
        assert_ne!(
            entry["image"],
            hash(&image(150)),
            "seed {seed}: a secret was read"
        );
    }
    let of_last = answered.iter().find(|entry| entry["image"] == hash(&last));
    let case = of_last.expect("it was answered")["case"].clone();
    let result = place
        .at("results")
        .join(format!("{}-{case}.json", place.id));
    place.wait_for("the last result", || result.is_file());
    let told: Value = serde_json::from_slice(&std::fs::read(result).unwrap()).unwrap();
    assert_eq!(told["image_sha256"], hash(&last));
    assert_eq!(picture(&place.at("treasure")), treasure, "seed {seed}");
    assert_eq!(
        std::fs::read(place.at("state/device-id")).unwrap(),
        device_id
    );
    for stray in ["taken", "rejected"] {
        assert!(
            !place.at("state").join(stray).exists(),
            "seed {seed}: {stray}"
        );
    }
    let state = place.at("state").display().to_string();
    place.device.kill();
    let verified = crate::common::medfocus(&["journal", "--state", &state, "verify"]);
    assert!(verified.status.success(), "seed {seed}: {verified:?}");
}

#[test]
fn whatever_others_plant_nothing_outside_changes_and_the_device_answers() {
    round(false);
}

#[test]
fn the_same_where_the_device_is_a_user_and_the_adversary_root() {
    if starts_as_another() {
        round(true);
    } else {
        println!("skipped: it takes root, and a program that others may start");
    }
}
