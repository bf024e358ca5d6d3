//! Protocol: what host and device say to each other over a [`crate::link`]: postcard bodies, each
//! after its length in two little-endian bytes.
//!
//! Asking twice does no harm anywhere, so whoever lost the link begins again: an image is
//! named by its SHA-256 and goes on where it stopped, a request by its number, an answer by
//! its case. A kind of message never changes its number or its fields; new ones are added
//! at the end, with a new protocol version.

use heapless::Vec;
use serde::{Deserialize, Serialize};

use crate::link::Endpoint;

/// The longest body.
pub const MESSAGE_LENGTH: usize = 1024;

/// The most bytes of an image in one [`Request::Chunk`].
pub const CHUNK_LENGTH: usize = 1000;

/// The most bytes of text in one message.
pub const TEXT_LENGTH: usize = 512;

/// The most classes that a [`Report::Finding`] names, the likeliest first.
pub const CLASSES: usize = 8;

const HEADER: usize = 2;

/// SHA-256 of an image file.
pub type Digest = [u8; 32];

/// What the host says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Request<'a> {
    /// A console line, without its end; answered by [`Report::Console`].
    Console {
        /// The line.
        line: &'a str,
    },
    /// An image will come; answered by [`Report::Wanted`] or [`Report::Stored`].
    Put {
        /// Its SHA-256.
        image: Digest,
        /// Its bytes.
        size: u32,
    },
    /// Bytes of the image that was put last.
    Chunk {
        /// Number of the first byte; the device wants them in order.
        offset: u32,
        /// At most [`CHUNK_LENGTH`].
        bytes: &'a [u8],
    },
    /// Run a case for a stored image; answered by [`Report::Accepted`]. Its answer will be
    /// sent on this link.
    Run {
        /// The host's number for this request: the same one is the same case.
        request: u64,
        /// The image's SHA-256.
        image: Digest,
        /// The exam; where absent, what the image itself asks for.
        exam: Option<&'a str>,
        /// Where to look: `[x, y, width, height]` in the image's pixels.
        region: Option<[u32; 4]>,
    },
    /// Send every answer that no host has taken yet, and those to come.
    Fetch,
    /// The answer of this case is safe here: never send it again.
    Taken {
        /// The case.
        case: u64,
    },
    /// Who this host is, said first on each link. From then on its requests are its own,
    /// whatever line they come on, and each answer is preceded by a [`Report::About`]. A
    /// device of before there was this message refuses it; that does no harm.
    Client {
        /// Drawn by chance, once for as long as the host's request numbers do not start again.
        identity: u64,
    },
    /// [`Request::Run`] with everything that a case can be asked.
    RunWith {
        /// The host's number for this request: the same one is the same case.
        request: u64,
        /// The image's SHA-256.
        image: Digest,
        /// The exam; where absent, what the image itself asks for.
        exam: Option<&'a str>,
        /// Where to look: `[x, y, width, height]` in the image's pixels.
        region: Option<[u32; 4]>,
        /// How much it hurries.
        priority: Priority,
        /// The patient's age in whole years.
        age: Option<u8>,
        /// The patient's sex.
        sex: Option<Sex>,
    },
    /// Say on this link what needs a person before long, by [`Report::Warnings`]: now, and
    /// whenever it changes. A device of before there was this message refuses it; that does no
    /// harm.
    Watch,
}

/// How much a case hurries.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Priority {
    /// In its turn.
    #[default]
    Routine,
    /// Before what is routine.
    Urgent,
    /// At once.
    Stat,
}

/// A patient's sex, as DICOM's Patient's Sex (0010,0040) has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Sex {
    /// `F`.
    Female,
    /// `M`.
    Male,
    /// `O`.
    Other,
}

/// What the device says.
// There is no heap to box the largest one on, and only one is held at a time.
#[allow(clippy::large_enum_variant)]
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Report<'a> {
    /// The first message of every link.
    Hello {
        /// Chosen by chance when the device's state folder was made: case numbers are unique
        /// within it.
        device: u64,
        /// The program and its version.
        software: &'a str,
        /// The bundle's name and version.
        bundle: &'a str,
        /// What the bundle may be used for.
        intended_use: &'a str,
    },
    /// The answer to a console line, in parts.
    Console {
        /// At most [`TEXT_LENGTH`] bytes of it.
        text: &'a str,
        /// Whether another part follows.
        more: bool,
    },
    /// Send the image's bytes from here on.
    Wanted {
        /// The image.
        image: Digest,
        /// What the device has of it.
        offset: u32,
    },
    /// The whole image is on the device's disk and has the right hash.
    Stored {
        /// The image.
        image: Digest,
    },
    /// The case is on the device's disk: it will be answered.
    Accepted {
        /// The host's number.
        request: u64,
        /// The case.
        case: u64,
    },
    /// A request was not done.
    Refused {
        /// The number of a [`Request::Run`].
        request: Option<u64>,
        /// The [`crate::fault::Fault`]'s number.
        number: i16,
        /// Its text.
        text: &'a str,
    },
    /// How a case goes on. These may be lost where the line is slow.
    Progress {
        /// The case.
        case: u64,
        /// What it does.
        step: Step,
    },
    /// The device's storage failed, or works again.
    StorageFault(bool),
    /// A case ended in a finding; sent until it is [`Request::Taken`].
    Finding {
        /// The case.
        case: u64,
        /// What was found.
        #[serde(borrow)]
        finding: Finding<'a>,
    },
    /// A case ended in a refusal; sent until it is [`Request::Taken`].
    Refusal {
        /// The case.
        case: u64,
        /// Stable code.
        code: &'a str,
        /// What the user can do about it.
        #[serde(rename = "cure")]
        help: &'a str,
        /// What the bundle may be used for.
        intended_use: &'a str,
    },
    /// A case was dropped before it ran; sent until it is [`Request::Taken`].
    Aborted {
        /// The case.
        case: u64,
    },
    /// After [`Request::Fetch`]: all answers that there are were taken.
    Fetched,
    /// Cases are accepted and kept, and none is answered. Both are empty where that is over.
    SafeState {
        /// Stable code: why.
        code: &'a str,
        /// What the user can do about it.
        #[serde(rename = "cure")]
        help: &'a str,
    },
    /// Which image the answer that follows is about; said to hosts that told who they are.
    About {
        /// The case.
        case: u64,
        /// The image's SHA-256.
        image: Digest,
    },
    /// What else a reader must know of the answer that follows; said to hosts that told who
    /// they are, where there is something.
    Notes {
        /// The case.
        case: u64,
        /// Stable codes, comma between: the record has a sentence for each.
        codes: &'a str,
    },
    /// What needs a person before long; cases are answered all the same. Said to hosts that
    /// asked for it by [`Request::Watch`]. Both are empty where nothing does.
    Warnings {
        /// Stable codes, comma between.
        codes: &'a str,
        /// What the user can do about the first of them.
        help: &'a str,
    },
}

/// How a case goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Step {
    /// It waits for others.
    Waiting,
    /// It begins to run.
    Started,
    /// It entered a stage.
    Stage {
        /// Counted from 0.
        index: u8,
        /// How many there are.
        of: u8,
    },
}

/// A finding in short; the whole record is asked for with `CASE:RES? id,JSON`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Finding<'a> {
    /// The exam.
    pub exam: &'a str,
    /// The class that is answered.
    pub class: &'a str,
    /// Triage level: `routine`, `priority`, `urgent`, `review`.
    pub level: &'a str,
    /// Classes and their calibrated probabilities, the likeliest first.
    #[serde(borrow)]
    pub probabilities: Vec<(&'a str, f64), CLASSES>,
    /// `[x, y, width, height]` of the region; zeros where none was found.
    pub region: [u32; 4],
    /// Pixels of the region over pixels of the image.
    pub area_fraction: f64,
    /// What the bundle may be used for.
    pub intended_use: &'a str,
}

/// A message with its length before it.
pub type MessageBytes = Vec<u8, { HEADER + MESSAGE_LENGTH }>;

/// Writes a message for [`Endpoint::write`]. `None` where it is longer than
/// [`MESSAGE_LENGTH`].
pub fn pack(message: &impl Serialize) -> Option<MessageBytes> {
    let mut bytes = MessageBytes::new();
    bytes.resize(HEADER + MESSAGE_LENGTH, 0).ok()?;
    let length = postcard::to_slice(message, &mut bytes[HEADER..])
        .ok()?
        .len();
    bytes[..HEADER].copy_from_slice(&(length as u16).to_le_bytes());
    bytes.truncate(HEADER + length);
    Some(bytes)
}

/// Reads a body, all of it.
pub fn unpack<'a, M: Deserialize<'a>>(body: &'a [u8]) -> Option<M> {
    match postcard::take_from_bytes(body) {
        Ok((message, [])) => Some(message),
        _ => None,
    }
}

/// The other end does not follow the protocol; the link is of no use any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Broken;

/// Gathers a link's bytes to messages.
#[derive(Debug, Default)]
pub struct Inbox {
    bytes: Vec<u8, { HEADER + MESSAGE_LENGTH }>,
    given: bool,
}

impl Inbox {
    /// The next whole body, if there is one.
    ///
    /// # Errors
    /// [`Broken`] where a message is announced that is longer than any.
    pub fn next(&mut self, endpoint: &mut Endpoint) -> Result<Option<&[u8]>, Broken> {
        if core::mem::take(&mut self.given) {
            self.bytes.clear();
        }
        if self.fill(HEADER, endpoint) {
            let length = usize::from(u16::from_le_bytes([self.bytes[0], self.bytes[1]]));
            if length > MESSAGE_LENGTH {
                return Err(Broken);
            }
            if self.fill(HEADER + length, endpoint) {
                self.given = true;
                return Ok(Some(&self.bytes[HEADER..]));
            }
        }
        Ok(None)
    }

    /// Forgets what was begun, as when a new link is opened.
    pub fn forget(&mut self) {
        self.bytes.clear();
        self.given = false;
    }

    fn fill(&mut self, length: usize, endpoint: &mut Endpoint) -> bool {
        let have = self.bytes.len();
        if have < length && self.bytes.resize(length, 0).is_ok() {
            let came = endpoint.read(&mut self.bytes[have..]);
            self.bytes.truncate(have + came);
        }
        self.bytes.len() >= length
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_message_has_its_number_for_ever() {
        let text = "a";
        let requests = [
            Request::Console { line: text },
            Request::Put {
                image: [0; 32],
                size: 1,
            },
            Request::Chunk {
                offset: 1,
                bytes: &[1],
            },
            Request::Run {
                request: 1,
                image: [0; 32],
                exam: Some(text),
                region: None,
            },
            Request::Fetch,
            Request::Taken { case: 1 },
            Request::Client { identity: u64::MAX },
            Request::RunWith {
                request: 1,
                image: [0; 32],
                exam: Some(text),
                region: Some([1, 2, 3, 4]),
                priority: Priority::Stat,
                age: Some(34),
                sex: Some(Sex::Other),
            },
            Request::Watch,
        ];
        for (number, request) in requests.iter().enumerate() {
            let bytes = pack(request).unwrap();
            assert_eq!(usize::from(bytes[HEADER]), number, "{request:?}");
            assert_eq!(unpack::<Request<'_>>(&bytes[HEADER..]), Some(*request));
        }
        let finding = Finding {
            exam: text,
            class: text,
            level: text,
            probabilities: Vec::from_slice(&[(text, 0.5)]).unwrap(),
            region: [1, 2, 3, 4],
            area_fraction: 0.25,
            intended_use: text,
        };
        let reports = [
            Report::Hello {
                device: u64::MAX,
                software: text,
                bundle: text,
                intended_use: text,
            },
            Report::Console { text, more: true },
            Report::Wanted {
                image: [1; 32],
                offset: u32::MAX,
            },
            Report::Stored { image: [1; 32] },
            Report::Accepted {
                request: 1,
                case: 2,
            },
            Report::Refused {
                request: None,
                number: -1,
                text,
            },
            Report::Progress {
                case: 1,
                step: Step::Stage { index: 1, of: 6 },
            },
            Report::StorageFault(true),
            Report::Finding { case: 1, finding },
            Report::Refusal {
                case: 1,
                code: text,
                help: text,
                intended_use: text,
            },
            Report::Aborted { case: 1 },
            Report::Fetched,
            Report::SafeState {
                code: text,
                help: text,
            },
            Report::About {
                case: 1,
                image: [1; 32],
            },
            Report::Notes {
                case: 1,
                codes: text,
            },
            Report::Warnings {
                codes: text,
                help: text,
            },
        ];
        for (number, report) in reports.iter().enumerate() {
            let bytes = pack(report).unwrap();
            assert_eq!(usize::from(bytes[HEADER]), number, "{report:?}");
            assert_eq!(
                unpack::<Report<'_>>(&bytes[HEADER..]).as_ref(),
                Some(report)
            );
        }
    }

    #[test]
    fn the_longest_chunk_and_text_fit_and_longer_ones_are_refused() {
        let offset = u32::MAX;
        let bytes = [0xff; MESSAGE_LENGTH + 1];
        for (length, fits) in [(CHUNK_LENGTH, true), (MESSAGE_LENGTH, false)] {
            let bytes = &bytes[..length];
            let chunk = Request::Chunk { offset, bytes };
            assert_eq!(pack(&chunk).is_some(), fits, "{length}");
        }
    }

    proptest! {
        #[test]
        fn any_body_is_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = unpack::<Request<'_>>(&body);
            let _ = unpack::<Report<'_>>(&body);
        }
    }
}
