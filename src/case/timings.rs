//! How long each stage of a case took. The pipeline's stages come in; in JSON it is an object,
//! milliseconds by stage, rounded to three decimals.

use std::borrow::Cow;
use std::fmt;

use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Milliseconds by stage, in the order in which the stages ended.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Timings(Vec<(Cow<'static, str>, f64)>);

impl Timings {
    /// No stage ended yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A stage ended after so many milliseconds; one that ends twice counts by its last time.
    pub fn note(&mut self, stage: impl Into<Cow<'static, str>>, ms: f64) {
        let stage = stage.into();
        match self.0.iter_mut().find(|(known, _)| *known == stage) {
            Some((_, known)) => *known = ms,
            None => self.0.push((stage, ms)),
        }
    }

    /// Stages and their milliseconds.
    pub fn iter(&self) -> impl Iterator<Item = (&str, f64)> {
        self.0.iter().map(|(stage, ms)| (&**stage, *ms))
    }
}

impl Serialize for Timings {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let rounded = |ms: f64| (ms * 1e3).round() / 1e3;
        to.collect_map(self.iter().map(|(stage, ms)| (stage, rounded(ms))))
    }
}

impl<'de> Deserialize<'de> for Timings {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct Stages;
        impl<'de> Visitor<'de> for Stages {
            type Value = Timings;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("milliseconds by stage")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Timings, M::Error> {
                let mut timings = Timings::new();
                while let Some((stage, ms)) = map.next_entry::<String, f64>()? {
                    timings.note(stage, ms);
                }
                Ok(timings)
            }
        }
        from.deserialize_map(Stages)
    }
}
