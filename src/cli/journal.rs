//! `medfocus journal list|show|verify|adopt|export|replay`: what the device did, read while it
//! runs or after. Only `show` and `list` say where an image lay: its name may tell whose
//! it is.

mod verify;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use medfocus::bundle::{self, Bundle};
use medfocus::case::Order;
use medfocus::device::{self, run_case};
use medfocus::engine::Engine;
use medfocus::journal::{self, Acceptance, CaseHistory, Difference, End, History, Keys, Recorded};
use medfocus::sha256::Sha256;
use medfocus::shown;
use serde::Serialize;

use super::state::StateFolder;
use super::{Failure, put, put_json};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  medfocus journal list --last 5
  medfocus journal show 12
  medfocus journal verify
  medfocus journal export --format csv > cases.csv
  medfocus journal replay 12")]
pub struct JournalArguments {
    #[command(flatten)]
    state: StateFolder,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// List the last cases and what became of them
    List {
        /// How many
        #[arg(long, value_name = "N", default_value_t = 20)]
        last: usize,
    },
    /// Show every entry about one case
    Show {
        /// The case's number
        case: u64,
    },
    /// Say what the journal proves: whole by its chain, signed by the device's key
    Verify(verify::Asked),
    /// Take a journal on as this device's, whosever it was and whatever was wrong with it
    #[command(after_help = "\
For a device that found its journal cut or changed, once somebody has looked into it, and for a
new board that goes on with the journal of an old one. The device must not be running. It is
written down, and verify shows it for ever.

Examples:
  medfocus journal adopt --because 'board changed 2026-12-01, J. Otieno'")]
    Adopt {
        /// Who does this and why, in one line
        #[arg(long, value_name = "TEXT")]
        because: String,
    },
    /// Write what became of every case to standard output, without the images' paths
    Export {
        /// How it is written
        #[arg(long, value_enum, default_value_t = Format::Csv)]
        format: Format,
    },
    /// Run a case once more from its image: the answer must be the same
    #[command(after_help = "\
Exit codes: 0 the same answer, 1 another one, 3 it cannot be run again: no image, another
image, another bundle.")]
    Replay {
        /// The case's number
        case: u64,
        /// Folder of the bundle that answered; the starter bundle where none is given
        #[arg(long, value_name = "DIR")]
        bundle: Option<PathBuf>,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    Csv,
    Json,
}

pub fn run(arguments: &JournalArguments) -> Result<(), Failure> {
    let folder = arguments.state.enter()?;
    let history = || journal::history(&folder);
    match &arguments.action {
        Action::Verify(asked) => verify::run(&folder, asked),
        Action::Adopt { because } => verify::adopt(&folder, because),
        Action::Show { case } => show(&history()?, *case),
        Action::List { last } => list(&history()?.cases(), *last),
        Action::Export { format } => match format {
            Format::Csv => csv(&history()?.cases()),
            Format::Json => export_json(&history()?.cases()),
        },
        Action::Replay { case, bundle } => {
            replay(&folder, history()?.cases(), *case, bundle.clone())
        }
    }
}

fn show(history: &History, case: u64) -> Result<(), Failure> {
    let lines = history.lines.iter().map(|(line, _)| line);
    let about = lines.filter(|line| line.entry.case() == Some(case));
    let text: Vec<String> = about
        .map(|line| serde_json::to_string_pretty(line).unwrap_or_default())
        .collect();
    if text.is_empty() {
        return Err(no_such(case));
    }
    put_json(&(text.join("\n") + "\n"))
}

fn no_such(case: u64) -> Failure {
    Failure::Usage(format!("the journal knows no case {case}"))
}

/// One case on a line, or in an object: everything but where its image lay.
struct Row {
    state: &'static str,
    ended: Option<String>,
    exam: String,
    class: String,
    probability: String,
    level: String,
    code: String,
}

impl Row {
    fn of(case: &CaseHistory) -> Self {
        let mut row = Self {
            state: "open",
            ended: None,
            exam: order(case)
                .and_then(|order| order.exam.clone())
                .unwrap_or_default(),
            class: String::new(),
            probability: String::new(),
            level: String::new(),
            code: String::new(),
        };
        match &case.end {
            None => {}
            Some(End::Aborted { time }) => {
                row.state = "aborted";
                row.ended = Some(time.to_string());
            }
            Some(End::Answered { time, record, .. }) => {
                row.ended = Some(time.to_string());
                row.answered(record);
            }
        }
        row
    }

    fn answered(&mut self, record: &Recorded) {
        let gist = record.gist();
        self.state = match gist.is_finding {
            true => "finding",
            false => "refusal",
        };
        if let Some(code) = gist.code {
            code.word().clone_into(&mut self.code);
        }
        let Some(record) = record.record() else {
            return;
        };
        if let Some(exam) = record.exam() {
            exam.clone_into(&mut self.exam);
        }
        if let Some(finding) = record.finding() {
            let class = finding.class();
            self.class.clone_from(&class.class);
            self.probability = format!("{:.3}", class.probability);
            finding.triage_level.word().clone_into(&mut self.level);
        }
    }
}

fn list(cases: &BTreeMap<u64, CaseHistory>, last: usize) -> Result<(), Failure> {
    let mut text = String::new();
    for (number, case) in cases.iter().skip(cases.len().saturating_sub(last)) {
        let row = Row::of(case);
        let what = [
            row.exam.as_str(),
            &row.class,
            &row.probability,
            &row.level,
            &row.code,
        ];
        let what: Vec<&str> = what.into_iter().filter(|word| !word.is_empty()).collect();
        text += &format!(
            "{number:>6}  {:<20}  {:<8} {}  {}\n",
            accepted(case).map_or_else(String::new, |time| format!("{time:.0}")),
            row.state,
            shown::name(&what.join(" ")),
            order(case).map_or_else(
                || "(its order is damaged)".to_owned(),
                |order| shown::name(&order.source).to_string()
            )
        );
    }
    put(&text)
}

fn order(case: &CaseHistory) -> Option<&Order> {
    case.accepted.as_ref().map(|accepted| &accepted.order)
}

fn accepted(case: &CaseHistory) -> Option<Timestamp> {
    case.accepted.as_ref().map(|accepted| accepted.time)
}

/// The sinks that have the answer safe.
fn delivered(case: &CaseHistory) -> Vec<String> {
    case.delivered.iter().cloned().collect()
}

const COLUMNS: [&str; 13] = [
    "case",
    "accepted",
    "ended",
    "state",
    "exam",
    "class",
    "probability",
    "triage_level",
    "code",
    "delivered",
    "image_sha256",
    "bundle",
    "bundle_sha256",
];

fn csv(cases: &BTreeMap<u64, CaseHistory>) -> Result<(), Failure> {
    let mut out = csv::Writer::from_writer(Vec::new());
    let failed = |error: csv::Error| Failure::write("the table", &error);
    out.write_record(COLUMNS).map_err(failed)?;
    for (number, case) in cases {
        let row = Row::of(case);
        let (image, bundle) = provenance(case);
        let fields = [
            number.to_string(),
            accepted(case).map_or_else(String::new, |time| time.to_string()),
            row.ended.unwrap_or_default(),
            row.state.to_owned(),
            row.exam,
            row.class,
            row.probability,
            row.level,
            row.code,
            delivered(case).join(" "),
            image,
            bundle[0].clone(),
            bundle[1].clone(),
        ];
        out.write_record(fields).map_err(failed)?;
    }
    let text = out
        .into_inner()
        .map_err(|error| Failure::write("the table", &error))?;
    put(&String::from_utf8_lossy(&text))
}

/// The hash of a case's image; name and version of its bundle, and its hash.
fn provenance(case: &CaseHistory) -> (String, [String; 2]) {
    let Some(End::Answered { image, bundle, .. }) = &case.end else {
        return Default::default();
    };
    let bundle = bundle.as_ref().map(|id| {
        let name = format!("{} {}", id.name, id.version);
        [name, id.sha256.clone()]
    });
    let image = image.map(|sha256| sha256.to_string());
    (image.unwrap_or_default(), bundle.unwrap_or_default())
}

/// A case as programs are told it.
#[derive(Serialize)]
struct Exported {
    case: u64,
    accepted: Option<Timestamp>,
    ended: Option<String>,
    state: &'static str,
    delivered: Vec<String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    delivery_notes: BTreeMap<String, Vec<String>>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    declined: BTreeMap<String, String>,
    #[serde(flatten)]
    answered: Option<Answered>,
}

#[derive(Serialize)]
struct Answered {
    image_sha256: Option<Sha256>,
    answer: Keys,
}

fn export_json(cases: &BTreeMap<u64, CaseHistory>) -> Result<(), Failure> {
    for (number, case) in cases {
        let row = Row::of(case);
        let mut notes = case.notes.clone();
        notes.retain(|_, notes| !notes.is_empty());
        let exported = Exported {
            case: *number,
            accepted: accepted(case),
            ended: row.ended,
            state: row.state,
            delivered: delivered(case),
            delivery_notes: notes,
            declined: case.declined.clone(),
            answered: match &case.end {
                Some(End::Answered { image, record, .. }) => Some(Answered {
                    image_sha256: *image,
                    answer: record.without_paths(),
                }),
                _ => None,
            },
        };
        // Texts, numbers and lists of them: there is nothing that JSON could not hold.
        let json = serde_json::to_string(&exported).unwrap_or_default();
        put_json(&(json + "\n"))?;
    }
    Ok(())
}

/// Where the image of an answered case lies: kept, in the store, or where it lay.
pub(super) fn image_of(state: &Path, sha256: Option<Sha256>, order: &Order) -> PathBuf {
    let own = |sha256: Sha256| [device::kept(state, &sha256), device::stored(state, &sha256)];
    let mut own = sha256.map(own).into_iter().flatten();
    let own = own.find(|path| path.exists());
    own.unwrap_or_else(|| PathBuf::from(&order.source))
}

fn replay(
    state: &Path,
    mut cases: BTreeMap<u64, CaseHistory>,
    number: u64,
    folder: Option<PathBuf>,
) -> Result<(), Failure> {
    let case = cases.remove(&number).ok_or_else(|| no_such(number))?;
    let Some(End::Answered {
        image,
        bundle,
        record,
        ..
    }) = case.end
    else {
        return Err(Failure::Usage(format!("case {number} has no answer")));
    };
    let Some(Acceptance { order, .. }) = case.accepted else {
        return Err(Failure::Device {
            code: "replay",
            message: format!("case {number}: the entry that says what was asked is damaged"),
            help: "medfocus journal show and export tell its answer",
        });
    };
    let other = |what: &str, was: &str, is: &str| Failure::Device {
        code: "replay",
        message: format!("case {number}: {what} was {was}; here it is {is}"),
        help: "give the bundle that answered with --bundle, and put the image where it lay",
    };
    let loaded = Bundle::load(&folder.map_or_else(bundle::find, Ok)?, &Engine::default())?;
    let answered = bundle.map(|id| id.sha256).unwrap_or_default();
    if answered != loaded.id.sha256 {
        return Err(other("the bundle's SHA-256", &answered, &loaded.id.sha256));
    }
    let path = image_of(state, image, &order);
    if image.is_some() && !path.exists() {
        return Err(Failure::Device {
            code: "replay",
            message: if case.is_purged {
                format!("case {number}: its image is kept no longer")
            } else {
                format!("case {number}: its image is not where it lay")
            },
            help: "put the image where it lay; the configuration's section keep says how long \
                   the device keeps images",
        });
    }
    let again = run_case(&loaded, number, &order, &path);
    if again.image != image {
        let word = |hash: Option<Sha256>| hash.map_or("none".to_owned(), |hash| hash.to_string());
        let (was, is) = (word(image), word(again.image));
        return Err(other("the image's SHA-256", &was, &is));
    }
    let was = record.keys_without(&["timings_ms"]);
    let is = Recorded::from(again).keys_without(&["timings_ms"]);
    if was == is {
        return put(&format!("case {number}: the same answer, key by key\n"));
    }
    let mut text = format!("case {number}: another answer\n");
    for Difference { key, was, is } in was.differences(&is) {
        text += &format!("  {key}: was {was}, is {is}\n");
    }
    put(&text)?;
    Err(Failure::Refused)
}
