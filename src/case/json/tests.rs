use super::*;
use crate::case::{BundleId, Channel, IntendedUse};

const IMAGE: &str = "16d4c094ed51477d8379e1b34305900e20139c03b4edffbdcef26f44f3ede528";

fn record(outcome: Outcome) -> Record {
    let bundle = BundleId {
        name: "starter".to_owned(),
        version: "1".to_owned(),
        sha256: "cd".to_owned(),
    };
    let mut by = Provenance::of(&bundle, IntendedUse::Demonstration);
    by.software = "medfocus 0.1.0".to_owned();
    let mut record = Record::new(Some("17".to_owned()), "p/a.png", outcome, by);
    record.timings.note("decode", 1.234_56);
    record
}

fn finding() -> Finding {
    let class = |class: &str, probability| ClassProbability {
        class: class.to_owned(),
        label: class.to_owned(),
        probability,
    };
    Finding {
        exam: "lung_tb2".to_owned(),
        answer: 1,
        patient: Patient::default(),
        anatomy: Anatomy::default(),
        probabilities: vec![class("normal", 0.1 + 0.2), class("tuberculosis", 0.7)],
        prediction_set: None,
        triage_level: TriageLevel::Review,
        mask: MaskReport {
            bbox: [1, 2, 3, 4],
            area_fraction: 0.1,
            rle: Rle {
                size: [8, 9],
                counts: vec![60, 12],
            },
            predicted_iou: 0.9,
        },
        film: None,
        focus: "crop".to_owned(),
        gate: Check::Passed,
        guard: Check::Absent,
        guard_distance: None,
        reasons: vec!["unsure: a person decides".to_owned()],
    }
}

fn full() -> Record {
    let finding = Finding {
        patient: Patient {
            age: Age::new(93),
            sex: Some(Sex::F),
        },
        prediction_set: Some(PredictionSet {
            coverage: 0.9,
            by_class: true,
            classes: vec!["tuberculosis".to_owned()],
        }),
        film: Some([5, 6, 70, 80]),
        guard_distance: Some(0.25),
        ..finding()
    };
    Record {
        image: IMAGE.parse().ok(),
        rerun_of: Some(6),
        ..record(Outcome::Finding(Box::new(finding)))
    }
}

fn refused(help: Help) -> Record {
    let refusal = Refusal::new(RefusalCode::WrongView, "it is LL", help).about("p/a.png");
    let refused = Refused::new(None, refusal, Channel::Record);
    record(Outcome::Refusal(refused))
}

/// Byte for byte as programs of before wrote them.
#[test]
fn keys_their_order_and_their_numbers_are_those_of_every_journal() {
    const AROUND: &str = r#""intended_use":"demonstration","software":"medfocus 0.1.0","bundle":{"name":"starter","version":"1","sha256":"cd"},"timings_ms":{"decode":1.235}}"#;
    let full_text = r#"{"status":"finding","case":"17","source":"p/a.png","exam":"lung_tb2","patient":{"age_years":93,"sex":"F"},"class":"tuberculosis","probabilities":{"normal":0.30000000000000004,"tuberculosis":0.7},"prediction_set":{"coverage":0.9,"by_class":true,"classes":["tuberculosis"]},"triage_level":"review","mask":{"bbox":[1,2,3,4],"area_fraction":0.1,"rle":{"size":[8,9],"counts":[60,12]},"predicted_iou":0.8999999761581421},"film":[5,6,70,80],"focus":"crop","gate":"passed","guard":"none","guard_distance":0.25,"reasons":["unsure: a person decides"],"image_sha256":"16d4c094ed51477d8379e1b34305900e20139c03b4edffbdcef26f44f3ede528","rerun_of":"6","#;
    let bare_text = r#"{"status":"finding","case":"17","source":"p/a.png","exam":"lung_tb2","class":"tuberculosis","probabilities":{"normal":0.30000000000000004,"tuberculosis":0.7},"triage_level":"review","mask":{"bbox":[1,2,3,4],"area_fraction":0.1,"rle":{"size":[8,9],"counts":[60,12]},"predicted_iou":0.8999999761581421},"focus":"crop","gate":"passed","guard":"none","reasons":["unsure: a person decides"],"#;
    let plain_text = r#"{"status":"refusal","case":"17","source":"p/a.png","exam":null,"code":"wrong_view","message":"p/a.png: it is LL","cure":"turn it","#;
    let help_text = r#"{"status":"refusal","case":"17","source":"p/a.png","exam":null,"code":"wrong_view","message":"p/a.png: it is LL","cure":"choose another exam, or give another image","help":"other_exam","#;
    for (record, text) in [
        (full(), full_text),
        (record(Outcome::Finding(Box::new(finding()))), bare_text),
        (refused("turn it".into()), plain_text),
        (refused(Help::OtherExam), help_text),
    ] {
        let text = text.to_owned() + AROUND;
        assert_eq!(serde_json::to_string(&record).unwrap(), text);
        let back: Record = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&back).unwrap(), text);
        // All but what is rounded.
        let timings = record.timings.clone();
        assert_eq!(Record { timings, ..back }, record);
    }
}

/// As the first device wrote them, before there were gate and guard (commit 40a4649).
#[test]
fn a_finding_of_the_first_device_is_read_and_written_back_to_the_byte() {
    let text = r#"{"status":"finding","case":"1","source":"p/a.png","exam":"brain4","class":"glioma","probabilities":{"glioma":0.9,"normal":0.1},"triage_level":"urgent","mask":{"bbox":[1,2,3,4],"area_fraction":0.1,"rle":{"size":[8,9],"counts":[60,12]},"predicted_iou":0.8999999761581421},"focus":"crop","reasons":[],"intended_use":"demonstration","software":"medfocus 0.1.0","bundle":{"name":"starter","version":"1","sha256":"cd"},"timings_ms":{"decode":1.235}}"#;
    let record: Record = serde_json::from_str(text).unwrap();
    let finding = record.finding().unwrap();
    assert_eq!(finding.unchecked(), "no gate, no guard");
    assert_eq!(serde_json::to_string(&record).unwrap(), text);
}

#[test]
fn words_that_were_written_are_told_as_they_were() {
    let mut old = serde_json::to_value(refused(Help::OtherExam)).unwrap();
    old["cure"] = "words of another version".into();
    old["message"] = "it is LL, and no path stands before it".into();
    let record: Record = serde_json::from_value(old.clone()).unwrap();
    let Outcome::Refusal(refused) = &record.outcome else {
        panic!("a refusal");
    };
    assert_eq!(refused.refusal.help, Help::OtherExam, "for other channels");
    assert_eq!(refused.refusal.file, None);
    assert_eq!(serde_json::to_value(&record).unwrap(), old);
    old["help"] = serde_json::json!({ "call_service": "555" });
    let record: Record = serde_json::from_value(old.clone()).unwrap();
    let help = &record.refusal().unwrap().help;
    assert_eq!(help.words(Channel::Link), "words of another version");
    assert_eq!(serde_json::to_value(&record).unwrap(), old);
    old.as_object_mut().unwrap().remove("help");
    let record: Record = serde_json::from_value(old.clone()).unwrap();
    assert_eq!(serde_json::to_value(&record).unwrap(), old);
}

#[test]
fn keys_of_a_later_version_are_told_on() {
    let mut later = serde_json::to_value(full()).unwrap();
    later["withdrawn"] = Value::Bool(true);
    let record: Record = serde_json::from_value(later.clone()).unwrap();
    assert_eq!(serde_json::to_value(&record).unwrap(), later);
    // Nobody knows here whether they tell whose image it is.
    assert_eq!(record.deidentified().more, Map::new());
}

#[test]
fn what_does_not_fit_together_is_no_record() {
    type Spoil = fn(&mut Map<String, Value>);
    let cases: [(&str, Spoil); 6] = [
        ("class without probability", |keys| {
            keys["class"] = "scar".into();
        }),
        ("no probabilities", |keys| {
            keys.remove("probabilities");
        }),
        ("a probability that is none", |keys| {
            keys["probabilities"]["normal"] = Value::Null;
        }),
        ("another outcome", |keys| keys["status"] = "deferred".into()),
        ("another level", |keys| {
            keys["triage_level"] = "never".into()
        }),
        ("another hash", |keys| keys["image_sha256"] = "16".into()),
    ];
    for (what, spoil) in cases {
        let Value::Object(mut keys) = serde_json::to_value(full()).unwrap() else {
            panic!("an object");
        };
        spoil(&mut keys);
        let read = serde_json::from_value::<Record>(keys.into());
        assert!(read.is_err(), "{what}");
    }
}

/// Only where the image says something, and only what it says.
#[test]
fn what_the_image_shows_has_keys_where_it_says_so() {
    for (anatomy, text) in [
        (Anatomy::default(), None),
        (
            Anatomy {
                body_part: Some("BREAST".to_owned()),
                view: None,
                laterality: Some(Laterality::L),
            },
            Some(r#""anatomy":{"body_part":"BREAST","laterality":"L"},"class""#),
        ),
    ] {
        let finding = Finding {
            anatomy,
            ..finding()
        };
        let record = record(Outcome::Finding(Box::new(finding)));
        let written = serde_json::to_string(&record).unwrap();
        assert_eq!(written.contains("anatomy"), text.is_some(), "{written}");
        assert!(text.is_none_or(|text| written.contains(text)), "{written}");
        let back: Record = serde_json::from_str(&written).unwrap();
        assert_eq!(back.finding(), record.finding());
    }
}
