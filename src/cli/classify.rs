//! `medfocus classify`: images in, findings out. Reads files and folders, answers each exam, prints
//! the findings and writes what `--write` and `--overlay` ask for. Works without a device and keeps
//! no journal.

use std::path::{Path, PathBuf};

use clap::Args;
use indicatif::ProgressBar;
use medfocus::bundle::{self, Bundle, Exam};
use medfocus::case::{Channel, Outcome, Record, Refusal, Refused, Timings};
use medfocus::files::{self, Folder};
use medfocus::focus::{Prompt, Style};
use medfocus::image::{self, FrameChoice, Image};
use medfocus::pipeline::{self, Overrides, Stage};
use medfocus::report::{self, Case, Moment};
use medfocus::sha256::Sha256;
use medfocus::shown;

use super::printer::{Format, Printer, bar};
use super::{Failure, exam, sources, state, tell};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  medfocus classify chest.png --exam lung_tb2 --overlay out.png
  medfocus classify folder/ --exam all --format ndjson > findings.ndjson
  medfocus classify us.png --exam breast3 --prompt box:120,80,200,150 --focus overlay")]
pub struct ClassifyArguments {
    /// Images (DICOM, PNG, JPEG, PGM/PPM, TIFF, BMP) or folders of them
    #[arg(required = true)]
    images: Vec<PathBuf>,
    /// Exam to answer, or `all`; where absent, the one that the image itself asks for
    #[arg(long, value_name = "NAME")]
    exam: Option<String>,
    /// Folder of the model bundle; where absent, the starter bundle
    #[arg(long, value_name = "DIR")]
    bundle: Option<PathBuf>,
    /// How to write the findings
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
    /// Write a picture with the region and the answer; a folder for several answers
    #[arg(long, value_name = "OUT.png")]
    overlay: Option<PathBuf>,
    #[command(flatten)]
    outputs: super::outputs::OutputArguments,
    /// Ask the segmenter for this place, in the image's pixels; may be given several times
    #[arg(long, value_name = "box:X,Y,W,H|point:X,Y[,+|-]", num_args = 1..)]
    prompt: Vec<Prompt>,
    /// Focus style instead of the bundle's: overlay, blur, crop, cutout or none
    #[arg(long, value_name = "STYLE")]
    focus: Option<Style>,
    /// Answer even where the gate or the guard refuses; the finding is marked
    #[arg(long)]
    force: bool,
    /// Frame or page of a file with several, counted from 1: a number, middle or all; without
    /// it, the middle frame of a DICOM object, and no page of another file with several
    #[arg(long, value_name = "N|middle|all", value_parser = frames)]
    frame: Option<Frames>,
    #[command(flatten)]
    patient: super::patient::PatientArguments,
    #[command(flatten)]
    trust: super::trust::TrustArguments,
    #[command(flatten)]
    limits: super::limits::LimitArguments,
    /// Show the milliseconds of each stage
    #[arg(long)]
    timings: bool,
}

/// Which frames of a file are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Frames {
    One(FrameChoice),
    All,
}

fn frames(text: &str) -> Result<Frames, String> {
    match text {
        "all" => Ok(Frames::All),
        one => one
            .parse()
            .map(Frames::One)
            .map_err(|_| "give a number from 1, middle or all".to_owned()),
    }
}

/// Which exams each image is asked.
enum Asked<'a> {
    These(Vec<&'a Exam>),
    WhatTheImageSays,
}

pub fn run(arguments: &ClassifyArguments) -> Result<(), Failure> {
    let engine = arguments.limits.engine();
    let folder = arguments.bundle.clone().map_or_else(bundle::find, Ok)?;
    let key = state::folder(None).ok();
    let key = key.and_then(|state| bundle::prepared_key(&state));
    let bundle = Bundle::load_trusted(&folder, &arguments.trust.trust()?, key.as_ref(), &engine)?;
    let asked = asked(arguments, &bundle)?;
    let files = if arguments.outputs.deidentify {
        sources::expand_unnamed(&arguments.images)
    } else {
        sources::expand(&arguments.images)
    };
    if files.is_empty() {
        return Err(Failure::Usage("the folders hold no image".to_owned()));
    }
    let answers_each = if let Asked::These(exams) = &asked {
        exams.len()
    } else {
        1
    };
    let frames = arguments.frame.unwrap_or(Frames::One(FrameChoice::Unsaid));
    let several = files.len() * answers_each > 1 || frames == Frames::All;
    if let (true, Some(out)) = (several, &arguments.overlay) {
        Folder::make(out).map_err(|e| Failure::write_file(&e))?;
    }
    let mut printer = Printer::new(arguments.format, several, arguments.timings);
    let pictures = pictures(files, frames, arguments.outputs.deidentify);
    let progress = bar(pictures.len());
    let (mut any_refused, mut incomplete) = (false, 0);
    for picture in &pictures {
        let ended = classify(
            arguments,
            &bundle,
            &asked,
            picture,
            several,
            &mut printer,
            &progress,
        )?;
        any_refused |= ended.is_refused;
        incomplete += usize::from(ended.lacks_a_file);
        progress.inc(1);
    }
    progress.finish_and_clear();
    printer.finish()?;
    if incomplete > 0 {
        Err(Failure::Usage(format!(
            "not all that --write asks for could be written: {incomplete} of {} images",
            pictures.len()
        )))
    } else if any_refused {
        Err(Failure::Refused)
    } else {
        Ok(())
    }
}

fn asked<'a>(arguments: &ClassifyArguments, bundle: &'a Bundle) -> Result<Asked<'a>, Failure> {
    match arguments.exam.as_deref() {
        None => Ok(Asked::WhatTheImageSays),
        Some("all") => Ok(Asked::These(bundle.exams.iter().collect())),
        Some(name) => Ok(Asked::These(vec![exam(bundle, name)?])),
    }
}

/// One frame of a file.
struct Picture {
    file: PathBuf,
    /// What the file is called in every answer.
    name: String,
    frame: FrameChoice,
}

/// Every frame that is to be answered. A file that cannot be read is kept, so that it is
/// refused by name. A path may tell whose image it is: where nothing may, a file is called by
/// its place.
fn pictures(files: Vec<PathBuf>, frames: Frames, unnamed: bool) -> Vec<Picture> {
    let count = |file: &Path| {
        let first = image::read_frame(file, FrameChoice::Number(1)).ok()?;
        first.metadata.frame.map(|(_, count)| count)
    };
    let of_file = |(at, file): (usize, PathBuf)| {
        let frames = match frames {
            Frames::One(frame) => vec![frame],
            Frames::All => (1..=count(&file).unwrap_or(1))
                .map(FrameChoice::Number)
                .collect(),
        };
        let name = match unnamed {
            true => format!("image {}", at + 1),
            false => file.display().to_string(),
        };
        let picture = move |frame| Picture {
            file: file.clone(),
            name: name.clone(),
            frame,
        };
        frames.into_iter().map(picture)
    };
    files.into_iter().enumerate().flat_map(of_file).collect()
}

/// What became of one picture.
#[derive(Debug, Default)]
struct Ended {
    /// Whether any exam was refused.
    is_refused: bool,
    /// Whether a file that was asked for cannot be made of it; that has been said.
    lacks_a_file: bool,
}

/// Answers one picture.
fn classify(
    arguments: &ClassifyArguments,
    bundle: &Bundle,
    asked: &Asked<'_>,
    picture: &Picture,
    several: bool,
    printer: &mut Printer,
    progress: &ProgressBar,
) -> Result<Ended, Failure> {
    let source = &picture.name;
    let mut timings = Timings::new();
    let mut print =
        |record: &Record, title: Option<&str>| progress.suspend(|| printer.print(record, title));
    let (image, exams) = match decode(arguments, bundle, asked, picture, &mut timings) {
        Ok(parts) => parts,
        Err(undecided) => {
            let Undecided {
                case,
                image,
                refused,
            } = *undecided;
            let about = About {
                bundle,
                source,
                image,
                timings: &timings,
            };
            print(&about.record(case, Outcome::Refusal(refused)), None)?;
            return Ok(Ended {
                is_refused: true,
                ..Ended::default()
            });
        }
    };
    let overrides = Overrides {
        prompts: arguments.prompt.clone(),
        focus: arguments.focus,
        force: arguments.force,
    };
    let outcomes = match may_be_shown(arguments, &image) {
        Ok(()) => pipeline::run(bundle, &image, &exams, &overrides, &mut timings)?,
        Err(refusal) => exams
            .iter()
            .map(|exam| (*exam, Err(refusal.clone())))
            .collect(),
    };
    let (mut is_refused, mut missing) = (false, None);
    let about = About {
        bundle,
        source,
        image: Some(image.sha256),
        timings: &timings,
    };
    for (exam, outcome) in outcomes {
        let name = &exam.spec.name;
        let case = Some(pipeline::case_id(&image, name));
        match outcome {
            Ok((mut finding, region)) => {
                if arguments.outputs.deidentify {
                    finding.patient = finding.patient.deidentified();
                    finding.anatomy = std::mem::take(&mut finding.anatomy).deidentified();
                }
                let outcome = Outcome::Finding(Box::new(finding.clone()));
                let record = about.record(case, outcome);
                let case = Case {
                    record: &record,
                    finding: &finding,
                    title: &exam.spec.title,
                    image: &image,
                    mask: &region,
                    now: Moment::now(),
                    point: None,
                    deidentify: arguments.outputs.deidentify,
                };
                let written = write_files(arguments, picture, several, &case);
                print(&record, Some(&exam.spec.title))?;
                // Whatever became of the files, the answer is told.
                missing = written?.or(missing);
            }
            Err(refusal) => {
                is_refused = true;
                let refusal = without_words(arguments, refusal);
                let refused = refused(Some(name.clone()), refusal, source);
                print(&about.record(case, Outcome::Refusal(refused)), None)?;
            }
        }
    }
    if let Some(why) = &missing {
        progress.suspend(|| tell(&format!("{}: {why}", shown::name(source))));
    }
    Ok(Ended {
        is_refused,
        lacks_a_file: missing.is_some(),
    })
}

/// A refusal as it may be told: with --deidentify, without the header's own words.
fn without_words(arguments: &ClassifyArguments, refusal: Refusal) -> Refusal {
    if arguments.outputs.deidentify {
        refusal.deidentified()
    } else {
        refusal
    }
}

/// Whether the pictures that were asked for may be made of this image.
fn may_be_shown(arguments: &ClassifyArguments, image: &Image) -> Result<(), Refusal> {
    let outputs = &arguments.outputs;
    if outputs.deidentify && (arguments.overlay.is_some() || outputs.show_the_image()) {
        image.cleaned()?;
    }
    Ok(())
}

/// The overlay and the other files of one finding, as far as they were asked for; the sentence
/// says what cannot be made of such an image.
fn write_files(
    arguments: &ClassifyArguments,
    picture: &Picture,
    several: bool,
    case: &Case<'_>,
) -> Result<Option<String>, Failure> {
    if let Some(out) = &arguments.overlay {
        let path = if several {
            overlay_path(out, picture, case.id(), case.deidentify)
        } else {
            out.clone()
        };
        let failed =
            |error: &dyn std::fmt::Display| Failure::write(&path.display().to_string(), error);
        let picture = report::overlay(case).map_err(|error| failed(&error))?;
        let picture =
            report::png(&picture, Some(case.image.sha256)).map_err(|error| failed(&error))?;
        files::put(&path, &picture).map_err(|error| Failure::write_file(&error))?;
    }
    arguments.outputs.write(case)
}

/// A refusal of an image that no exam can be asked.
struct Undecided {
    /// What the case is called, where the image could be read.
    case: Option<String>,
    /// The image's SHA-256, where it could be read.
    image: Option<Sha256>,
    refused: Refused,
}

/// What stands around every answer about one picture.
struct About<'a> {
    bundle: &'a Bundle,
    source: &'a str,
    image: Option<Sha256>,
    timings: &'a Timings,
}

impl About<'_> {
    fn record(&self, case: Option<String>, outcome: Outcome) -> Record {
        let by = self.bundle.provenance();
        Record {
            image: self.image,
            timings: self.timings.clone(),
            ..Record::new(case, self.source, outcome, by)
        }
    }
}

/// A refusal of a picture that is called so.
fn refused(exam: Option<String>, refusal: Refusal, source: &str) -> Refused {
    Refused::new(exam, refusal.about(source), Channel::CommandLine)
}

/// The image, and the exams that it is asked.
fn decode<'a>(
    arguments: &ClassifyArguments,
    bundle: &'a Bundle,
    asked: &Asked<'a>,
    picture: &Picture,
    timings: &mut Timings,
) -> Result<(Image, Vec<&'a Exam>), Box<Undecided>> {
    let Picture { file, name, frame } = picture;
    let image = pipeline::observe(timings, Stage::Decode, || {
        image::read_frame_as(file, name, *frame)
    });
    let told = image.and_then(|image| {
        let image = match arguments.outputs.nothing_burned_in {
            true => image.looked_at(),
            false => image,
        };
        image.told(arguments.patient.patient())
    });
    let image = told.map_err(|refusal| {
        let exam = match asked {
            Asked::These(exams) if exams.len() == 1 => Some(exams[0].spec.name.clone()),
            _ => None,
        };
        Box::new(Undecided {
            case: None,
            image: None,
            refused: refused(exam, refusal, name),
        })
    })?;
    let exams = match asked {
        Asked::These(exams) => exams.clone(),
        Asked::WhatTheImageSays => {
            let exam = pipeline::exam_of(bundle, &image);
            vec![exam.map_err(|refusal| {
                Box::new(Undecided {
                    case: Some(pipeline::case_id(&image, "none")),
                    image: Some(image.sha256),
                    refused: refused(None, without_words(arguments, refusal), name),
                })
            })?]
        }
    };
    Ok((image, exams))
}

fn overlay_path(folder: &Path, picture: &Picture, case: &str, unnamed: bool) -> PathBuf {
    if unnamed {
        return folder.join(format!("{case}.png"));
    }
    let stem = picture.file.file_stem().unwrap_or_default();
    folder.join(format!("{}.{case}.png", stem.to_string_lossy()))
}
