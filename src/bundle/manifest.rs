//! `bundle.toml`, read and checked: text comes in, a [`Manifest`] or a sentence with the line comes
//! out. Called by whoever opens a bundle. Unknown keys are refused, so that a misspelt one is never
//! passed over.

use std::collections::BTreeMap;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::{Calibrated, Enrolled, limits, names};
use crate::case::{IntendedUse, TriageLevel};
use crate::focus::{FocusSettings, Strategy};
use crate::gate::{ExamGate, GateSpec, Unsaid};
use crate::patient::{Ages, Sex};
use crate::shown;

/// The only format number that this version reads.
pub const FORMAT: u32 = 1;

/// The whole manifest.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Format of the manifest; 1.
    pub format: u32,
    /// Name of the bundle.
    pub name: String,
    /// Version of the bundle.
    pub version: String,
    /// Which of its maker's releases it is: the higher, the later. A device that has had one
    /// takes no lower one of the same name and key.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub release: u64,
    /// What it may be used for.
    pub intended_use: IntendedUse,
    /// The segmenter.
    pub segmenter: Segmenter,
    /// The image encoder.
    pub image_encoder: Encoder,
    /// The focus styles' numbers.
    pub focus: FocusSettings,
    /// Which images are shown to the models at all; a bundle without one says so in
    /// every finding.
    #[serde(default)]
    pub gate: Option<GateSpec>,
    /// File of the known answers.
    pub known_answers: String,
    /// The clinical questions.
    pub exams: Vec<ExamSpec>,
    /// Whether nodes of the graphs may be others than this engine's, which tract then runs in float:
    /// slower, without a prepared file, and with memory that is estimated. Refused where it is left
    /// out.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub mixed: bool,
    /// SHA-256 of every other file, by its path within the bundle.
    pub files: BTreeMap<String, String>,
}

/// The segmenter's graphs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Segmenter {
    /// Image encoder: pixels to embedding and two finer maps.
    pub encoder: String,
    /// Prompt encoder and mask decoder.
    pub decoder: String,
    /// Encoder of a mask given as a prompt; absent where the segmenter takes none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mask_prompt: Option<String>,
    /// Pixels a side of the encoder's input; a multiple of 16.
    pub input_size: usize,
    /// Channels of the embedding.
    pub width: usize,
    /// Mean subtracted from each channel (values in 0 to 1).
    pub mean: [f32; 3],
    /// Standard deviation that each channel is divided by.
    pub std: [f32; 3],
    /// How the decoder is asked where the user does not.
    pub prompt: Strategy,
    /// A box, too, is closed by a padding point, as SAM2 was trained.
    #[serde(default)]
    pub pads_boxes: bool,
    /// A box is answered by the single mask where that is at least so steady, else by the
    /// best of the others, as SAM2 does; absent where the single mask always answers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub single_mask_from: Option<f32>,
    /// How often the decoder is asked again with its own mask as a further prompt.
    #[serde(default)]
    pub refinements: usize,
    /// Layers that stay in float because int8 would cost too much.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub float_layers: Vec<String>,
}

/// The image encoder's graph.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Encoder {
    /// File of the graph.
    pub graph: String,
    /// Pixels a side of its input.
    pub input_size: usize,
    /// Length of its embedding.
    pub embedding: usize,
    /// Mean subtracted from each channel (values in 0 to 1).
    pub mean: [f32; 3],
    /// Standard deviation that each channel is divided by.
    pub std: [f32; 3],
    /// Layers that stay in float because int8 would cost too much.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub float_layers: Vec<String>,
}

/// One clinical question.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExamSpec {
    /// Short name, as typed.
    pub name: String,
    /// The question, for people.
    pub title: String,
    /// A few words for a small display: what the image is and what is looked for. The name
    /// stands there where this is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub short_title: Option<String>,
    /// DICOM modalities that it is for.
    pub modalities: Vec<String>,
    /// DICOM body parts that it is for.
    pub body_parts: Vec<String>,
    /// DICOM view positions that it is for; empty for any.
    #[serde(default)]
    pub views: Vec<String>,
    /// DICOM lateralities that it is for; empty for any.
    #[serde(default)]
    pub lateralities: Vec<String>,
    /// Ages that it is for, in whole completed years, both ends inside; any where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ages: Option<Ages>,
    /// What becomes of an image of which nobody says the patient's age.
    #[serde(default, skip_serializing_if = "Unsaid::is_note")]
    pub age_unsaid: Unsaid,
    /// Sexes that it is for; empty for any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sexes: Vec<Sex>,
    /// What becomes of an image of which nobody says the patient's sex.
    #[serde(default, skip_serializing_if = "Unsaid::is_note")]
    pub sex_unsaid: Unsaid,
    /// Its kind of image, one of the gate's.
    #[serde(default)]
    pub kind: Option<String>,
    /// The guard against images unlike all that it was trained on.
    #[serde(default)]
    pub guard: Option<GuardSpec>,
    /// File of its fusion head and prototypes.
    pub head: String,
    /// Under this probability of the answered class, the level is `review`.
    pub review_below: f64,
    /// How often the true class must be in the prediction set; 0.9 where absent, as far as
    /// the head has sets at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub coverage: Option<f64>,
    /// How a clinic trained it on its own cases, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrolled: Option<Enrolled>,
    /// How a clinic calibrated it on its own cases, where one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<Calibrated>,
    /// The classes, in the order of the logits.
    pub classes: Vec<Class>,
}

/// The guard of an exam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GuardSpec {
    /// File of the class means and the inverse covariance.
    pub file: String,
    /// The largest distance that is answered.
    pub up_to: f64,
}

impl ExamSpec {
    /// The head that it had before it was trained on a clinic's own cases.
    pub fn start(&self) -> Option<&String> {
        self.enrolled.as_ref()?.start.as_ref()
    }

    fn check_numbers(&self) -> Result<(), String> {
        let flags = self.classes.iter().filter_map(|class| class.flag_from);
        if !flags
            .chain([self.review_below])
            .all(|p| (0.0..=1.0).contains(&p))
        {
            let what = "review_below and flag_from are probabilities: 0 to 1";
            return Err(format!("exam {}: {what}", self.name));
        }
        if self
            .coverage
            .is_some_and(|coverage| !(coverage > 0.0 && coverage < 1.0))
        {
            return Err(format!("exam {}: coverage lies between 0 and 1", self.name));
        }
        Ok(())
    }

    /// A key that says what becomes of an unsaid age needs ages that are asked for.
    fn check_patient(&self) -> Result<(), String> {
        let asks_nothing = |unsaid, of| {
            let name = &self.name;
            Err(format!("exam {name}: {unsaid} asks nothing without {of}"))
        };
        if self.ages.is_none() && self.age_unsaid == Unsaid::Refuse {
            return asks_nothing("age_unsaid", "ages");
        }
        if self.sexes.is_empty() && self.sex_unsaid == Unsaid::Refuse {
            return asks_nothing("sex_unsaid", "sexes");
        }
        Ok(())
    }

    /// What a small display calls it.
    pub fn short_title(&self) -> &str {
        self.short_title.as_deref().unwrap_or(&self.name)
    }

    /// What the exam asks of an image.
    pub fn gate(&self) -> ExamGate<'_> {
        ExamGate {
            name: &self.name,
            kind: self.kind.as_deref(),
            modalities: &self.modalities,
            body_parts: &self.body_parts,
            views: &self.views,
            lateralities: &self.lateralities,
            ages: self.ages,
            age_unsaid: self.age_unsaid,
            sexes: &self.sexes,
            sex_unsaid: self.sex_unsaid,
        }
    }
}

/// One class of an exam.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Class {
    /// Short name, as written to JSON.
    pub name: String,
    /// Label for people.
    pub label: String,
    /// How soon a person should look.
    pub triage_level: TriageLevel,
    /// From this probability on a case is flagged: it is looked at as soon as the class
    /// asks, whatever is answered.
    // Not skipped where it is absent: the worker's protocol tells no fields apart.
    #[serde(default)]
    pub flag_from: Option<f64>,
    /// The text prompts that its prototype is made from.
    pub text_prompts: Vec<String>,
}

impl Manifest {
    /// Reads and checks a manifest.
    ///
    /// # Errors
    /// A sentence that says what is wrong and, where the text itself is, at which line.
    pub fn parse(text: &str) -> Result<Self, String> {
        let manifest: Self = toml::from_str(text).map_err(|error| no_manifest(text, &error))?;
        names::check(&manifest)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The files of segmenter and image encoder; the gate's graph, where there is one, is the
    /// gate's own.
    pub fn graphs(&self) -> [&str; 3] {
        let Segmenter {
            encoder, decoder, ..
        } = &self.segmenter;
        [encoder, decoder, &self.image_encoder.graph]
    }

    /// Whether an exam can be one of this bundle's.
    ///
    /// # Errors
    /// A sentence that says why not.
    pub fn admits(&self, exam: &ExamSpec) -> Result<(), String> {
        exam.check_numbers()?;
        exam.check_patient()?;
        let gate_knows = |kind: &String| self.gate.as_ref().is_some_and(|g| g.kind(kind).is_some());
        match &exam.kind {
            Some(kind) if !gate_knows(kind) => {
                Err(format!("exam {}: the gate knows no kind {kind}", exam.name))
            }
            None if self.gate.is_some() => {
                Err(format!("exam {} names no kind of the gate's", exam.name))
            }
            _ => Ok(()),
        }
    }

    fn check(&self) -> Result<(), String> {
        if self.format != FORMAT {
            return Err(format!(
                "format is {}; this version reads {FORMAT}",
                self.format
            ));
        }
        if self.exams.is_empty() {
            return Err("there is no exam".to_owned());
        }
        if self.segmenter.input_size == 0 || !self.segmenter.input_size.is_multiple_of(16) {
            return Err(format!(
                "segmenter.input_size is {}; a multiple of 16 is needed",
                self.segmenter.input_size
            ));
        }
        if self.image_encoder.input_size == 0 || self.image_encoder.embedding == 0 {
            return Err("image_encoder sizes must be above 0".to_owned());
        }
        if self.segmenter.prompt == Strategy::Grid(0) {
            return Err("a grid of 0 points asks nothing".to_owned());
        }
        if self.segmenter.refinements > 0 && self.segmenter.mask_prompt.is_none() {
            return Err("segmenter.refinements needs segmenter.mask_prompt".to_owned());
        }
        for (name, std) in [
            ("segmenter", self.segmenter.std),
            ("image_encoder", self.image_encoder.std),
        ] {
            if !std.iter().all(|v| v.is_finite() && *v > 0.0) {
                return Err(format!("{name}.std must be above 0"));
            }
        }
        for exam in &self.exams {
            if exam.classes.len() < 2 {
                return Err(format!("exam {} has fewer than two classes", exam.name));
            }
            let same = self
                .exams
                .iter()
                .filter(|other| other.name == exam.name)
                .count();
            if same > 1 {
                return Err(format!("exam {} is there {same} times", exam.name));
            }
            self.admits(exam)?;
        }
        if let Some(fault) = self.gate.as_ref().and_then(GateSpec::fault) {
            return Err(fault);
        }
        limits::check(self)?;
        self.files.keys().try_for_each(|file| check_inside(file))?;
        let named = [
            &self.segmenter.encoder,
            &self.segmenter.decoder,
            &self.image_encoder.graph,
            &self.known_answers,
        ];
        for file in named
            .into_iter()
            .chain(&self.segmenter.mask_prompt)
            .chain(self.exams.iter().map(|exam| &exam.head))
            .chain(
                self.exams
                    .iter()
                    .filter_map(|exam| exam.guard.as_ref().map(|g| &g.file)),
            )
            .chain(self.gate.as_ref().map(|gate| &gate.graph))
            .chain(self.gate.as_ref().and_then(|gate| gate.layouts.as_ref()))
            .chain(self.exams.iter().filter_map(ExamSpec::start))
        {
            if !self.files.contains_key(file) {
                return Err(format!("{file} is used but has no hash under [files]"));
            }
        }
        Ok(())
    }
}

/// A bundle whose maker counts no releases; written as it was before there were any.
fn is_zero(release: &u64) -> bool {
    *release == 0
}

/// One sentence, with the line where that is known.
fn no_manifest(text: &str, error: &toml::de::Error) -> String {
    /// Characters of a line that are repeated.
    const ENOUGH: usize = 80;
    let why = error.message();
    let Some(before) = error.span().and_then(|span| text.get(..span.start)) else {
        return why.to_owned();
    };
    let number = before.matches('\n').count();
    let line: String = text.lines().nth(number).map_or_else(String::new, |line| {
        line.trim().chars().take(ENOUGH).collect()
    });
    format!("line {}, '{}': {why}", number + 1, shown::name(&line))
}

/// A path in a manifest stays inside the bundle.
fn check_inside(file: &str) -> Result<(), String> {
    let plain = Path::new(file)
        .components()
        .all(|part| matches!(part, Component::Normal(_)));
    if plain && !file.is_empty() {
        Ok(())
    } else {
        Err(format!("{file} does not lie inside the bundle"))
    }
}
