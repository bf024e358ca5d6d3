//! Sources, request numbers, overwritten files, reruns and lost power in any order, against a
//! model that knows what was given: every answer is about the image that was given for it.
//!
//! A short run in CI; `scripts/identity-model` runs 10,000 steps (`MEDFOCUS_MODEL_STEPS`).
#![cfg(target_os = "linux")]

use std::collections::BTreeMap;

use crate::common::clinic::{Clinic, hash, image};
use crate::common::hold::Hold;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::json;

/// Steps of one device's life.
const LIFE: usize = 40;
/// Steps in all, where nothing else is said.
const STEPS: usize = 80;

/// Refused by the starter's gate in the second one: an answer all the same.
const EXAMS: [&str; 2] = ["brain4", "breast3"];

/// What happens next.
#[derive(Debug, Clone)]
enum Step {
    /// A program submits an image; the last client tells no identity.
    Submit {
        client: u8,
        number: u64,
        asked: Asked,
    },
    /// A host sends an image over the link; the last one tells no identity.
    Link { host: u8, number: u64, asked: Asked },
    /// A file is written, a case is asked for by its path, and then the file changes.
    Run { path: u8, asked: Asked, then: Then },
    /// A file is put into the watched folder.
    Drop { image: u8 },
    /// A case is to be answered again.
    Rerun { which: usize },
    /// The power fails and comes back.
    Restart,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Asked {
    image: u8,
    exam: usize,
}

#[derive(Debug, Clone, Copy)]
enum Then {
    Nothing,
    Overwrite(u8),
    Delete,
}

fn step() -> impl Strategy<Value = Step> {
    let asked = || (0_u8..4, 0..EXAMS.len()).prop_map(|(image, exam)| Asked { image, exam });
    let number = || 0_u64..4;
    let then = prop_oneof![
        Just(Then::Nothing),
        (0_u8..4).prop_map(Then::Overwrite),
        Just(Then::Delete)
    ];
    prop_oneof![
        10 => (0_u8..3, number(), asked())
            .prop_map(|(client, number, asked)| Step::Submit { client, number, asked }),
        4 => (0_u8..3, number(), asked())
            .prop_map(|(host, number, asked)| Step::Link { host, number, asked }),
        4 => (0_u8..2, asked(), then)
            .prop_map(|(path, asked, then)| Step::Run { path, asked, then }),
        1 => (0_u8..4).prop_map(|image| Step::Drop { image }),
        2 => any::<usize>().prop_map(|which| Step::Rerun { which }),
        1 => Just(Step::Restart),
    ]
}

/// What the model knows.
#[derive(Default)]
struct Model {
    /// What was asked of each case.
    cases: BTreeMap<u64, Asked>,
    /// Cases by asker and number.
    requests: BTreeMap<(String, u64), u64>,
    /// Cases of the watched folder, by image.
    folder: BTreeMap<u8, u64>,
    /// Files that were put into it.
    files: usize,
}

impl Model {
    fn next(&self) -> u64 {
        self.cases.keys().last().map_or(1, |last| last + 1)
    }

    fn accept(&mut self, asked: Asked) -> u64 {
        let case = self.next();
        self.cases.insert(case, asked);
        case
    }

    /// The case of a request, or the highest number in use where it must be refused.
    fn request(&mut self, asker: &str, number: u64, asked: Asked) -> Result<u64, u64> {
        match self.requests.get(&(asker.to_owned(), number)) {
            Some(case) if self.cases[case] == asked => Ok(*case),
            Some(_) => {
                let own = self.requests.keys().filter(|(other, _)| other == asker);
                Err(own.map(|(_, number)| *number).max().unwrap_or(0))
            }
            None => {
                let case = self.accept(asked);
                self.requests.insert((asker.to_owned(), number), case);
                Ok(case)
            }
        }
    }
}

fn take(step: Step, clinic: &mut Clinic, model: &mut Model, images: &[Vec<u8>]) {
    let bytes = |image: u8| &images[usize::from(image)];
    match step {
        Step::Submit {
            client,
            number,
            asked,
        } => {
            let expected = model.request(&format!("program {client}"), number, asked);
            let mut keys = json!({ "request": number, "exam": EXAMS[asked.exam] });
            if client < 2 {
                keys["client"] = format!("{client:016x}").into();
            }
            let answer = clinic.client().submit(bytes(asked.image), &keys);
            match expected {
                Ok(case) => assert_eq!(answer["case"], case, "{answer}"),
                Err(highest) => {
                    assert_eq!(answer["code"], "request_reused", "{answer}");
                    assert_eq!(answer["highest"], highest);
                }
            }
        }
        Step::Link {
            host,
            number,
            asked,
        } => {
            let expected = model.request(&format!("host {host}"), number, asked);
            let mut end = clinic.host((host < 2).then_some(host.into()));
            let answer = end.run(number, bytes(asked.image), EXAMS[asked.exam]);
            end.close();
            match expected {
                Ok(case) => assert_eq!(answer, Ok(case)),
                Err(highest) => {
                    let (number, text) = answer.unwrap_err();
                    let words = format!("the highest in use is {highest}");
                    assert!(number == 34 && text.ends_with(&words), "{number}: {text}");
                }
            }
        }
        Step::Run { path, asked, then } => {
            let path = clinic.at(&format!("{path}.png"));
            std::fs::write(&path, bytes(asked.image)).unwrap();
            let exam = format!("EXAM {}", EXAMS[asked.exam]);
            assert_eq!(clinic.console.ask(&exam), "OK");
            let hold = Hold::worker(&clinic.device);
            let case = clinic
                .console
                .ask(&format!("CASE:RUN \"{}\"", path.display()));
            assert_eq!(case, model.accept(asked).to_string());
            match then {
                Then::Nothing => {}
                Then::Overwrite(other) => std::fs::write(&path, bytes(other)).unwrap(),
                Then::Delete => std::fs::remove_file(&path).unwrap(),
            }
            hold.let_go();
        }
        Step::Drop { image } => {
            let exam = 0;
            let case = match model.folder.get(&image) {
                Some(case) => *case,
                None => model.accept(Asked { image, exam }),
            };
            model.folder.insert(image, case);
            model.files += 1;
            let name = format!("{}.png", model.files);
            clinic.drop_in(&name, bytes(image));
            let taken = clinic.at("in/taken").join(format!("{case}-{name}"));
            clinic.wait_until(&format!("{}", taken.display()), || taken.is_file());
        }
        Step::Rerun { which } => {
            let Some(case) = model
                .cases
                .keys()
                .nth(which % model.cases.len().max(1))
                .copied()
            else {
                return;
            };
            clinic.answer(case);
            let again = clinic.console.ask(&format!("CASE:RER {case}"));
            let asked = model.cases[&case];
            assert_eq!(again, model.accept(asked).to_string());
        }
        Step::Restart => clinic.restart(),
    }
}

/// One device's life; in the end every case has the answer of its own image.
fn live(steps: Vec<Step>, images: &[Vec<u8>]) {
    let mut clinic = Clinic::open("[keep]\nimages_days = 1\n");
    let mut model = Model::default();
    for step in steps {
        take(step, &mut clinic, &mut model, images);
    }
    for (case, asked) in &model.cases {
        let record = clinic.answer(*case);
        let expected = hash(&images[usize::from(asked.image)]);
        assert_eq!(record["image_sha256"], expected, "{record}");
        assert_eq!(record["exam"], EXAMS[asked.exam], "{record}");
    }
    let accepted = clinic.device.journal("accepted");
    assert_eq!(accepted.len(), model.cases.len(), "none more and none less");
    for entry in clinic.device.journal("answered") {
        let case = entry["case"].as_u64().unwrap();
        let expected = hash(&images[usize::from(model.cases[&case].image)]);
        assert_eq!(entry["image"], expected, "{entry}");
    }
}

#[test]
fn every_answer_is_about_the_image_that_was_given() {
    let asked = std::env::var("MEDFOCUS_MODEL_STEPS").ok();
    let steps = asked.and_then(|steps| steps.parse().ok()).unwrap_or(STEPS);
    let images: Vec<Vec<u8>> = (0..4).map(image).collect();
    let config = Config {
        cases: (steps / LIFE).max(1) as u32,
        // A life takes seconds.
        max_shrink_iters: 8,
        failure_persistence: None,
        ..Config::default()
    };
    let lives = prop::collection::vec(step(), LIFE);
    TestRunner::new(config)
        .run(&lives, |steps| {
            live(steps, &images);
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{error}"));
}
