//! `medfocus journal verify` and `adopt`: says what a journal proves and what not; has the device
//! go on with a journal that it would not believe. `verify` changes nothing.

use std::path::Path;

use clap::Args;
use medfocus::clock::Clock;
use medfocus::device_key;
use medfocus::device_key::PublicKey;
use medfocus::files::{self, Folder};
use medfocus::journal::{self, How, Journal, Known, Report, Whole, stretches};
use medfocus::shown;
use serde::Serialize;

use crate::cli::{Failure, put, put_pretty};

#[derive(Debug, Args)]
#[command(after_help = "\
Exit codes:
  0  it is whole; with --against, the point is one of its chain, and its signature this device's
  1  it is whole, and the device found it changed before: see journal adopt
  3  it is not whole, another device's, or the point is none of its chain

Examples:
  medfocus journal verify
  medfocus journal verify --against \"$(jq -c .journal finding.json)\"
  medfocus journal verify --state copy --key 3f0c...e1 --against 412:9a41...07
  medfocus journal verify --json | jq .faults")]
pub struct Asked {
    /// A point of the journal as it was told: HEAD, NUMBER:HEAD, NUMBER:HEAD:SIGNATURE or the
    /// JSON of a finding
    #[arg(long, value_name = "POINT")]
    against: Option<Known>,
    /// The device's public key, or a file that holds it, instead of the state folder's
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// Print all of it, as JSON
    #[arg(long)]
    json: bool,
}

/// Bytes of a file that holds a key, far more than it has.
const MOST_OF_A_KEY: u64 = 4096;

/// Has the service's key handed over as a sealed credential.
const DROP_IN: &str = "/etc/systemd/system/medfocus.service.d/device-key.conf";

pub fn run(folder: &Path, asked: &Asked) -> Result<(), Failure> {
    let key = asked.key.as_deref().map(key).transpose()?;
    let report = journal::verify(folder, key, asked.against)?;
    let path = folder.join(journal::FILE);
    if asked.json {
        put_pretty(&said(&path, &report))?;
    } else {
        put(&text(&shown::name(&path).to_string(), &report))?;
    }
    match report.whole() {
        Whole::Yes => Ok(()),
        Whole::Open => Err(Failure::Refused),
        Whole::No => Err(fault(&path, &report)),
    }
}

fn key(named: &str) -> Result<PublicKey, Failure> {
    if let Ok(key) = named.parse() {
        return Ok(key);
    }
    let read = files::read_text(Path::new(named), MOST_OF_A_KEY);
    let key = match &read {
        Ok(text) => text.trim().parse().map_err(|_| "it holds none".to_owned()),
        Err(error) => Err(error.cause.to_string()),
    };
    key.map_err(|why| {
        Failure::Usage(format!(
            "'{named}' is neither a device's public key (64 hexadecimal digits) nor a file that \
             holds one: {why}"
        ))
    })
}

/// What programs are told.
#[derive(Serialize)]
struct Said<'a> {
    #[serde(flatten)]
    report: &'a Report,
    file: String,
    verdict: &'static str,
    fingerprint: Option<String>,
}

fn said<'a>(file: &Path, report: &'a Report) -> Said<'a> {
    Said {
        report,
        file: file.display().to_string(),
        verdict: match report.whole() {
            Whole::Yes => "whole",
            Whole::Open => "open",
            Whole::No => "not_whole",
        },
        fingerprint: report.key.map(|key| key.fingerprint()),
    }
}

fn text(file: &str, report: &Report) -> String {
    let end = &report.end;
    let mut lines = vec![if report.damaged.is_empty() && end.seq > 0 {
        let entries = report.entries;
        format!(
            "{file}: {entries} entries, all whole by their chain; it ends in {}:{}",
            end.seq, end.head
        )
    } else {
        format!("{file}: {} whole entries", report.entries)
    }];
    lines.push(match (&report.origin, &report.key) {
        (Some(origin), Some(key)) => {
            let (device, print) = (origin.device, key.fingerprint());
            format!("of device {device}; signatures compared with the key {print}")
        }
        (Some(origin), None) => format!(
            "of device {}; the key that it names, {}, was not compared with any: give --key",
            origin.device,
            origin.key.fingerprint()
        ),
        (None, _) => "it does not say whose it is: no newer program went on with it".to_owned(),
    });
    if !report.signed.is_empty() {
        let signed = stretches(&report.signed);
        lines.push(format!("signed by the device: {signed}"));
    }
    if !report.found_unsigned.is_empty() {
        let found = stretches(&report.found_unsigned);
        lines.push(format!(
            "of these found unsigned at a start, written by whomever: {found}"
        ));
    }
    let noted = report.not_as_left.iter().map(|(entry, how)| {
        let what = how.what();
        format!("entry {entry}: the device found that {what}")
    });
    lines.extend(noted);
    let adopted = report.adopted.iter();
    lines.extend(adopted.map(|entry| format!("entry {entry}: a person had the device take it on")));
    if report.key.is_some() && !report.is_mark_compared {
        lines.push(
            "not compared with the mark: device-mark is not here, or only the device's user may \
             read it"
                .to_owned(),
        );
    }
    lines.push(match report.signed_to() {
        Some(last) => format!(
            "nothing in these files proves that entries after {last} were not cut off: a point \
             that was told elsewhere does (--against)"
        ),
        None => "no entry of it is signed: the chain finds accidents, and no person who wrote \
                 it anew"
            .to_owned(),
    });
    if let Some(against) = &report.against {
        lines.push(match against.entry {
            Some(entry) => format!("the point that was given is entry {entry} of this chain"),
            None => "the point that was given is none of this chain".to_owned(),
        });
        lines.extend(against.is_signed.map(|is_signed| {
            let word = if is_signed { "is" } else { "is not" };
            format!("its signature {word} the device's")
        }));
    }
    lines.join("\n") + "\n"
}

fn fault(file: &Path, report: &Report) -> Failure {
    let code = report.faults.first().copied().unwrap_or("journal");
    let (what, help) = match code {
        "journal" => (
            format!("damaged: {}", stretches(&report.damaged)),
            "all other entries are whole and can be exported; keep the file for whoever looks \
             into it, and start the device on a new state folder",
        ),
        "journal_empty" => (
            "there is no entry in it".to_owned(),
            "name the state folder of a device that was started, with --state",
        ),
        "journal_foreign" => (
            "its key is not the one that it was compared with".to_owned(),
            "compare the fingerprints with what was written down when the device was set up; \
             --key gives the one that you trust",
        ),
        "journal_forged" => (
            "it holds points that this device's key did not sign".to_owned(),
            journal::CURE,
        ),
        "point_not_found" => (
            "the point that was given is none of its chain: it was cut, or written anew".to_owned(),
            journal::CURE,
        ),
        "point_not_signed" => (
            "the signature of the point that was given is not this device's".to_owned(),
            "look whether the point was copied whole, and whether it is of this device",
        ),
        code => {
            let how = How::ALL.into_iter().find(|how| how.code() == code);
            let what = how.map_or(code, How::what);
            let left = report.mark.map_or_else(String::new, |mark| {
                format!("; the device left it at entry {}", mark.seq)
            });
            (format!("{what}{left}"), journal::CURE)
        }
    };
    Failure::Device {
        code,
        message: format!("{}: {what}", file.display()),
        help,
    }
}

/// Has the device take on a journal, and says what was wrong with it.
pub fn adopt(folder: &Path, because: &str) -> Result<(), Failure> {
    let because = because.trim();
    if because.is_empty() || because.len() > 500 || because.chars().any(char::is_control) {
        let wrong = "--because takes one line of up to 500 bytes: who, and why";
        return Err(Failure::Usage(wrong.to_owned()));
    }
    // On a path that was mistyped there is nothing to take on, and nothing is begun.
    let names = [journal::FILE, device_key::FILE, device_key::PUBLIC_FILE];
    let has = |name: &&str| Folder::open(folder).is_ok_and(|f| f.has(name).unwrap_or(true));
    if !names.iter().any(has) {
        return Err(Failure::Device {
            code: "nothing_to_adopt",
            message: format!("{}: no device has worked here", shown::name(folder)),
            help: "name the device's state folder with --state",
        });
    }
    let was = Journal::adopt(folder, because, Clock::system()).map_err(|error| match error.code() {
        "device_key_missing" if Path::new(DROP_IN).exists() => Failure::Device {
            code: "device_key_missing",
            message: error.to_string(),
            help: "the key is sealed as a credential of the service: have systemd-run hand it to \
                   this command (docs/journal.md, A key that lies nowhere unsealed)",
        },
        _ => error.into(),
    })?;
    let file = folder.join(journal::FILE);
    put(&format!("{}: taken on; {was}\n", shown::name(&file)))
}
