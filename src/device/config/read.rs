//! TOML becomes values, and everything that is wrong on the way is kept with its line:
//! whoever mends a file wants to hear of all its faults at once.
//!
//! A section's keys are those that are asked of it, so that none can be known here and
//! forgotten there.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::str::FromStr;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, Wrong};

/// How like a known name an unknown one must be to be taken for it (Jaro-Winkler).
const ALIKE: f64 = 0.75;

/// The file being read.
pub(super) struct Reader<'t> {
    text: &'t str,
    /// Where its lines end.
    ends: Vec<usize>,
    pub problems: Vec<Problem>,
}

impl<'t> Reader<'t> {
    pub fn new(text: &'t str) -> Self {
        Self {
            text,
            ends: text.match_indices('\n').map(|(at, _)| at).collect(),
            problems: Vec::new(),
        }
    }

    /// Reads the whole file as one section that has sections. Of a file that is no TOML only
    /// that is said: what else it says is not known.
    pub fn whole<T>(&mut self, take: impl FnOnce(&mut Section<'_, 't>) -> T) -> Option<T> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let is_toml = errors.is_empty();
        for error in errors {
            let at = error.span().map(|span| span.start);
            let what = error.message().to_owned();
            let help = "write it as TOML (https://toml.io); \
                        `medfocus serve --print-config` prints an example";
            self.note(Wrong::Syntax, at, String::new(), what, help.to_owned());
        }
        if !is_toml {
            return None;
        }
        let mut section = Section {
            name: "",
            start: None,
            table: table.into_inner(),
            asked: Vec::new(),
            reader: self,
        };
        let taken = take(&mut section);
        section.end();
        Some(taken)
    }

    fn note(&mut self, wrong: Wrong, at: Option<usize>, key: String, what: String, help: String) {
        let line = at.map(|at| 1 + self.ends.partition_point(|end| *end < at));
        self.problems.push(Problem {
            wrong,
            line,
            key,
            what,
            help,
        });
    }
}

/// One table, while its keys are asked for.
pub(super) struct Section<'r, 't> {
    name: &'static str,
    /// Where its heading stands.
    start: Option<usize>,
    table: DeTable<'t>,
    /// The keys that were asked for, and whether each was there.
    asked: Vec<(&'static str, bool)>,
    reader: &'r mut Reader<'t>,
}

impl<'t> Section<'_, 't> {
    /// A section in this one; it reads as an empty one where it is absent.
    pub fn section<T>(
        &mut self,
        name: &'static str,
        take: impl FnOnce(&mut Section<'_, 't>) -> T,
    ) -> T {
        let found = self.remove(name);
        let start = found.as_ref().map(|value| value.span().start);
        let table = match found.map(Spanned::into_inner) {
            None => DeTable::new(),
            Some(DeValue::Table(table)) => table,
            Some(other) => {
                self.mistyped(name, start, &other, &format!("a section: [{name}]"));
                DeTable::new()
            }
        };
        self.enter(name, start, table, take)
    }

    /// The sections of one name, `[[name]]`.
    pub fn sections<T>(
        &mut self,
        name: &'static str,
        mut take: impl FnMut(&mut Section<'_, 't>) -> Option<T>,
    ) -> Vec<T> {
        let Some(found) = self.remove(name) else {
            return Vec::new();
        };
        let start = Some(found.span().start);
        let expected = format!("a list of sections, each headed [[{name}]]");
        let DeValue::Array(items) = found.into_inner() else {
            // The one wrong type that is likely: single brackets.
            let what = "is a section of its own".to_owned();
            self.note(Wrong::Value, name, start, what, format!("write {expected}"));
            return Vec::new();
        };
        let mut all = Vec::new();
        for item in items {
            let start = Some(item.span().start);
            match item.into_inner() {
                DeValue::Table(table) => all.extend(self.enter(name, start, table, &mut take)),
                other => self.mistyped(name, start, &other, &expected),
            }
        }
        all
    }

    fn enter<T>(
        &mut self,
        name: &'static str,
        start: Option<usize>,
        table: DeTable<'t>,
        take: impl FnOnce(&mut Section<'_, 't>) -> T,
    ) -> T {
        let mut section = Section {
            name,
            start,
            table,
            asked: Vec::new(),
            reader: self.reader,
        };
        let taken = take(&mut section);
        section.end();
        taken
    }

    /// A text.
    pub fn text(&mut self, key: &'static str) -> Option<String> {
        self.get(key, "a text in quotes", |value| {
            value.as_str().map(str::to_owned)
        })
    }

    /// A path; an empty one is none, nor one that no file can have.
    pub fn path(&mut self, key: &'static str) -> Option<PathBuf> {
        self.get(key, "a path in quotes", |value| {
            let is_path = |path: &&str| !path.is_empty() && !path.contains('\0');
            let path = value.as_str().filter(is_path)?;
            Some(PathBuf::from(path))
        })
    }

    /// `true` or `false`.
    pub fn flag(&mut self, key: &'static str) -> Option<bool> {
        self.get(key, "true or false", DeValue::as_bool)
    }

    /// A whole number.
    pub fn number(&mut self, key: &'static str, range: RangeInclusive<u32>) -> Option<u32> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        self.get(key, &expected, |value| {
            let number = value.as_integer()?;
            let number = u32::from_str_radix(number.as_str(), number.radix()).ok()?;
            range.contains(&number).then_some(number)
        })
    }

    /// A text that says something more.
    pub fn parsed<T>(&mut self, key: &'static str, expected: &str) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let (value, at) = self.take(key)?;
        self.parse(key, at, &value, expected)
    }

    /// A list of such texts.
    pub fn list<T>(&mut self, key: &'static str, expected: &str) -> Vec<T>
    where
        T: FromStr<Err: Display>,
    {
        self.listed(key, expected).unwrap_or_default()
    }

    /// The same, where an empty list is not the same as none.
    pub fn listed<T>(&mut self, key: &'static str, expected: &str) -> Option<Vec<T>>
    where
        T: FromStr<Err: Display>,
    {
        let (value, at) = self.take(key)?;
        let DeValue::Array(items) = value else {
            self.mistyped(key, Some(at), &value, &format!("a list of {expected}"));
            return None;
        };
        let one = |item: &Spanned<DeValue<'t>>| {
            self.parse(key, item.span().start, item.get_ref(), expected)
        };
        Some(items.iter().filter_map(one).collect())
    }

    /// Says that a key must be there, where it was asked for and is not.
    pub fn required<T>(&mut self, key: &'static str, value: Option<T>, help: &str) -> Option<T> {
        if self.asked.contains(&(key, false)) {
            let (start, what) = (self.start, "must be there".to_owned());
            self.note(Wrong::Missing, key, start, what, help.to_owned());
        }
        value
    }

    fn parse<T>(
        &mut self,
        key: &'static str,
        at: usize,
        value: &DeValue<'t>,
        expected: &str,
    ) -> Option<T>
    where
        T: FromStr<Err: Display>,
    {
        let Some(text) = value.as_str() else {
            self.mistyped(key, Some(at), value, expected);
            return None;
        };
        match text.parse() {
            Ok(parsed) => Some(parsed),
            Err(error) => {
                let help = format!("write {expected}");
                self.note(Wrong::Value, key, Some(at), error.to_string(), help);
                None
            }
        }
    }

    fn get<T>(
        &mut self,
        key: &'static str,
        expected: &str,
        take: impl FnOnce(&DeValue<'t>) -> Option<T>,
    ) -> Option<T> {
        let (value, at) = self.take(key)?;
        let taken = take(&value);
        if taken.is_none() {
            self.mistyped(key, Some(at), &value, expected);
        }
        taken
    }

    fn take(&mut self, key: &'static str) -> Option<(DeValue<'t>, usize)> {
        let value = self.remove(key)?;
        let at = value.span().start;
        Some((value.into_inner(), at))
    }

    fn remove(&mut self, key: &'static str) -> Option<Spanned<DeValue<'t>>> {
        let found = self.table.remove(key);
        self.asked.push((key, found.is_some()));
        found
    }

    fn mistyped(&mut self, key: &str, at: Option<usize>, found: &DeValue<'t>, expected: &str) {
        let what = match found {
            DeValue::String(text) => format!("is \"{text}\""),
            DeValue::Integer(number) => format!("is {number}"),
            DeValue::Float(number) => format!("is {number}"),
            DeValue::Boolean(flag) => format!("is {flag}"),
            DeValue::Datetime(_) => "is a date".to_owned(),
            DeValue::Array(_) => "is a list".to_owned(),
            DeValue::Table(_) => "is a section".to_owned(),
        };
        self.note(Wrong::Value, key, at, what, format!("write {expected}"));
    }

    fn note(&mut self, wrong: Wrong, key: &str, at: Option<usize>, what: String, help: String) {
        let key = self.full(key);
        self.reader.note(wrong, at, key, what, help);
    }

    fn full(&self, key: &str) -> String {
        match self.name {
            "" => key.to_owned(),
            name => format!("{name}.{key}"),
        }
    }

    /// What nobody asked for is misspelt.
    fn end(mut self) {
        let known: Vec<&str> = self.asked.iter().map(|(key, _)| *key).collect();
        for (key, _) in std::mem::take(&mut self.table) {
            let (name, at) = (key.get_ref(), Some(key.span().start));
            let help = match nearest(name, &known) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("take it out, or write one of {}", known.join(", ")),
            };
            self.note(
                Wrong::Key,
                name,
                at,
                "there is no such key".to_owned(),
                help,
            );
        }
    }
}

/// The known name that is most like this one.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let likeness = |other: &&'k str| (strsim::jaro_winkler(name, other), *other);
    let best = known
        .iter()
        .map(likeness)
        .max_by(|one, other| one.0.total_cmp(&other.0))?;
    (best.0 > ALIKE).then_some(best.1)
}
