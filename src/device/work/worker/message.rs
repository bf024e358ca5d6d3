//! What the device and its worker say to each other, as messages over pipes
//! ([`child`](crate::child)). Used by both ends. A change of any message raises the number in
//! `child::FORM`.

use std::io::{ErrorKind, Result};

use serde::{Deserialize, Serialize};

use crate::bundle::Outline;
use crate::case::{Finding, Question, Refusal};
use crate::device::cases::Answered;
use crate::device::events::Preview;
use crate::focus::Mask;
use crate::image::{Image, ImageMetadata, Pixels};
use crate::journal::SelfCheck;
use crate::pipeline::Stage;
use crate::sha256::Sha256;

/// The longest message: the runs of the largest image's region are far shorter.
pub const LONGEST: u32 = 256 << 20;

/// What the device asks.
#[derive(Debug, Serialize, Deserialize)]
pub enum Request {
    /// What comes first: the key of the prepared graphs that the device made. Not on the command
    /// line, which others can read.
    Begin { prepared: Option<[u8; 32]> },
    /// A case.
    Case {
        case: u64,
        question: Question,
        image: Box<Picture>,
    },
    /// Its checks once more.
    SelfTest,
}

/// What the worker says.
#[derive(Debug, Serialize, Deserialize)]
pub enum Report {
    /// The bundle is loaded, by a program that says [`FORM`](crate::child::FORM). Stands first for
    /// ever, its text first in it: so another program is known before more of it is believed.
    Loaded { software: String, bundle: Outline },
    /// There is nothing to work with.
    Useless(SelfCheck),
    /// So many bytes of memory are in use.
    Uses(u64),
    /// What the checks came to.
    Tested(Vec<SelfCheck>),
    /// A stage of the case begins.
    Begun(Stage),
    /// A stage of the case ended after so many milliseconds.
    Ended(Stage, f64),
    /// The case ended.
    Answered(Box<Answer>),
}

/// A decoded image: what the pipeline looks at, and nothing that names a patient.
#[derive(Debug, Serialize, Deserialize)]
pub struct Picture {
    pixels: Raster,
    metadata: ImageMetadata,
    sha256: Sha256,
}

/// Pixels, and their size.
#[derive(Debug, Serialize, Deserialize)]
struct Raster {
    width: u32,
    height: u32,
    is_rgb: bool,
    #[serde(with = "at_once")]
    bytes: Vec<u8>,
}

impl From<Image> for Picture {
    fn from(image: Image) -> Self {
        Self {
            pixels: Raster::of(image.width, image.height, image.pixels),
            metadata: image.metadata,
            sha256: image.sha256,
        }
    }
}

impl Picture {
    /// The image; an error where its parts do not fit together.
    pub fn into_image(self) -> Result<Image> {
        self.pixels.into_image(self.metadata, self.sha256)
    }
}

impl Raster {
    fn of(width: u32, height: u32, pixels: Pixels) -> Self {
        let (is_rgb, bytes) = match pixels {
            Pixels::Luma(bytes) => (false, bytes),
            Pixels::Rgb(bytes) => (true, bytes),
        };
        Self {
            width,
            height,
            is_rgb,
            bytes,
        }
    }

    fn into_image(self, metadata: ImageMetadata, sha256: Sha256) -> Result<Image> {
        let area = u64::from(self.width) * u64::from(self.height);
        let channels = if self.is_rgb { 3 } else { 1 };
        if area.checked_mul(channels) != Some(self.bytes.len() as u64) {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(Image {
            width: self.width,
            height: self.height,
            pixels: if self.is_rgb {
                Pixels::Rgb(self.bytes)
            } else {
                Pixels::Luma(self.bytes)
            },
            metadata,
            sha256,
            origin: None,
        })
    }
}

/// A finding and what a display shows beside it, or why there is none. Neither says whose image it
/// is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Answer(std::result::Result<(Finding, Sight), Refusal>);

/// A [`Preview`]: pixels, and as many truths of the region.
#[derive(Debug, Serialize, Deserialize)]
struct Sight {
    title: String,
    short_title: String,
    pixels: Raster,
    region: Vec<bool>,
}

impl From<Answered> for Answer {
    fn from(answered: Answered) -> Self {
        Self(answered.map(|(finding, preview)| (finding, preview.into())))
    }
}

impl Answer {
    /// What came of the case; an error where the parts do not fit together.
    pub fn into_answered(self) -> Result<Answered> {
        match self.0 {
            Ok((finding, _)) if finding.answer >= finding.probabilities.len() => {
                Err(ErrorKind::InvalidData.into())
            }
            Ok((finding, sight)) => Ok(Ok((finding, sight.into_preview()?))),
            Err(refusal) => Ok(Err(refusal)),
        }
    }
}

impl From<Preview> for Sight {
    fn from(preview: Preview) -> Self {
        let thumbnail = preview.thumbnail;
        Self {
            title: preview.title,
            short_title: preview.short_title,
            pixels: Raster::of(thumbnail.width, thumbnail.height, thumbnail.pixels),
            region: preview.region.bits().to_vec(),
        }
    }
}

/// A preview is no file's picture: its pixels were made here.
const NO_FILE: Sha256 = Sha256([0; 32]);

impl Sight {
    fn into_preview(self) -> Result<Preview> {
        let thumbnail = self.pixels.into_image(ImageMetadata::default(), NO_FILE)?;
        let (width, height) = (thumbnail.width, thumbnail.height);
        let area = u64::from(width) * u64::from(height);
        if self.region.len() as u64 != area {
            return Err(ErrorKind::InvalidData.into());
        }
        Ok(Preview {
            title: self.title,
            short_title: self.short_title,
            thumbnail,
            region: Mask::new(width, height, self.region),
        })
    }
}

/// Bytes as one piece: one by one, those of a large image would take as long as a stage.
mod at_once {
    use std::fmt;

    use serde::de::{Deserializer, Error, Visitor};
    use serde::ser::Serializer;

    pub fn serialize<S: Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_bytes(bytes)
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Vec<u8>;

            fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
                to.write_str("bytes")
            }

            fn visit_bytes<E: Error>(self, bytes: &[u8]) -> Result<Vec<u8>, E> {
                Ok(bytes.to_vec())
            }
        }
        from.deserialize_bytes(Bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::case::{
        Anatomy, Check, ClassProbability, Laterality, MaskReport, RefusalCode, Rle, TriageLevel,
    };
    use crate::child::{FORM, Inbox, bytes_of, write};
    use crate::patient::Patient;

    fn found() -> (Finding, Preview) {
        let finding = Finding {
            exam: "brain4".to_owned(),
            answer: 0,
            patient: Patient::default(),
            anatomy: Anatomy {
                body_part: Some("BRAIN".to_owned()),
                view: Some("PA".to_owned()),
                laterality: Some(Laterality::R),
            },
            probabilities: vec![ClassProbability {
                class: "glioma".to_owned(),
                label: "Glioma".to_owned(),
                probability: 0.1 + 0.2,
            }],
            film: None,
            prediction_set: None,
            triage_level: TriageLevel::Urgent,
            mask: MaskReport {
                bbox: [0, 0, 1, 1],
                area_fraction: 1.0 / 3.0,
                rle: Rle {
                    size: [1, 2],
                    counts: vec![0, 1, 1],
                },
                predicted_iou: 0.7,
            },
            focus: "crop".to_owned(),
            gate: Check::Passed,
            guard: Check::Forced,
            guard_distance: Some(0.1 + 0.2),
            reasons: vec!["unsure: a person decides".to_owned()],
        };
        let thumbnail = Image {
            width: 2,
            height: 1,
            pixels: Pixels::Rgb(vec![1, 2, 3, 4, 5, 6]),
            metadata: ImageMetadata::default(),
            sha256: NO_FILE,
            origin: None,
        };
        let preview = Preview {
            title: "Brain".to_owned(),
            short_title: "Head".to_owned(),
            thumbnail,
            region: Mask::new(2, 1, vec![true, false]),
        };
        (finding, preview)
    }

    /// What another process hears of this.
    fn heard(answered: Answered) -> Result<Answered> {
        let (read, mut written) = std::io::pipe()?;
        write(&mut written, &Report::Begun(crate::pipeline::Stage::Head))?;
        write(&mut written, &Report::Answered(Box::new(answered.into())))?;
        drop(written);
        let mut inbox = Inbox::new(read, LONGEST);
        assert!(matches!(inbox.next(None)?, Some(Report::Begun(_))));
        let Some(Report::Answered(answer)) = inbox.next(None)? else {
            panic!("no answer");
        };
        assert!(inbox.next::<Report>(None)?.is_none(), "nothing else");
        answer.into_answered()
    }

    #[test]
    fn a_message_of_another_form_has_another_number() {
        let image = Box::new(Picture::from(found().1.thumbnail));
        let question = Question {
            exam: Some("brain4".to_owned()),
            region: Some([0, 0, 1, 1]),
            patient: Patient::default(),
        };
        let refusal = Refusal::new(RefusalCode::Deadline, "a", "b");
        let said = [
            bytes_of(&Request::Begin {
                prepared: Some([7; 32]),
            }),
            bytes_of(&Request::Case {
                case: 7,
                question,
                image,
            }),
            bytes_of(&Request::SelfTest),
            bytes_of(&Report::Useless(SelfCheck::failed("a", "b", "c", "d"))),
            bytes_of(&Report::Uses(7)),
            bytes_of(&Report::Tested(vec![SelfCheck::passed("a", "b")])),
            bytes_of(&Report::Begun(Stage::Head)),
            bytes_of(&Report::Ended(Stage::Head, 0.5)),
            bytes_of(&Report::Answered(Box::new(Ok(found()).into()))),
            bytes_of(&Report::Answered(Box::new(Err(refusal).into()))),
        ];
        let said: Vec<u8> = said.into_iter().flat_map(Result::unwrap).collect();
        let form = (FORM, Sha256::of(&said).to_string());
        // Where the bytes are others, the number in `FORM` is raised and both are written anew.
        let known = (
            "medfocus 0.1.0, messages 5",
            "5c021276f9f511e6a7200144d5df6fdef131fcb66fd2015054804bed9d3903c0".to_owned(),
        );
        assert_eq!(form, known);
    }

    #[test]
    fn an_answer_crosses_to_the_bit() {
        assert_eq!(heard(Ok(found())).unwrap(), Ok(found()));
        let refusal = Refusal::new(RefusalCode::Deadline, "a", "b");
        assert_eq!(heard(Err(refusal.clone())).unwrap(), Err(refusal));
    }

    #[test]
    fn an_image_crosses_without_what_names_a_patient() {
        let image = Image {
            metadata: ImageMetadata {
                modality: Some("DX".to_owned()),
                region: Some([0, 0, 1, 1]),
                ..ImageMetadata::default()
            },
            sha256: Sha256::of(b"00"),
            ..found().1.thumbnail
        };
        let question = Question {
            exam: Some("brain4".to_owned()),
            region: Some([0, 0, 1, 1]),
            patient: Patient::default(),
        };
        let request = Request::Case {
            case: 7,
            question: question.clone(),
            image: Box::new(image.clone().into()),
        };
        let (read, mut written) = std::io::pipe().unwrap();
        write(&mut written, &request).unwrap();
        let Some(Request::Case {
            image: came,
            question: asked,
            ..
        }) = Inbox::new(read, LONGEST).next(None).unwrap()
        else {
            panic!("no case");
        };
        assert_eq!(asked, question);
        assert_eq!(came.into_image().unwrap(), image);
        let mut short = Picture::from(image);
        short.pixels.bytes.pop();
        assert!(short.into_image().is_err());
    }

    #[test]
    fn parts_that_do_not_fit_are_an_error() {
        let spoil: [fn(&mut Finding, &mut Preview); 3] = [
            |_, preview| preview.thumbnail.width = 3,
            |finding, _| finding.answer = 1,
            |_, preview| preview.region = Mask::new(1, 1, vec![true]),
        ];
        for spoil in spoil {
            let (mut finding, mut preview) = found();
            spoil(&mut finding, &mut preview);
            assert!(heard(Ok((finding, preview))).is_err());
        }
    }
}
