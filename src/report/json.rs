//! The JSON form; `docs/finding.schema.json` is its schema.

use serde_json::{Map, Value, json};

use super::{Record, SOFTWARE};
use crate::finding::{Answer, Finding};

/// One answer as a JSON object.
pub fn json(record: &Record<'_>) -> Value {
    let mut object = Map::new();
    let mut put = |key: &str, value: Value| object.insert(key.to_owned(), value);
    match record.answer {
        Answer::Finding(finding) => {
            put("status", "finding".into());
            put("case", finding.case.clone().into());
            put("source", record.source.into());
            put("exam", finding.exam.clone().into());
            put("class", finding.class().class.clone().into());
            put("probabilities", probabilities(finding));
            put("triage_level", finding.triage_level.word().into());
            put("mask", json!(finding.mask));
            put("focus", finding.focus.clone().into());
            put("reasons", json!(finding.reasons));
        }
        Answer::Refusal {
            case,
            exam,
            refusal,
        } => {
            put("status", "refusal".into());
            put("case", json!(case));
            put("source", record.source.into());
            put("exam", json!(exam));
            put("code", refusal.code.word().into());
            put("message", refusal.message.clone().into());
            put("cure", refusal.cure.clone().into());
        }
    }
    put("intended_use", record.intended_use.word().into());
    put("software", SOFTWARE.into());
    put("bundle", json!(record.bundle));
    let timings: Map<String, Value> = record
        .timings
        .iter()
        .map(|(name, ms)| ((*name).to_owned(), rounded(*ms, 1e3)))
        .collect();
    put("timings_ms", timings.into());
    Value::Object(object)
}

fn probabilities(finding: &Finding) -> Value {
    let entry = |p: &crate::finding::ClassProbability| (p.class.clone(), json!(p.probability));
    Value::Object(finding.probabilities.iter().map(entry).collect())
}

fn rounded(value: f64, by: f64) -> Value {
    json!((value * by).round() / by)
}
