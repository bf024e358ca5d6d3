//! A second in UTC, as DICOM and HL7 write dates and times. Called by the forms that say when.

use jiff::{SignedDuration, Timestamp};

/// A second, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(Timestamp);

impl Moment {
    /// This second.
    pub fn now() -> Self {
        Self(Timestamp::now())
    }

    /// The second of this time.
    pub fn at(time: Timestamp) -> Self {
        Self(time)
    }

    /// `YYYYMMDD`.
    pub fn date(self) -> String {
        self.0.strftime("%Y%m%d").to_string()
    }

    /// `HHMMSS`.
    pub fn time(self) -> String {
        self.0.strftime("%H%M%S").to_string()
    }

    /// The same second as a clock shows it that is so many minutes before UTC.
    #[must_use]
    pub fn before_utc(self, minutes: i16) -> Self {
        let shifted = self.0 + SignedDuration::from_mins(minutes.into());
        Self(shifted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_become_dates() {
        for (seconds, date, time) in [
            (0, "19700101", "000000"),
            (951_782_399, "20000228", "235959"),
            (951_782_400, "20000229", "000000"),
            (1_709_251_199, "20240229", "235959"),
            (4_107_542_399, "21000228", "235959"),
            (4_107_542_400, "21000301", "000000"),
        ] {
            let moment = Moment(Timestamp::from_second(seconds).unwrap());
            assert_eq!(
                (moment.date().as_str(), moment.time().as_str()),
                (date, time)
            );
        }
    }
}
