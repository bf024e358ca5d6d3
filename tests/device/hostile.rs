//! Hostile peers on every interface at once, by chance and for a while, and honest ones that
//! must be answered all the same: within a bound, by a device whose memory and disk stay
//! bounded. Loopback and pseudo-terminals alone.
//!
//! `MEDFOCUS_HOSTILE_S` says for how many seconds, `MEDFOCUS_HOSTILE_SEED` where chance begins;
//! the seed is printed, so that a failure comes again as far as threads let it.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Ipv4Addr;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::common::console::Cable;
use crate::common::device::{Device, PATIENCE};
use crate::common::peer::{Peer, connect_from, echoes, instance, loopback, request};
use crate::common::receivers::dead_port;
use crate::common::{pty, spoilt};
use dicom_ul::pdu::PDataValueType;
use firmware_host::message::{self, Request};
use firmware_host::wire::{Packet, pack};
use serde_json::{Value, json};

/// An honest one is answered so soon, on a machine that builds something else meanwhile.
const BOUND: Duration = Duration::from_secs(20);
/// Most memory of the device's own process.
const MOST_MEMORY: u64 = 300 << 20;
/// Most that the state folder may take: store, inbox and journal are bounded by far less here.
const MOST_DISK: u64 = 1 << 30;

/// Splitmix64 (Steele, Lea and Flood, 2014).
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, most: u64) -> u64 {
        self.next() % most
    }

    fn bytes(&mut self, most: u64) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.next() as u8).collect()
    }

    fn nap(&mut self, most_ms: u64) {
        std::thread::sleep(Duration::from_millis(self.below(most_ms)));
    }
}

/// What hostile peers know of the device.
struct Target {
    home: PathBuf,
    port: u16,
    is_over: AtomicBool,
    /// Sessions that were held, so that a run in which nothing happened is none.
    sessions: [AtomicU64; 4],
}

impl Target {
    /// Holds sessions on one interface until the time is over.
    fn besiege(&self, interface: usize, seed: u64, mut session: impl FnMut(&mut Chance)) {
        let mut chance = Chance(seed);
        while !self.is_over.load(Ordering::Relaxed) {
            session(&mut chance);
            self.sessions[interface].fetch_add(1, Ordering::Relaxed);
        }
    }

    fn socket(&self) -> std::io::Result<UnixStream> {
        let socket = UnixStream::connect(self.home.join("state/medfocus.sock"))?;
        socket.set_read_timeout(Some(BOUND))?;
        socket.set_write_timeout(Some(Duration::from_millis(300)))?;
        Ok(socket)
    }
}

/// One session of a hostile DICOM peer; `held` are connections that it keeps open.
fn dicom_session(target: &Target, chance: &mut Chance, held: &mut Vec<std::net::TcpStream>) {
    let address = loopback(2 + chance.below(60) as u8);
    if held.len() > 150 {
        held.remove(0);
    }
    let associate = || Peer::associate(address, "HOSTILE", target.port);
    match chance.below(9) {
        0 => held.extend(connect_from(address, target.port).ok()),
        1 => {
            let Ok(mut stream) = connect_from(address, target.port) else {
                return;
            };
            let part = chance.below(200) as usize;
            let asked = request("HOSTILE");
            let _ = stream.write_all(&asked[..part.min(asked.len())]);
            held.push(stream);
        }
        2 => {
            if let Ok(mut stream) = connect_from(address, target.port) {
                let _ = stream.write_all(&chance.bytes(3000));
            }
        }
        3 => {
            // A request of which a few bytes are others; one that says it is of 4 GiB.
            let spoilt = spoilt(&request("HOSTILE"), chance.next()).next();
            let large = [&[1, 0, 255, 255, 255, 255], &chance.bytes(64)[..]].concat();
            if let Ok(mut stream) = connect_from(address, target.port) {
                let _ = stream.write_all(&spoilt.unwrap_or_default());
                let _ = stream.write_all(&large);
            }
        }
        4 => held.extend(associate().map(|peer| peer.stream)),
        5 => {
            // An instance that is cut short.
            if let Some(mut peer) = associate() {
                let _ = peer.begin_store(&instance(chance.next() as u32, "STAT"));
                for _ in 0..chance.below(5) {
                    let _ = peer.say(3, PDataValueType::Data, &chance.bytes(5000), false);
                }
                held.extend(chance.below(2).eq(&0).then_some(peer.stream));
            }
        }
        6 => {
            if let Some(mut peer) = associate() {
                let _ = peer.begin_store(&instance(chance.next() as u32, "STAT"));
                let _ = peer.say(3, PDataValueType::Data, &chance.bytes(5000), true);
                let _ = peer.say(1, PDataValueType::Command, &chance.bytes(300), true);
            }
        }
        7 => {
            if let Some(mut peer) = associate() {
                for _ in 0..chance.below(20) {
                    peer.echo();
                }
            }
        }
        _ => drop(
            (0..20)
                .map(|_| connect_from(address, target.port))
                .collect::<Vec<_>>(),
        ),
    }
    chance.nap(20);
}

/// One session of a hostile client of the socket.
fn socket_session(target: &Target, chance: &mut Chance, held: &mut Vec<UnixStream>) {
    if held.len() > 80 {
        held.remove(0);
    }
    let Ok(mut socket) = target.socket() else {
        return;
    };
    let submit = |size: u64, chance: &mut Chance| {
        let hash: String = (0..32)
            .map(|_| format!("{:02x}", chance.next() as u8))
            .collect();
        format!(
            "{}\n",
            json!({ "do": "submit", "size": size, "sha256": hash })
        )
    };
    let _ = match chance.below(7) {
        0 => socket.write_all(b"{\"do\":\"status\""),
        1 => socket.write_all(&chance.bytes(2000)),
        2 => socket.write_all(&vec![b'['; 70 << 10]),
        3 => {
            let asked = submit(96 << 20, chance);
            socket.write_all(asked.as_bytes())
        }
        4 => {
            let bytes = chance.bytes(4000);
            let asked = submit(bytes.len() as u64, chance);
            let asked = socket.write_all(asked.as_bytes());
            asked.and_then(|()| socket.write_all(&bytes))
        }
        // Asks and never reads, until it is not listened to.
        5 => (0..2000).try_for_each(|_| socket.write_all(b"{\"do\":\"health\"}\n")),
        _ => socket.write_all(b"{\"do\":\"wait\",\"case\":1,\"seconds\":60}\n"),
    };
    held.extend(chance.below(2).eq(&0).then_some(socket));
    chance.nap(20);
}

/// A hostile person at a console. What the device answers is read or left.
fn console_session(line: &mut pty::End, chance: &mut Chance) {
    let words = [
        "CASE:RUN \"/nowhere\"",
        "CASE:PRI stat",
        "CASE:ABOR",
        "CASE:LIST?",
        "CASE:RES? 1,JSON",
        "SYST:ERR?",
        "*RST",
        "CASE:RUN \"/dev/zero\"",
    ];
    let _ = match chance.below(5) {
        0 => line.write_all(&chance.bytes(600)),
        1 => line.write_all(&vec![b'A'; 3000]),
        2 => line.write_all(b"CASE:RUN \"half"),
        _ => {
            let word = words[chance.below(words.len() as u64) as usize];
            line.write_all(format!("{word}\n").as_bytes())
        }
    };
    if chance.below(2) == 0 {
        let _ = line.read(&mut [0; 4096]);
    }
    chance.nap(20);
}

/// A hostile host on a link: frames of its own making, whole and half.
fn link_session(line: &mut pty::End, chance: &mut Chance) {
    let (nonce, sequence) = (chance.next() as u32, chance.next() as u16 % 64);
    let garbage = chance.bytes(150);
    let put = Request::Put {
        image: [7; 32],
        size: chance.next() as u32,
    };
    let put = message::pack(&put).unwrap_or_default();
    let data = |bytes: &[u8]| {
        pack(&Packet::Data {
            sequence,
            bytes: if bytes.is_empty() { &[0] } else { bytes },
        })
    };
    let frame = match chance.below(7) {
        0 | 1 => pack(&Packet::Open { nonce }),
        2 => data(&put),
        3 => data(&garbage),
        4 => pack(&Packet::Ack { sequence }),
        5 => pack(&Packet::Close),
        _ => None,
    };
    let _ = match frame {
        Some(frame) => line.write_all(&frame),
        // Half a frame, and no frame at all.
        None => line.write_all(&[&[0, 9, 9, 9], &garbage[..]].concat()),
    };
    if chance.below(2) == 0 {
        let _ = line.read(&mut [0; 4096]);
    }
    chance.nap(20);
}

/// What honest ones ask, each within the bound.
struct Honest<'a> {
    target: &'a Target,
    console: Cable,
    rounds: u32,
    /// Instances that were stored.
    stored: u32,
}

impl Honest<'_> {
    fn round(&mut self, device: &Device) {
        let within = |what: &str, done: &mut dyn FnMut() -> bool| {
            let begin = Instant::now();
            // One that is turned away for now asks again, as honest ones do.
            while !done() {
                assert!(begin.elapsed() < BOUND, "{what}: {}", device.log());
                std::thread::sleep(Duration::from_millis(100));
            }
            assert!(begin.elapsed() < BOUND, "{what}: {:?}", begin.elapsed());
        };
        let target = self.target;
        within("C-ECHO", &mut || {
            echoes(Ipv4Addr::LOCALHOST, "UNIT", target.port)
        });
        self.rounds += 1;
        // Each is a case, and all are waited for in the end.
        if self.rounds % 5 == 1 {
            self.stored += 1;
            let object = instance(1_000_000 + self.stored, "LOW");
            within("C-STORE", &mut || {
                let peer = Peer::associate(Ipv4Addr::LOCALHOST, "UNIT", target.port);
                peer.and_then(|mut peer| peer.store(&object)) == Some(0)
            });
        }
        within("the socket", &mut || {
            status(target).is_some_and(|said| said["ok"] == true)
        });
        let begin = Instant::now();
        assert!(self.console.ask("*IDN?").starts_with("medfocus,"));
        assert!(begin.elapsed() < BOUND, "the console");
    }
}

fn status(target: &Target) -> Option<Value> {
    let mut socket = target.socket().ok()?;
    socket.write_all(b"{\"do\":\"status\"}\n").ok()?;
    let mut line = String::new();
    BufReader::new(socket).read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

fn size_of(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let size = |entry: std::fs::DirEntry| match entry.metadata() {
        Ok(about) if about.is_dir() => size_of(&entry.path()),
        Ok(about) => about.len(),
        Err(_) => 0,
    };
    entries.map(size).sum()
}

fn from_environment(name: &str, otherwise: u64) -> u64 {
    let said = std::env::var(name).ok();
    said.and_then(|said| said.parse().ok()).unwrap_or(otherwise)
}

#[test]
fn honest_peers_are_answered_whatever_hostile_ones_do() {
    let seconds = from_environment("MEDFOCUS_HOSTILE_S", 8);
    let seed = from_environment("MEDFOCUS_HOSTILE_SEED", 22);
    println!("MEDFOCUS_HOSTILE_S={seconds} MEDFOCUS_HOSTILE_SEED={seed}");
    let home = tempfile::tempdir().unwrap();
    let port = dead_port();
    let at = |name: &str| home.path().join(name);
    let (mut console_line, _kept) = pty::pair(&at("bad"));
    let (mut link_line, _kept_too) = pty::pair(&at("worse"));
    let console = Cable::plug(&at("good"));
    let mut config = format!(
        "[dicom]\nport = {port}\nopen = true\nhurry = [\"UNIT@127.0.0.1\"]\nidle_s = 3\n\
         instance_s = 4\n[queue]\nmost_waiting = 16\nmost_refused = 200\n"
    );
    for line in ["bad", "worse", "good"] {
        config += &format!("[[serial]]\nport = \"{}\"\n", at(line).display());
    }
    let device = Device::configured(home.path(), &config);
    device.wait_for_open("good", 1);
    let target = Target {
        home: home.path().to_owned(),
        port,
        is_over: AtomicBool::new(false),
        sessions: Default::default(),
    };
    let begin = Instant::now();
    while status(&target).is_none() {
        assert!(begin.elapsed() < PATIENCE, "{}", device.log());
        std::thread::sleep(Duration::from_millis(50));
    }
    let mut honest = Honest {
        target: &target,
        console,
        rounds: 0,
        stored: 0,
    };
    std::thread::scope(|scope| {
        let over = Over(&target.is_over);
        for thread in 0..3 {
            let target = &target;
            scope.spawn(move || {
                let mut held = Vec::new();
                target.besiege(0, seed ^ thread, |chance| {
                    dicom_session(target, chance, &mut held);
                });
            });
        }
        let target = &target;
        scope.spawn(move || {
            let mut held = Vec::new();
            target.besiege(1, seed ^ 77, |chance| {
                socket_session(target, chance, &mut held)
            });
        });
        scope
            .spawn(|| target.besiege(2, seed, |chance| console_session(&mut console_line, chance)));
        scope.spawn(|| target.besiege(3, seed, |chance| link_session(&mut link_line, chance)));
        let end = Instant::now() + Duration::from_secs(seconds);
        while Instant::now() < end {
            honest.round(&device);
            assert!(
                device.resident() < MOST_MEMORY,
                "{} bytes",
                device.resident()
            );
            assert!(size_of(&at("state")) < MOST_DISK);
        }
        drop(over);
    });
    for (interface, sessions) in ["dicom", "socket", "console", "link"]
        .iter()
        .zip(&target.sessions)
    {
        let sessions = sessions.load(Ordering::Relaxed);
        println!("{interface}: {sessions} hostile sessions");
        assert!(sessions > 10, "{interface}: {sessions}");
    }
    println!(
        "{} honest rounds, {} bytes",
        honest.rounds,
        device.resident()
    );
    // What honest ones were told is kept: every instance is answered.
    let wanted = honest.stored as usize;
    let begin = Instant::now();
    loop {
        let answered = device.journal("answered");
        let findings = answered
            .iter()
            .filter(|entry| entry["record"]["status"] == "finding");
        if findings.count() >= wanted {
            break;
        }
        assert!(
            begin.elapsed() < PATIENCE,
            "{wanted} wanted: {}",
            device.log()
        );
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The hostile ones stop, however the honest ones end.
struct Over<'a>(&'a AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}
