//! What `enroll` and `calibrate` have in common: which labelled cases, of which exam, and how
//! a new version of the bundle is made, shown and put in use.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use jiff::Timestamp;
use medfocus::bundle::{
    self, AllTheSame, Bundle, ExamSpec, Outline, SIGNATURE, Source, Store, Trust,
};
use medfocus::case::BundleId;
use medfocus::device::DeviceFault;
use medfocus::enroll::{self, Change, Embeddings, EnrollError, Gathered, Labelled, Register};
use medfocus::files::Folder;
use medfocus::journal::{self, CaseHistory};
use medfocus::shown;
use medfocus::triage::{Figures, LabelledCase};
use serde::{Serialize, Serializer};

use super::bundle::{Terms, put_in_use};
use super::journal::image_of;
use super::printer::bar;
use super::state::StateFolder;
use super::{Failure, TELL, put_pretty, trust_policy};

/// A new version in the state folder, before it is installed.
const NEW: &str = ".new-bundle";

#[derive(Debug, Args)]
pub struct LocalArguments {
    /// Labelled cases: a folder with one folder for each class, or a CSV file with the
    /// columns file,label or case,label (cases of the journal whose images are kept)
    pub cases: Option<PathBuf>,
    /// Folder of the model bundle; where absent, the installed one, else the starter bundle
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    #[command(flatten)]
    state: StateFolder,
    /// Put the new version in use, or write it with --to; without, nothing is changed
    #[arg(long, requires = "by")]
    accept: bool,
    /// Who signs it off; stands in the bundle
    #[arg(long, value_name = "NAME", value_parser = name)]
    pub by: Option<String>,
    /// Write the new version to this folder instead of putting it in use, as to sign it
    #[arg(long, value_name = "DIR", requires = "accept")]
    to: Option<PathBuf>,
    /// Keep nothing at all, not even the embeddings
    #[arg(long, conflicts_with = "accept")]
    dry_run: bool,
    /// Print JSON
    #[arg(long)]
    pub json: bool,
    #[command(flatten)]
    trust: super::trust::TrustArguments,
    #[command(flatten)]
    limits: super::limits::LimitArguments,
}

/// Characters of the name of who signs off.
const MOST_OF_A_NAME: usize = 128;

fn name(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() {
        return Err("name a person, in one line".to_owned());
    }
    if let Some(fault) = shown::fault(text, MOST_OF_A_NAME) {
        return Err(format!("the name {fault}; name a person, in one line"));
    }
    Ok(text.to_owned())
}

/// The bundle that is worked on.
pub struct Base {
    /// Its folder.
    pub folder: PathBuf,
    /// The device's state folder.
    pub state: PathBuf,
    /// Whose bundles may be used.
    trust: Trust,
    /// The bundle.
    pub bundle: Bundle,
}

impl Base {
    /// What the bundle is not for.
    pub fn limits(&self) -> String {
        let word = self.bundle.manifest.intended_use.word();
        format!("for {word} only, not for care\n")
    }
}

impl LocalArguments {
    /// Loads the bundle.
    pub fn base(&self) -> Result<Base, Failure> {
        let state = self.state.enter()?;
        let installed = || Store::of(&state).current();
        let folder = self.bundle.clone().or_else(installed);
        let folder = folder.map_or_else(bundle::find, Ok)?;
        let trust = self.trust.trust()?;
        let bundle = Bundle::load_trusted(&folder, &trust, None, &self.limits.engine())?;
        Ok(Base {
            trust,
            folder,
            state,
            bundle,
        })
    }

    /// The labelled cases of an exam, and those of the register, embedded.
    pub fn gather(
        &self,
        base: &Base,
        exam: &ExamSpec,
        register: &Register,
    ) -> Result<Gathered, Failure> {
        let classes: Vec<String> = exam.classes.iter().map(|c| c.name.clone()).collect();
        let labelled = match &self.cases {
            None => Vec::new(),
            Some(path) if path.is_dir() => enroll::from_folders(path, &classes)?,
            Some(path) => listed(&base.state, path, &classes)?,
        };
        let progress: ProgressBar = bar(labelled.len());
        let kept = Embeddings::open(&base.state, &base.bundle, exam, !self.dry_run)?;
        let mut tick = || progress.inc(1);
        let gathered = enroll::gather(&base.bundle, exam, &labelled, register, &kept, &mut tick);
        progress.finish_and_clear();
        Ok(gathered?)
    }

    /// Puts a changed exam in use, or writes it where that was asked for; nothing without
    /// `--accept`.
    pub fn settle(&self, base: &Base, change: Change) -> Result<Settled, Failure> {
        if !self.accept {
            return Ok(Settled::Proposed);
        }
        if self.to.is_none() && !Store::of(&base.state).may_be_written() {
            return Err(apart());
        }
        let is_signed = base.folder.join(SIGNATURE).exists();
        let (outline, place) = match &self.to {
            Some(to) => {
                let outline = enroll::write(&base.bundle, &base.folder, change, to)?;
                (outline, to.clone())
            }
            None if is_signed => {
                let name = format!("{} {}", base.bundle.id.name, base.bundle.id.version);
                return Err(EnrollError::Unsigned { name }.into());
            }
            None => install(base, change)?,
        };
        Ok(Settled::Written {
            outline,
            place,
            is_in_use: self.to.is_none(),
            is_signed,
        })
    }
}

/// The device itself may not change what it answers with, and root works in its state folder as
/// the device.
fn apart() -> Failure {
    let what = "this user may not put bundles in use on this device";
    let help = "write the new version with --to DIR, and install it as root: medfocus bundle \
                install DIR";
    Failure::Declined {
        device_fault: DeviceFault::new("bundles_apart", what, help),
        exit: 1,
    }
}

/// The cases of a CSV file.
fn listed(state: &Path, file: &Path, classes: &[String]) -> Result<Vec<Labelled>, Failure> {
    // Read once it is asked for: a list of files needs no journal.
    let known: RefCell<Option<BTreeMap<u64, CaseHistory>>> = RefCell::new(None);
    let image = |number: u64| {
        let mut known = known.borrow_mut();
        if known.is_none() {
            let history = journal::history(state).map_err(|error| error.to_string())?;
            *known = Some(history.cases());
        }
        let case = known.as_ref().and_then(|cases| cases.get(&number));
        let case = case.ok_or_else(|| format!("the journal knows no case {number}"))?;
        let path = match (&case.end, &case.accepted) {
            (Some(journal::End::Answered { image, .. }), Some(accepted)) => {
                Some(image_of(state, *image, &accepted.order))
            }
            _ => None,
        };
        Ok(path.filter(|path| path.exists()))
    };
    Ok(enroll::from_csv(file, classes, &image)?)
}

/// Writes the new version beside the installed ones and installs it.
fn install(base: &Base, change: Change) -> Result<(Outline, PathBuf), Failure> {
    // Of two at once, the second waits.
    let state = Folder::open(&base.state).map_err(|error| Failure::write_file(&error))?;
    let _held = state.lock().map_err(|error| Failure::write_file(&error))?;
    let part = base.state.join(NEW);
    let sweep = || match state.remove_tree(NEW) {
        Err(error) if !error.is_missing() => Err(Failure::write_file(&error)),
        _ => Ok(()),
    };
    sweep()?;
    let place = enroll::write(&base.bundle, &base.folder, change, &part).map_err(Failure::from);
    let place = place.and_then(|outline| {
        let store = Store::of(&base.state);
        let policy = trust_policy::of(&base.state, None)?;
        let terms = Terms {
            device: &policy.trust,
            asked: &base.trust,
            all_the_same: AllTheSame::default(),
        };
        if store.current().is_none() || store.left().is_some() {
            // There must be one to roll back to.
            put_in_use(&store, &Source::open(&base.folder)?, &terms)?;
        }
        let place = put_in_use(&store, &Source::open(&part)?, &terms)?;
        Ok((outline, place))
    });
    sweep()?;
    place
}

/// What became of a new version.
pub enum Settled {
    /// Nothing was changed: it would be no better.
    NoGain,
    /// Nothing was changed: nobody asked for it.
    Proposed,
    /// It was written.
    Written {
        /// What it is.
        outline: Outline,
        /// Where it lies.
        place: PathBuf,
        /// Whether it answers from now on.
        is_in_use: bool,
        /// Whether the bundle that it was made from was signed.
        is_signed: bool,
    },
}

impl Settled {
    /// Whether a new version was made.
    pub fn is_written(&self) -> bool {
        matches!(self, Self::Written { .. })
    }

    /// For people.
    pub fn text(&self) -> String {
        let (outline, place, is_in_use, is_signed) = match self {
            Self::NoGain => return "\nnothing was changed\n".to_owned(),
            Self::Proposed => {
                return "\nnothing was changed; --accept --by NAME puts this in use\n".to_owned();
            }
            Self::Written {
                outline,
                place,
                is_in_use,
                is_signed,
            } => (outline, place, is_in_use, is_signed),
        };
        let (version, place) = (&outline.id.version, shown::name(place));
        let mut text = match is_in_use {
            true => format!(
                "\nversion {version} is in use: {place}\n{TELL}\n\
                 back to the one before: medfocus bundle rollback\n"
            ),
            false => format!("\nversion {version} was written: {place}\n"),
        };
        if *is_signed {
            text += &format!(
                "the bundle was signed, this version is not yet:\n  medfocus bundle sign {place} \
                 --key FILE\n  medfocus bundle install {place}\n"
            );
        }
        text
    }

    /// For programs: the keys that say what became of it.
    fn keys(&self) -> SettledKeys<'_> {
        let (status, needs_signature, bundle) = match self {
            Self::NoGain => ("no_gain", None, None),
            Self::Proposed => ("proposed", None, None),
            Self::Written {
                outline,
                is_in_use,
                is_signed,
                ..
            } => {
                let status = if *is_in_use { "in_use" } else { "written" };
                (status, Some(*is_signed), Some(&outline.id))
            }
        };
        SettledKeys {
            status,
            needs_signature,
            bundle,
        }
    }
}

#[derive(Serialize)]
struct SettledKeys<'a> {
    status: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    needs_signature: Option<bool>,
    bundle: Option<&'a BundleId>,
}

/// Today, UTC.
pub fn today() -> String {
    Timestamp::now().strftime("%Y-%m-%d").to_string()
}

/// Cases by class, in the bundle's order.
pub fn counted(exam: &ExamSpec, cases: &[LabelledCase]) -> Vec<(String, usize)> {
    let names = exam.classes.iter().map(|class| (class.name.clone(), 0));
    let mut counts: Vec<(String, usize)> = names.collect();
    for case in cases {
        counts[case.label].1 += 1;
    }
    counts
}

/// For people: which cases were had, and which were left out; what a text begins with.
pub fn cases_text(exam: &ExamSpec, gathered: &Gathered) -> String {
    let counts = counted(exam, &gathered.cases);
    let by_class = in_words(counts.iter().map(|(class, count)| (class, count)));
    let (name, cases) = (&exam.name, gathered.cases.len());
    let mut text = format!("{name}: {cases} cases: {by_class}\n");
    if !gathered.left_out.is_empty() {
        text += &format!("left out: {}\n", in_words(&gathered.left_out));
    }
    text
}

/// What programs are told: the cases, what a command says of them, and what became of it.
#[derive(Serialize)]
struct AllSaid<'a, S> {
    exam: &'a str,
    #[serde(serialize_with = "by_name")]
    cases: Vec<(String, usize)>,
    left_out: &'a BTreeMap<&'static str, usize>,
    #[serde(flatten)]
    said: S,
    #[serde(flatten)]
    settled: SettledKeys<'a>,
}

/// Prints for programs what a command says of an exam and its cases.
pub fn put_said(
    exam: &ExamSpec,
    gathered: &Gathered,
    said: impl Serialize,
    settled: &Settled,
) -> Result<(), Failure> {
    put_pretty(&AllSaid {
        exam: &exam.name,
        cases: counted(exam, &gathered.cases),
        left_out: &gathered.left_out,
        said,
        settled: settled.keys(),
    })
}

fn by_name<S: Serializer>(counts: &[(String, usize)], to: S) -> Result<S::Ok, S::Error> {
    to.collect_map(counts.iter().map(|(name, count)| (name, count)))
}

/// `glioma 12, meningioma 9`.
fn in_words<'a, N: std::fmt::Display + 'a>(
    counts: impl IntoIterator<Item = (N, &'a usize)>,
) -> String {
    let words = counts.into_iter();
    let words: Vec<String> = words
        .map(|(what, count)| format!("{what} {count}"))
        .collect();
    words.join(", ")
}

/// Figures side by side.
pub fn table(columns: &[(&str, Option<Figures>)]) -> String {
    type Row = (&'static str, fn(&Figures) -> f64);
    let rows: [Row; 4] = [
        ("accuracy", |f| f.accuracy),
        ("balanced accuracy", |f| f.balanced_accuracy),
        ("log loss", |f| f.log_loss),
        ("calibration error", |f| f.ece),
    ];
    let mut text = " ".repeat(22);
    text += &columns
        .iter()
        .map(|(name, _)| format!("{name:>12}"))
        .collect::<String>();
    for (name, figure) in rows {
        text += &format!("\n  {name:<20}");
        for (_, figures) in columns {
            text += &match figures {
                Some(figures) => format!("{:>12.3}", figure(figures)),
                None => format!("{:>12}", "-"),
            };
        }
    }
    text + "\n"
}

impl From<EnrollError> for Failure {
    fn from(error: EnrollError) -> Self {
        let exit = match error {
            EnrollError::Source { .. } | EnrollError::NewExam { .. } => 2,
            EnrollError::TooFew { .. }
            | EnrollError::Conflict { .. }
            | EnrollError::NoGain { .. }
            | EnrollError::Unsigned { .. } => 1,
            _ => 3,
        };
        let device_fault = DeviceFault::new(error.code(), &error, error.help());
        Self::Declined { device_fault, exit }
    }
}
