//! Findings as HL7 `ORU^R01` messages to one receiver over MLLP. A message counts as
//! delivered only by an acknowledgement of its own control id; made again, it has the same.

use std::time::Duration;

use super::{AnsweredCase, DeliveryError, NotDelivered, Sink, Spec, mllp};
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

    fn deliver(&mut self, answered: &AnsweredCase<'_>) -> Result<(), NotDelivered> {
        let message = report::hl7(&answered.drawn()?.case(self.0.deidentify));
        let control = message.split('|').nth(9).unwrap_or_default();
        let answer = mllp::exchange(&self.0.address, &message, PATIENCE).map_err(|error| {
            let code = match error.kind() {
                std::io::ErrorKind::TimedOut => "silent",
                _ => "unreachable",
            };
            NotDelivered::Away(DeliveryError::new(
                code,
                format!("{}: {error}", self.0.address),
            ))
        })?;
        acknowledged(&answer, control)
    }
}

/// Whether an answer says that the message of this control id is safe. What else stands in
/// it may repeat the patient's name, and is told to nobody.
fn acknowledged(answer: &[u8], control: &str) -> Result<(), NotDelivered> {
    let text = String::from_utf8_lossy(answer);
    let refused = |code, why: &str| Err(NotDelivered::Refused(DeliveryError::new(code, why)));
    let Some((code, about)) = msa(&text) else {
        return refused("no_ack", "the receiver's answer is no acknowledgement");
    };
    if about != control {
        return refused("wrong_ack", "the receiver acknowledged another message");
    }
    match code {
        "AA" | "CA" => Ok(()),
        "AR" | "CR" => refused("rejected", "the receiver rejects the message"),
        _ => refused("receiver_error", "the receiver has an error of its own"),
    }
}

/// Code and control id of an acknowledgement.
fn msa(text: &str) -> Option<(&str, &str)> {
    let parts = text.strip_prefix("MSH")?.chars().next()?;
    let mut segments = text.split(['\r', '\n']);
    let fields = segments.find_map(|segment| segment.strip_prefix("MSA")?.strip_prefix(parts))?;
    let mut fields = fields.split(parts);
    Some((fields.next()?.trim(), fields.next()?.trim()))
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
            Ok(()) => "delivered",
            Err(NotDelivered::Refused(delivery_error)) => delivery_error.code,
            Err(other) => panic!("{other:?}"),
        };
        for (said, expected) in [
            (answer("AA", "42"), "delivered"),
            (answer("CA", "42"), "delivered"),
            (answer("AA", "43"), "wrong_ack"),
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
