//! Heads: every form of their file against Python (`scripts/few_shot/vectors.py`), and what
//! the program says with prediction sets and flags in a bundle.

use std::path::Path;

use crate::common::{classify, copy_of_starter, embedding_length, medfocus, phantom, root, seal};
use medfocus::triage::{Examples, FusionHead, PredictionSets, Probe};
use safetensors::Dtype;
use safetensors::tensor::TensorView;
use serde_json::Value;

const NEAR: f64 = 1e-5;

fn vectors() -> Value {
    let path = root().join("tests/vectors/heads/heads.json");
    serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn numbers(value: &Value) -> Vec<f64> {
    match value {
        Value::Array(values) => values.iter().flat_map(numbers).collect(),
        number => vec![number.as_f64().unwrap()],
    }
}

fn floats(value: &Value) -> Vec<f32> {
    numbers(value).into_iter().map(|v| v as f32).collect()
}

fn shape(value: &Value) -> Vec<usize> {
    match value.as_array() {
        Some(rows) => [vec![rows.len()], shape(&rows[0])].concat(),
        None => Vec::new(),
    }
}

/// The head whose file holds these tensors.
fn head(tensors: &Value) -> FusionHead {
    let tensors = tensors.as_object().unwrap();
    let bytes: Vec<(String, Vec<usize>, Vec<u8>)> = tensors
        .iter()
        .map(|(name, value)| {
            let bytes = floats(value).into_iter().flat_map(f32::to_le_bytes);
            (name.clone(), shape(value), bytes.collect())
        })
        .collect();
    let views = bytes.iter().map(|(name, shape, bytes)| {
        let view = TensorView::new(Dtype::F32, shape.clone(), bytes).unwrap();
        (name.as_str(), view)
    });
    let file = safetensors::serialize(views, None).unwrap();
    let [classes, dimension] = shape(&tensors["prototypes"])[..] else {
        panic!("prototypes have two sides");
    };
    FusionHead::read(&file, classes, dimension).unwrap()
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

fn near(found: &[f64], known: &[f64], what: &str) {
    assert_eq!(found.len(), known.len(), "{what}");
    for (found, known) in found.iter().zip(known) {
        assert!(
            (found - known).abs() < NEAR,
            "{what}: {found}, known {known}"
        );
    }
}

#[test]
fn heads_of_every_form_answer_as_in_python() {
    let known = vectors();
    let heads = known["heads"].as_object().unwrap();
    assert!(heads.contains_key("fusion_cache_blended"));
    for (name, known_head) in heads {
        let head = head(&known_head["tensors"]);
        let embeddings = rows(&known["whole"]).zip(rows(&known["focused"]));
        let answers = rows(&known_head["logits"]).zip(rows(&known_head["probabilities"]));
        for ((whole, focused), (logits, probabilities)) in embeddings.zip(answers) {
            let found = head.logits(&floats(whole), &floats(focused));
            let wide: Vec<f64> = found.iter().map(|l| f64::from(*l)).collect();
            near(&wide, &numbers(logits), name);
            near(&head.probabilities(&found), &numbers(probabilities), name);
        }
    }
}

#[test]
fn a_probe_that_is_trained_here_is_the_one_that_python_trains() {
    let known = vectors();
    let start = head(&known["heads"]["prototypes"]["tensors"]);
    let (mut features, mut offsets) = (Vec::new(), Vec::new());
    for (whole, focused) in rows(&known["whole"]).zip(rows(&known["focused"])) {
        let steps = start.steps(&floats(whole), &floats(focused));
        features.extend(steps.fused.iter().map(|x| f64::from(*x)));
        offsets.extend(steps.zero);
    }
    let labels: Vec<usize> = numbers(&known["labels"])
        .iter()
        .map(|l| *l as usize)
        .collect();
    let (classes, dimension) = (start.classes(), start.dimension());
    let examples = Examples {
        features: &features,
        offsets: &offsets,
        labels: &labels,
        classes,
    };
    let penalty = known["penalty"].as_f64().unwrap();
    let nothing = Probe::nothing(classes, dimension);
    let trained = start.with_probe(&Probe::fit(&examples, penalty, &nothing, 1e-10), 1.0);
    let embeddings = rows(&known["whole"]).zip(rows(&known["focused"]));
    for ((whole, focused), logits) in embeddings.zip(rows(&known["heads"]["text_probe"]["logits"]))
    {
        let found = trained.logits(&floats(whole), &floats(focused));
        let found: Vec<f64> = found.iter().map(|l| f64::from(*l)).collect();
        near(&found, &numbers(logits), "text_probe");
    }
}

#[test]
fn a_spoilt_file_is_refused_or_read_and_nothing_else() {
    let known = vectors();
    let full = head(&known["heads"]["fusion_cache_blended"]["tensors"]);
    let (classes, dimension) = (full.classes(), full.dimension());
    let p: Vec<Vec<f64>> = (0..20).map(|_| vec![0.5, 0.3, 0.2]).collect();
    let sets = PredictionSets::fit(&p, &[0; 20], &[0.8, 0.9], true);
    let bytes = full.with_sets(sets).write().unwrap();
    let whole = floats(rows(&known["whole"]).next().unwrap());
    let mut refused = 0;
    // The names and shapes of its tensors stand first.
    let (header, rest) = bytes.split_at(1200);
    for spoilt in crate::common::spoilt(header, 8).take(3000) {
        let file = [spoilt.as_slice(), rest].concat();
        match FusionHead::read(&file, classes, dimension) {
            Ok(head) => {
                let p = head.probabilities(&head.logits(&whole, &whole));
                assert_eq!(p.len(), classes);
                head.prediction_set(&p, 0.9);
            }
            Err(_) => refused += 1,
        }
        let cut = header.len() + rest.len() * (refused % 97) / 97;
        assert!(FusionHead::read(&bytes[..cut], classes, dimension).is_err());
    }
    assert!(refused > 1000, "{refused}");
}

#[test]
fn the_starters_exams_are_calibrated() {
    for (exam, classes) in [
        ("covid3", 3),
        ("lung_tb2", 2),
        ("brain4", 4),
        ("breast3", 3),
    ] {
        let path = root().join(format!("models/starter/heads/{exam}.safetensors"));
        let head = std::fs::read(path).unwrap();
        let head = FusionHead::read(&head, classes, embedding_length()).unwrap();
        assert_eq!(head.covers(Some(0.9)), Ok(()), "{exam}");
        assert!(head.sets().unwrap().has_each_class(), "{exam}");
        assert!(head.reference().unwrap().cases() >= 40, "{exam}");
    }
}

const HEAD: &str = "heads/brain4.safetensors";

/// Gives the exam brain4 prediction sets that hold every class likelier than `least`.
fn with_sets(bundle: &Path, least: f64) {
    let head = std::fs::read(bundle.join(HEAD)).unwrap();
    let head = FusionHead::read(&head, 4, embedding_length()).unwrap();
    let cases = vec![vec![least, 1.0 - least, 0.0, 0.0]; 20];
    let sets = PredictionSets::fit(&cases, &[0; 20], &[0.8, 0.9], false);
    let head = head.with_sets(sets).write().unwrap();
    std::fs::write(bundle.join(HEAD), head).unwrap();
    seal(bundle, HEAD);
}

/// Changes the manifest.
fn edit(bundle: &Path, from: &str, to: &str) {
    let path = bundle.join("bundle.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.contains(from), "{from}");
    std::fs::write(path, text.replacen(from, to, 1)).unwrap();
}

#[test]
fn a_finding_says_its_prediction_set_in_every_form() {
    let bundle = copy_of_starter();
    with_sets(bundle.path(), 0.1);
    let path = bundle.path().to_str().unwrap();
    let brain = phantom("brain.png");
    let brain = brain.to_str().unwrap();
    let (answers, code) = classify(&["--bundle", path, brain]);
    assert_eq!(code, 0);
    crate::common::assert_valid(&answers[0]);
    let set = &answers[0]["prediction_set"];
    assert_eq!(set["coverage"], 0.9);
    assert_eq!(set["by_class"], false);
    let probabilities = answers[0]["probabilities"].as_object().unwrap().iter();
    let likely = probabilities.filter(|(_, p)| p.as_f64() >= Some(0.1));
    let likely: Vec<&str> = likely.map(|(class, _)| class.as_str()).collect();
    assert_eq!(set["classes"], serde_json::json!(likely));
    let likely = likely.join(", ");
    let files = tempfile::tempdir().unwrap();
    let to = files.path().to_str().unwrap();
    let output = medfocus(&[
        "classify", "--bundle", path, brain, "--write", "hl7,sr", "--to", to,
    ]);
    let text = String::from_utf8(output.stdout).unwrap();
    let line = format!("set       {likely}  (holds the true class in 90 % of cases)");
    assert!(text.contains(&line), "{text}");
    let files = std::fs::read_dir(files.path()).unwrap();
    for file in files.map(|file| file.unwrap().path()) {
        let bytes = std::fs::read(&file).unwrap();
        let holds = |words: &[u8]| bytes.windows(words.len()).any(|part| part == words);
        assert!(holds(likely.as_bytes()), "{}", file.display());
    }
}

#[test]
fn coverage_is_the_exams_own_and_only_what_its_head_can_give() {
    let bundle = copy_of_starter();
    with_sets(bundle.path(), 0.1);
    let path = bundle.path().to_str().unwrap();
    let brain = phantom("brain.png");
    let brain = brain.to_str().unwrap();
    let head = "head = \"heads/brain4.safetensors\"";
    edit(bundle.path(), head, &format!("{head}\ncoverage = 0.8"));
    let (answers, _) = classify(&["--bundle", path, brain]);
    assert_eq!(answers[0]["prediction_set"]["coverage"], 0.8);
    edit(bundle.path(), "coverage = 0.8", "coverage = 0.95");
    let output = medfocus(&["classify", "--bundle", path, brain]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(3));
    assert!(
        error.contains("no prediction sets at coverage 0.95; it has 0.8, 0.9"),
        "{error}"
    );
    // The shipped exams that were not calibrated so claim nothing.
    edit(bundle.path(), "coverage = 0.95", "");
    with_sets(bundle.path(), 1.0);
    let (answers, _) = classify(&["--bundle", path, brain]);
    assert_eq!(
        answers[0]["prediction_set"]["classes"],
        serde_json::json!([])
    );
    assert!(
        answers[0]["reasons"]
            .to_string()
            .contains("no_class_fits: ")
    );
}

#[test]
fn a_flag_hurries_what_another_answer_would_not() {
    let bundle = copy_of_starter();
    let path = bundle.path().to_str().unwrap();
    let brain = phantom("brain.png");
    let brain = brain.to_str().unwrap();
    let (before, _) = classify(&["--bundle", path, brain]);
    assert_ne!(before[0]["triage_level"], "urgent");
    let likely = before[0]["probabilities"]["glioma"].as_f64().unwrap();
    let low = format!("flag_from = {}", likely / 2.0);
    let glioma = "name = \"glioma\"\n";
    edit(bundle.path(), glioma, &format!("{glioma}{low}\n"));
    let (answers, _) = classify(&["--bundle", path, brain]);
    assert_eq!(answers[0]["class"], before[0]["class"]);
    assert_eq!(answers[0]["triage_level"], "urgent");
    let reasons = answers[0]["reasons"].to_string();
    assert!(reasons.contains("flagged: glioma "), "{reasons}");
    crate::common::assert_valid(&answers[0]);
    let high = format!("flag_from = {}", (likely + 1.0) / 2.0);
    edit(bundle.path(), &low, &high);
    let (answers, _) = classify(&["--bundle", path, brain]);
    assert_eq!(answers[0]["triage_level"], before[0]["triage_level"]);
    edit(bundle.path(), &high, "flag_from = 5.0");
    let output = medfocus(&["classify", "--bundle", path, brain]);
    assert_eq!(output.status.code(), Some(3));
}
