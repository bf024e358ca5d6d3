//! `medfocus calibrate`: probabilities, prediction sets and thresholds that hold on a clinic's
//! own cases.

use std::path::PathBuf;

use clap::Args;
use medfocus::bundle::{Calibrated, ExamSpec};
use medfocus::case::{IntendedUse, TriageLevel};
use medfocus::enroll::{Change, EnrollError, Gathered, Register};
use medfocus::files;
use medfocus::report::{self, Curves};
use medfocus::triage::{
    COVERAGE, Calibration, Figures, OneClass, OperatingPoint, Rate, SetFigures, Step, calibrate,
    calibration_needs, cases_needed, threshold,
};
use serde::Serialize;

use super::local::{self, Settled, cases_text, counted, table, today};
use super::{Failure, exam, put};

#[derive(Debug, Args)]
#[command(after_help = "\
Give cases that the exam was not trained on; those that were enrolled are left out. A third of
them sets the temperature, everything else is measured on the others.

Examples:
  medfocus calibrate labelled/ --exam lung_tb2 --png lung.png
  medfocus calibrate labelled/ --exam lung_tb2 --class tuberculosis --sensitivity 0.95
  medfocus calibrate labelled/ --exam lung_tb2 --class tuberculosis --cost 20 \\
    --accept --by \"A. Radiologist\"

Exit codes: 0 done, 1 refused (too few cases, a signed bundle), 2 wrong usage, 3 the device
cannot work.")]
pub struct CalibrateArguments {
    /// Exam that is calibrated
    #[arg(long, value_name = "NAME")]
    exam: String,
    /// How often the true class must be in the prediction set; 0.9 where neither this nor the
    /// exam says
    #[arg(long, value_name = "SHARE", value_parser = share)]
    coverage: Option<f64>,
    /// Class whose thresholds are shown; where absent, the one that hurries most
    #[arg(long, value_name = "NAME")]
    class: Option<String>,
    /// Flag a case from the probability on that finds this share of the class's cases
    #[arg(long, value_name = "SHARE", requires = "class", value_parser = share)]
    sensitivity: Option<f64>,
    /// Flag a case where missing it would cost so many times what a false alarm costs
    #[arg(
        long,
        value_name = "TIMES",
        requires = "class",
        conflicts_with = "sensitivity",
        value_parser = times
    )]
    cost: Option<f64>,
    /// Write a picture of the ROC and of how often answers of each probability are right
    #[arg(long, value_name = "OUT.png")]
    png: Option<PathBuf>,
    #[command(flatten)]
    local: local::LocalArguments,
}

fn share(text: &str) -> Result<f64, String> {
    let value = text
        .parse()
        .ok()
        .filter(|share| *share > 0.0 && *share < 1.0);
    value.ok_or_else(|| "give a share between 0 and 1, as 0.95".to_owned())
}

fn times(text: &str) -> Result<f64, String> {
    let value = text
        .parse()
        .ok()
        .filter(|times: &f64| times.is_finite() && *times > 0.0);
    value.ok_or_else(|| "give a number above 0".to_owned())
}

/// Thresholds that are shown in any case.
const SHOWN: [f64; 9] = [0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 0.9];

/// One class against all others.
struct Curve {
    class: usize,
    one: OneClass,
    chosen: Option<OperatingPoint>,
}

pub fn run(arguments: &CalibrateArguments) -> Result<(), Failure> {
    let base = arguments.local.base()?;
    let found = exam(&base.bundle, &arguments.exam)?;
    let spec = &found.spec;
    let class = class(arguments, spec)?;
    let mut gathered = arguments.local.gather(&base, spec, &Register::default())?;
    leave_out_enrolled(&mut gathered, &Register::read(&base.state, &spec.name)?);
    let coverage = arguments.coverage.or(spec.coverage).unwrap_or(COVERAGE);
    let made = enough(spec, &gathered, coverage).and_then(|()| {
        let made = calibrate(&found.head, found.guard.as_ref(), &gathered.cases, coverage);
        made.ok_or_else(|| too_few(&gathered, coverage))
    })?;
    let one = OneClass::of(&made.probabilities, &made.labels, class);
    let chosen = choose(arguments, spec, &one, class)?;
    let curve = Curve { class, one, chosen };
    if let Some(path) = &arguments.png {
        draw(path, spec, &made, &curve, base.bundle.manifest.intended_use)?;
    }
    let change = change(arguments, spec, &made, &gathered, &curve);
    let settled = arguments.local.settle(&base, change)?;
    let was = found.head.temperature();
    match arguments.local.json {
        true => {
            let said = said(spec, &made, was, &curve);
            local::put_said(spec, &gathered, said, &settled)
        }
        false => {
            let text = in_text(spec, &gathered, &made, was, &curve, &settled);
            put(&(text + &base.limits()))
        }
    }
}

fn class(arguments: &CalibrateArguments, spec: &ExamSpec) -> Result<usize, Failure> {
    let Some(name) = &arguments.class else {
        let is = |level| {
            spec.classes
                .iter()
                .position(|class| class.triage_level == level)
        };
        let most = is(TriageLevel::Urgent).or_else(|| is(TriageLevel::Priority));
        return Ok(most.unwrap_or(0));
    };
    let found = spec.classes.iter().position(|class| class.name == *name);
    found.ok_or_else(|| {
        let names: Vec<&str> = spec
            .classes
            .iter()
            .map(|class| class.name.as_str())
            .collect();
        let (exam, names) = (&spec.name, names.join(", "));
        Failure::Usage(format!(
            "exam {exam} has no class '{name}'; there are {names}"
        ))
    })
}

/// What a head was trained on tells nothing of how well it does.
fn leave_out_enrolled(gathered: &mut Gathered, register: &Register) {
    let before = gathered.cases.len();
    let is_new = |key: &String| !register.cases.contains_key(key);
    gathered.cases.retain(|case| is_new(&case.key));
    if gathered.cases.len() < before {
        let count = before - gathered.cases.len();
        gathered.left_out.insert("enrolled", count);
    }
}

/// Two of each class are there to be parted.
fn enough(spec: &ExamSpec, gathered: &Gathered, coverage: f64) -> Result<(), EnrollError> {
    let counts = counted(spec, &gathered.cases);
    let lacking = counts.into_iter().filter(|(_, count)| *count < 2);
    let mut lacking: Vec<_> = lacking.map(|(class, count)| (class, count, 2)).collect();
    if gathered.cases.len() < calibration_needs(coverage) {
        lacking.push(all_together(gathered, coverage));
    }
    match lacking.is_empty() {
        true => Ok(()),
        false => Err(EnrollError::TooFew { lacking }),
    }
}

fn all_together(gathered: &Gathered, coverage: f64) -> (String, usize, usize) {
    let what = format!("coverage {coverage}");
    (what, gathered.cases.len(), calibration_needs(coverage))
}

fn too_few(gathered: &Gathered, coverage: f64) -> EnrollError {
    let (what, has, needed) = all_together(gathered, coverage);
    // Parting each class into three may leave one case less to measure on.
    let lacking = vec![(what, has, needed.max(has + 1))];
    EnrollError::TooFew { lacking }
}

/// The threshold that was asked for.
fn choose(
    arguments: &CalibrateArguments,
    spec: &ExamSpec,
    one: &OneClass,
    class: usize,
) -> Result<Option<OperatingPoint>, EnrollError> {
    if let Some(cost) = arguments.cost {
        // With probabilities that hold, the cheapest there is.
        return Ok(Some(one.at(1.0 / (1.0 + cost))));
    }
    let Some(sensitivity) = arguments.sensitivity else {
        return Ok(None);
    };
    let missing: Vec<f64> = one.own().iter().map(|p| 1.0 - p).collect();
    let highest = threshold(&missing, sensitivity).ok_or_else(|| EnrollError::TooFew {
        lacking: vec![(
            format!("sensitivity {sensitivity} of {}", spec.classes[class].name),
            one.own().len(),
            cases_needed(sensitivity),
        )],
    })?;
    // Rounded down, as it is written: the case at the threshold stays flagged.
    Ok(Some(one.at(((1.0 - highest) * 1e4).floor() / 1e4)))
}

fn change(
    arguments: &CalibrateArguments,
    spec: &ExamSpec,
    made: &Calibration,
    gathered: &Gathered,
    curve: &Curve,
) -> Change {
    let mut exam = spec.clone();
    if let Some(chosen) = &curve.chosen {
        exam.classes[curve.class].flag_from = Some(chosen.threshold);
    }
    exam.coverage = arguments.coverage.or(spec.coverage);
    let counts = counted(spec, &gathered.cases);
    exam.calibrated = Some(Calibrated {
        by: arguments.local.by.clone().unwrap_or_default(),
        date: today(),
        coverages: made.sets.iter().map(|set| set.coverage).collect(),
        cases: counts.into_iter().collect(),
        before: made.before,
        after: made.after,
    });
    Change {
        exam,
        head: made.head.clone(),
        files: Default::default(),
    }
}

/// The thresholds of the table, with the chosen one among them.
fn shown(curve: &Curve) -> Vec<OperatingPoint> {
    let mut points: Vec<OperatingPoint> = SHOWN.iter().map(|t| curve.one.at(*t)).collect();
    points.extend(curve.chosen);
    points.sort_by(|a, b| a.threshold.total_cmp(&b.threshold));
    points.dedup();
    points
}

fn interval(rate: &Rate) -> String {
    format!("{:.3} ({:.3} to {:.3})", rate.share, rate.low, rate.high)
}

fn in_text(
    spec: &ExamSpec,
    gathered: &Gathered,
    made: &Calibration,
    was: f64,
    curve: &Curve,
    settled: &Settled,
) -> String {
    let mut text = cases_text(spec, gathered);
    let (temperature, measured) = (made.head.temperature(), made.labels.len());
    let temperature = match temperature == was {
        true => format!("{was:.3} stays, another is no better"),
        false => format!("{was:.3} to {temperature:.3}"),
    };
    let fitted = made.fitted_on;
    text += &format!(
        "temperature {temperature} on {fitted} of them; measured on the other {measured}:\n\n"
    );
    text += &table(&[("before", Some(made.before)), ("after", Some(made.after))]);
    text += "\nprediction sets, cross-validated (95 % intervals)\n";
    text += "  coverage  held the true class         classes on average\n";
    for set in &made.sets {
        let each = if set.by_class { "  of each class" } else { "" };
        text += &format!(
            "  {:<8}  {:<26}  {:.2}{each}\n",
            set.coverage,
            interval(&set.covered),
            set.classes
        );
    }
    let class = &spec.classes[curve.class].name;
    text += &format!(
        "\n{class} against all others: area under the curve {:.3}\n",
        curve.one.area()
    );
    text += "  flag from  sensitivity               specificity\n";
    for point in shown(curve) {
        let mark = if Some(point) == curve.chosen {
            "  chosen"
        } else {
            ""
        };
        text += &format!(
            "  {:<9.4}  {:<24}  {}{mark}\n",
            point.threshold,
            interval(&point.sensitivity),
            interval(&point.specificity)
        );
    }
    text + &settled.text()
}

/// What programs are told.
#[derive(Serialize)]
struct Said<'a> {
    fitted_on: usize,
    measured_on: usize,
    temperature: Temperature,
    before: Figures,
    after: Figures,
    reliability: &'a [Step],
    prediction_sets: &'a [SetFigures],
    class: &'a str,
    area_under_curve: f64,
    thresholds: Vec<OperatingPoint>,
    flag_from: Option<f64>,
}

#[derive(Serialize)]
struct Temperature {
    before: f64,
    after: f64,
}

fn said<'a>(spec: &'a ExamSpec, made: &'a Calibration, was: f64, curve: &Curve) -> Said<'a> {
    Said {
        fitted_on: made.fitted_on,
        measured_on: made.labels.len(),
        temperature: Temperature {
            before: was,
            after: made.head.temperature(),
        },
        before: made.before,
        after: made.after,
        reliability: &made.steps,
        prediction_sets: &made.sets,
        class: &spec.classes[curve.class].name,
        area_under_curve: curve.one.area(),
        thresholds: shown(curve),
        flag_from: curve.chosen.map(|point| point.threshold),
    }
}

fn draw(
    path: &std::path::Path,
    spec: &ExamSpec,
    made: &Calibration,
    curve: &Curve,
    intended_use: IntendedUse,
) -> Result<(), Failure> {
    let class = &spec.classes[curve.class].name;
    let roc = format!("{}: {class}, area {:.3}", spec.name, curve.one.area());
    let reliability = format!("how often right: ECE {:.3}", made.after.ece);
    let note = format!(
        "{} cases that nothing was fitted to; for {} only, not for care",
        made.labels.len(),
        intended_use.word()
    );
    let picture = report::curves(&Curves {
        roc_title: &roc,
        points: &curve.one.points(),
        chosen: curve.chosen,
        reliability_title: &reliability,
        steps: &made.steps,
        note: &note,
    });
    let name = path.display().to_string();
    let png = report::png(&picture, None).map_err(|error| Failure::write(&name, &error))?;
    files::put(path, &png).map_err(|error| Failure::write_file(&error))
}
