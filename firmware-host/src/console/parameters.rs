//! Parameters: a unit's text after its header becomes texts and numbers, or a fault that says what is wrong.
//! Called by the table of commands. Numbers are NRf of IEEE 488.2 (7.7.2): `7`, `+7`, `7.0`, `.7E1`.

use core::fmt;
use core::time::Duration;

use super::{Command, Form};
use crate::fault::Fault;

/// A text, bare or in quotes. In quotes, the quote itself stands twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Text<'a> {
    raw: &'a str,
    quote: Option<char>,
}

impl<'a> Text<'a> {
    /// A text that stands as it is.
    pub fn bare(raw: &'a str) -> Self {
        Self { raw, quote: None }
    }

    /// Its characters, without what quotes it.
    pub fn chars(&self) -> impl Iterator<Item = char> {
        let (quote, mut doubled) = (self.quote, false);
        self.raw.chars().filter(move |c| {
            doubled = Some(*c) == quote && !doubled;
            !doubled
        })
    }

    /// Whether it is this word, in any case.
    pub fn is(&self, word: &str) -> bool {
        let own = self.chars().map(|c| c.to_ascii_lowercase());
        own.eq(word.chars().map(|c| c.to_ascii_lowercase()))
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        self.chars().try_for_each(|c| f.write_char(c))
    }
}

/// How long a wait may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seconds(Duration);

impl Seconds {
    /// A day.
    pub const MOST: f64 = 86_400.0;
}

impl From<Seconds> for Duration {
    fn from(Seconds(duration): Seconds) -> Self {
        duration
    }
}

/// Nothing but the header.
pub(super) fn bare<'a>(rest: &str, command: Command<'a>) -> Result<Command<'a>, Fault> {
    match rest {
        "" => Ok(command),
        _ => Err(Fault::ParameterNotAllowed),
    }
}

/// One text.
pub(super) fn text(rest: &str) -> Result<Text<'_>, Fault> {
    match any_text(rest)? {
        Text { raw: "", .. } => Err(Fault::MissingParameter),
        text => Ok(text),
    }
}

/// One text, which may be empty in its quotes.
fn any_text(rest: &str) -> Result<Text<'_>, Fault> {
    let Some(quote) = rest.chars().next().filter(|c| matches!(c, '"' | '\'')) else {
        return match rest {
            "" => Err(Fault::MissingParameter),
            rest if rest.contains('"') => Err(Fault::Syntax),
            rest => Ok(Text::bare(rest)),
        };
    };
    let inside = rest[1..].strip_suffix(quote).ok_or(Fault::Syntax)?;
    // Each quote inside stands twice, or the text ended before.
    let mut runs = inside.split(|c| c != quote);
    if runs.any(|quotes| quotes.len() % 2 == 1) {
        return Err(Fault::Syntax);
    }
    Ok(Text {
        raw: inside,
        quote: Some(quote),
    })
}

/// What stands there; `None` where nothing does, or an empty text.
pub(super) fn given<'a, T>(
    rest: &'a str,
    read: impl FnOnce(&'a str) -> Result<T, Fault>,
) -> Result<Option<T>, Fault> {
    match rest {
        "" | "\"\"" | "''" => Ok(None),
        rest => read(rest).map(Some),
    }
}

pub(super) fn on_off(rest: &str) -> Result<bool, Fault> {
    let word = text(rest)?;
    if word.is("on") || word.is("off") {
        return Ok(word.is("on"));
    }
    // SCPI-99, volume 1, 7.3: a number is true where it rounds to other than zero.
    match decimal(rest) {
        Ok(value) => Ok(value.abs() >= 0.5),
        Err(_) => Err(Fault::IllegalParameter),
    }
}

/// A number that must be whole: there is no case 1.4, and nobody's whole years are rounded.
pub(super) fn whole<T: TryFrom<u64>>(text: &str) -> Result<T, Fault> {
    let digits = text.trim();
    if !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()) {
        // Digit for digit: a case's number may be longer than a float is exact.
        let value: u64 = digits.parse().map_err(|_| Fault::OutOfRange)?;
        return T::try_from(value).map_err(|_| Fault::OutOfRange);
    }
    let value = decimal(text)?;
    let rounded: u64 = round(value)?;
    #[expect(
        clippy::cast_precision_loss,
        reason = "a float is told from its own rounding"
    )]
    let is_whole = rounded as f64 == value;
    if !is_whole {
        return Err(Fault::OutOfRange);
    }
    T::try_from(rounded).map_err(|_| Fault::OutOfRange)
}

/// A number of more digits than are used is rounded (IEEE 488.2, 7.7.2.4.1).
pub(super) fn rounded<T: TryFrom<u64>>(text: &str) -> Result<T, Fault> {
    T::try_from(round(decimal(text)?)?).map_err(|_| Fault::OutOfRange)
}

/// A register of SCPI has 15 bits; the sixteenth is taken and is nothing.
pub(super) fn register(text: &str) -> Result<u16, Fault> {
    rounded::<u16>(text).map(|value| value & 0x7fff)
}

pub(super) fn region(rest: &str) -> Result<[u32; 4], Fault> {
    let mut parts = rest.split(',');
    let mut region = [0; 4];
    for side in &mut region {
        *side = rounded(parts.next().ok_or(Fault::MissingParameter)?)?;
    }
    if parts.next().is_some() {
        return Err(Fault::ParameterNotAllowed);
    }
    if region[2] == 0 || region[3] == 0 {
        return Err(Fault::OutOfRange);
    }
    Ok(region)
}

pub(super) fn result<'a>(rest: &str) -> Result<Command<'a>, Fault> {
    let (id, form) = rest
        .split_once(',')
        .map_or((rest, None), |(id, form)| (id, Some(form.trim())));
    let form = match form {
        None => Form::Compact,
        Some(word) if word.eq_ignore_ascii_case("json") => Form::Json,
        Some(_) => return Err(Fault::IllegalParameter),
    };
    Ok(Command::CaseResult(whole(id)?, form))
}

pub(super) fn wait<'a>(rest: &str) -> Result<Command<'a>, Fault> {
    let (id, seconds) = rest.split_once(',').ok_or(Fault::MissingParameter)?;
    let case = whole(id)?;
    let seconds = decimal(seconds)?;
    if !(0.0..=Seconds::MOST).contains(&seconds) {
        return Err(Fault::OutOfRange);
    }
    let seconds = Duration::try_from_secs_f64(seconds).map_err(|_| Fault::OutOfRange)?;
    Ok(Command::CaseWait(case, Seconds(seconds)))
}

/// The nearest whole number; halves go up.
fn round(value: f64) -> Result<u64, Fault> {
    /// The first that 64 bits do not hold.
    const TOO_LARGE: f64 = 18_446_744_073_709_551_616.0;
    if !(value > -0.5 && value < TOO_LARGE) {
        return Err(Fault::OutOfRange);
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it lies between the bounds"
    )]
    let below = value as u64;
    #[expect(
        clippy::cast_precision_loss,
        reason = "where it is not exact, there is no fraction"
    )]
    let fraction = value - below as f64;
    Ok(below.saturating_add(u64::from(fraction >= 0.5)))
}

/// NRf: sign, digits with or without a point, exponent.
fn decimal(text: &str) -> Result<f64, Fault> {
    let text = text.trim();
    if text.is_empty() {
        return Err(Fault::MissingParameter);
    }
    let (mantissa, exponent) = match text.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa.trim_end(), exponent.trim_start()),
        None => (text, "0"),
    };
    let unsigned = |text: &'_ str| text.strip_prefix(['+', '-']).unwrap_or(text).len();
    let (digits, power) = (
        &mantissa[mantissa.len() - unsigned(mantissa)..],
        &exponent[exponent.len() - unsigned(exponent)..],
    );
    let is_digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    let (before, after) = digits.split_once('.').unwrap_or((digits, ""));
    let is_number = is_digits(before) && is_digits(after) && before.len() + after.len() > 0;
    if !is_number || power.is_empty() || !is_digits(power) {
        return Err(Fault::DataType);
    }
    let mantissa: f64 = mantissa.parse().map_err(|_| Fault::DataType)?;
    // IEEE 488.2 (7.7.2.4.1): beyond 32000 an exponent is an error.
    let power: i32 = exponent.parse().map_err(|_| Fault::ExponentTooLarge)?;
    if power.abs() > 32_000 {
        return Err(Fault::ExponentTooLarge);
    }
    Ok(scaled(mantissa, power))
}

/// Times ten so often. By steps: a number of many digits and a small exponent stays exact.
fn scaled(mut value: f64, power: i32) -> f64 {
    for _ in 0..power.unsigned_abs() {
        let before = value;
        if power < 0 {
            value /= 10.0;
        } else {
            value *= 10.0;
        }
        #[expect(clippy::float_cmp, reason = "zero and infinity stay what they are")]
        if value == before {
            break;
        }
    }
    value
}
