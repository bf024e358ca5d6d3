//! When an image was taken: the best of an object's dates and times comes out, and how far they are
//! from UTC (PS3.3, C.12.1.1.8).

use dicom_core::Tag;
use dicom_dictionary_std::tags;
use serde::{Deserialize, Serialize};

use super::fitting;
use super::header::Header;

/// When an image was taken, in the time of its unit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// `YYYYMMDD`.
    pub date: String,
    /// `HH` to `HHMMSS.FFFFFF`; empty where only the day is known.
    pub time: String,
    /// Minutes before UTC, where the moment itself says so.
    pub offset: Option<i16>,
}

/// Dates with their times, the best first.
const MOMENTS: [(Tag, Tag); 4] = [
    (tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
    (tags::CONTENT_DATE, tags::CONTENT_TIME),
    (tags::SERIES_DATE, tags::SERIES_TIME),
    (tags::STUDY_DATE, tags::STUDY_TIME),
];

/// When a frame was taken.
pub(super) fn taken(header: &Header<'_>, frame: usize) -> Option<Taken> {
    let whole = [
        tags::FRAME_ACQUISITION_DATE_TIME,
        tags::ACQUISITION_DATE_TIME,
    ];
    let whole = whole
        .into_iter()
        .filter_map(|tag| header.nested_text(tag, frame))
        .find_map(|text| date_time(&text));
    whole.or_else(|| {
        MOMENTS.into_iter().find_map(|(date, time)| {
            let date = fitting::date(&header.text(date)?)?;
            let time = header.text(time).and_then(|time| fitting::time(&time));
            Some(Taken {
                date,
                time: time.unwrap_or_default(),
                offset: None,
            })
        })
    })
}

/// A value of VR `DT`: `YYYYMMDDHHMMSS.FFFFFF&ZZXX`, of which the end may be absent.
fn date_time(text: &str) -> Option<Taken> {
    let text = text.trim();
    let (moment, zone) = match text.find(['+', '-']) {
        Some(at) => (&text[..at], Some(offset(&text[at..])?)),
        None => (text, None),
    };
    let (day, rest) = moment.split_at_checked(8)?;
    Some(Taken {
        date: fitting::date(day)?,
        time: match rest {
            "" => String::new(),
            rest => fitting::time(rest)?,
        },
        offset: zone,
    })
}

/// Minutes of `+HHMM` or `-HHMM`.
pub(super) fn offset(text: &str) -> Option<i16> {
    let (sign, digits) = match text.trim().split_at_checked(1)? {
        ("+", digits) => (1, digits),
        ("-", digits) => (-1, digits),
        _ => return None,
    };
    if digits.len() != 4 || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let (hours, minutes): (i16, i16) = (digits[..2].parse().ok()?, digits[2..].parse().ok()?);
    let all = sign * (hours * 60 + minutes);
    // PS3.3, C.12.1.1.8.
    (minutes < 60 && (-12 * 60..=14 * 60).contains(&all)).then_some(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_are_those_that_there_are() {
        for (text, minutes) in [
            ("+0530", Some(330)),
            ("-0800", Some(-480)),
            ("+0000", Some(0)),
            ("+1400", Some(840)),
            ("+1500", None),
            ("+0560", None),
            ("0530", None),
            ("+5:30", None),
            ("", None),
        ] {
            assert_eq!(offset(text), minutes, "{text}");
        }
    }

    #[test]
    fn moments_are_read_with_and_without_their_end() {
        let taken = |date: &str, time: &str, offset| {
            let (date, time) = (date.to_owned(), time.to_owned());
            Some(Taken { date, time, offset })
        };
        for (text, expected) in [
            (
                "20260314233100.5+0530",
                taken("20260314", "233100.5", Some(330)),
            ),
            ("20260314233100", taken("20260314", "233100", None)),
            ("20260314", taken("20260314", "", None)),
            ("2026", None),
            ("20260314 2331", taken("20260314", "2331", None)),
            ("20260314233100+9900", None),
        ] {
            assert_eq!(date_time(text), expected, "{text}");
        }
    }
}
