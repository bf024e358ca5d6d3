//! Findings as HL7 `ORU^R01` messages to one receiver over MLLP. A message counts as
//! delivered only by an acknowledgement of its own control id; made again, it has the same.

use std::time::Duration;

use super::mllp::Fault;
use super::{AnsweredCase, Delivered, DeliveryError, NotDelivered, Sink, Spec, mllp};
use crate::report;

/// How long a receiver may be silent.
const PATIENCE: Duration = Duration::from_secs(30);

/// Where to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hl7Options {
    /// The sink's name.
    pub name: String,
    /// Host and port.
    pub address: String,
    /// Whether what tells whose image it is stays out.
    pub deidentify: bool,
}

/// One receiver.
#[derive(Debug)]
pub struct Hl7(Hl7Options);

impl Hl7 {
    /// A receiver by these options.
    pub fn new(options: Hl7Options) -> Self {
        Self(options)
    }
}

impl Sink for Hl7 {
    fn spec(&self) -> Spec {
        Spec {
            name: self.0.name.clone(),
            takes_refusals: false,
            // Whose image it is stands there alone.
            needs_image: true,
        }
    }

    fn deliver(&mut self, answered: &AnsweredCase<'_>) -> Result<Delivered, NotDelivered> {
        let message = report::hl7(&answered.drawn()?.case(self.0.deidentify));
        let control = message.split('|').nth(9).unwrap_or_default();
        let about = |frame: &[u8]| acknowledged(frame, control);
        match mllp::exchange(&self.0.address, &message, PATIENCE, about) {
            Ok(Some(answer)) => answer.map(|()| Delivered::default()),
            Ok(None) => Err(refused(
                "wrong_ack",
                "the receiver acknowledged another message",
            )),
            Err(fault) => Err(self.not_heard(&fault)),
        }
    }
}

impl Hl7 {
    fn not_heard(&self, fault: &Fault) -> NotDelivered {
        let (code, help) = match fault {
            Fault::Unreachable(_) => (
                "unreachable",
                "see whether the receiver runs, and whether its address and port are those of hl7.to",
            ),
            Fault::Silent(_) => (
                "silent",
                "see why the receiver does not acknowledge: it took the connection",
            ),
            Fault::Closed => ("closed", "see in the receiver's log why it hung up"),
            Fault::Frame(_) => (
                "bad_frame",
                "have the receiver acknowledge in MLLP frames, or name its MLLP port in hl7.to",
            ),
        };
        let why = format!("{}: {fault}", self.0.address);
        let error = DeliveryError { code, why, help };
        match fault {
            // Another message may be acknowledged as it should be.
            Fault::Frame(_) => NotDelivered::Refused(error),
            _ => NotDelivered::Away(error),
        }
    }
}

/// What an answer says of the message of this control id; `None` where it is about others. What
/// else stands in it may repeat the patient's name, and is told to nobody.
fn acknowledged(answer: &[u8], control: &str) -> Option<Result<(), NotDelivered>> {
    let text = String::from_utf8_lossy(answer);
    let said = acknowledgements(&text);
    if said.is_empty() {
        return Some(Err(refused(
            "no_ack",
            "the receiver's answer is no acknowledgement",
        )));
    }
    let of_ours = said.iter().filter(|(_, about)| *about == control);
    let codes: Vec<String> = of_ours.map(|(code, _)| code.to_uppercase()).collect();
    // One that was first accepted and then refused was refused.
    let is_no = |code: &&String| !matches!(code.as_str(), "AA" | "CA");
    match codes.iter().find(is_no).or(codes.first())?.as_str() {
        "AA" | "CA" => Some(Ok(())),
        "AR" | "CR" => Some(Err(refused("rejected", "the receiver rejects the message"))),
        _ => Some(Err(refused(
            "receiver_error",
            "the receiver has an error of its own",
        ))),
    }
}

fn refused(code: &'static str, why: &str) -> NotDelivered {
    NotDelivered::Refused(DeliveryError {
        code,
        why: why.to_owned(),
        help: "see in the receiver's log why it does not take the message; it is sent again",
    })
}

/// Code and control id of every acknowledgement, in whatever line ends there are.
fn acknowledgements(text: &str) -> Vec<(&str, &str)> {
    let (mut separator, mut said) = (None, Vec::new());
    for segment in text.split(['\r', '\n']) {
        let segment = segment.trim_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        if let Some(rest) = segment.strip_prefix("MSH") {
            separator = rest.chars().next();
        } else if let Some(separator) = separator
            && let Some(fields) = segment.strip_prefix("MSA")
            && let Some(fields) = fields.strip_prefix(separator)
        {
            let mut fields = fields.split(separator).map(str::trim);
            if let (Some(code), Some(about)) = (fields.next(), fields.next()) {
                said.push((code, about));
            }
        }
    }
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_acknowledgement_of_this_message_counts() {
        let answer = |code: &str, id: &str| {
            format!("MSH|^~\\&|LIS|LAB|MEDFOCUS||20260101||ACK|7|P|2.5.1\rMSA|{code}|{id}\r")
        };
        let code = |answer: &str| match acknowledged(answer.as_bytes(), "42") {
            Some(Ok(())) => "delivered",
            Some(Err(NotDelivered::Refused(delivery_error))) => delivery_error.code,
            Some(Err(other)) => panic!("{other:?}"),
            None => "another's",
        };
        let both = |first: String, second: String| format!("{first}{second}");
        for (said, expected) in [
            (answer("AA", "42"), "delivered"),
            (answer("CA", "42"), "delivered"),
            (answer("AA", "43"), "another's"),
            (answer("AA", "420"), "another's"),
            (answer("CE", "42"), "receiver_error"),
            (format!("\n{}", answer("AA", "42")), "delivered"),
            (format!("\u{feff}{}", answer("AA", "42")), "delivered"),
            (answer("AA", "42").trim_end().to_owned(), "delivered"),
            (answer("AA", "42").replace('\r', "\r\n"), "delivered"),
            (answer("AA", "42").replace('\r', "\n"), "delivered"),
            (
                answer("AA", "42|Müller^Eva|||207^error^HL70357"),
                "delivered",
            ),
            (answer("aa", " 42 "), "delivered"),
            (both(answer("AE", "41"), answer("AA", "42")), "delivered"),
            (
                both(answer("CA", "42"), answer("AE", "42")),
                "receiver_error",
            ),
            (both(answer("AA", "41"), answer("AA", "43")), "another's"),
            (answer("AE", "42"), "receiver_error"),
            (answer("AR", "42"), "rejected"),
            (answer("CR", "42"), "rejected"),
            (answer("AA", "42").replace('|', "#"), "delivered"),
            ("MSH|^~\\&|\rNTE|AA|42\r".to_owned(), "no_ack"),
            ("MSA|AA|42\r".to_owned(), "no_ack"),
            ("MSH".to_owned(), "no_ack"),
            (String::new(), "no_ack"),
        ] {
            assert_eq!(code(&said), expected, "{said}");
        }
    }
}
