//! Dates and times as DICOM and HL7 write them.

/// A second, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Moment(u64);

impl Moment {
    /// This second.
    pub fn now() -> Self {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        Self(since.map_or(0, |since| since.as_secs()))
    }

    /// Seconds since 1970.
    pub fn from_seconds(seconds: u64) -> Self {
        Self(seconds)
    }

    /// `YYYYMMDD`, by the Gregorian calendar counted from March.
    pub fn date(self) -> String {
        let days = self.0 / 86_400 + 719_468;
        let (era, day_of_era) = (days / 146_097, days % 146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month + 2) / 5 + 1;
        let (month, next) = if month < 10 {
            (month + 3, 0)
        } else {
            (month - 9, 1)
        };
        format!("{:04}{month:02}{day:02}", era * 400 + year_of_era + next)
    }

    /// `HHMMSS`.
    pub fn time(self) -> String {
        let second = self.0 % 86_400;
        format!(
            "{:02}{:02}{:02}",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::Moment;

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
            let moment = Moment::from_seconds(seconds);
            assert_eq!(
                (moment.date().as_str(), moment.time().as_str()),
                (date, time)
            );
        }
    }
}
