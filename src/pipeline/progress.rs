//! The stages of a case, and the observer that is told when each begins and ends. The pipeline
//! tells; displays, lines and timings listen. An observer changes no answer.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::case::Timings;

/// A step of a case, in the order in which they come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Stage {
    /// The file becomes an [`Image`](crate::image::Image).
    Decode,
    /// The segmenter's encoder.
    SegmenterEncode,
    /// The prompts and the mask decoder.
    SegmenterDecode,
    /// The region-guided input.
    Focus,
    /// The image encoder, whole and focused image.
    ImageEncode,
    /// Fusion head, calibration and level.
    Head,
}

impl Stage {
    /// All stages in order.
    pub const ALL: [Self; 6] = [
        Self::Decode,
        Self::SegmenterEncode,
        Self::SegmenterDecode,
        Self::Focus,
        Self::ImageEncode,
        Self::Head,
    ];

    /// The word in JSON's `timings_ms`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Decode => "decode",
            Self::SegmenterEncode => "segmenter_encode",
            Self::SegmenterDecode => "segmenter_decode",
            Self::Focus => "focus",
            Self::ImageEncode => "image_encode",
            Self::Head => "head",
        }
    }
}

/// Is told of each stage while a case runs.
pub trait Observer {
    /// A stage begins.
    fn begun(&mut self, stage: Stage);
    /// A stage ended, well or not, after so many milliseconds.
    fn ended(&mut self, stage: Stage, ms: f64);
}

/// Timings alone: whoever waits anyway needs no progress.
impl Observer for Timings {
    fn begun(&mut self, _: Stage) {}

    fn ended(&mut self, stage: Stage, ms: f64) {
        self.note(stage.word(), ms);
    }
}

/// Does the work of a stage and tells the observer.
pub fn observe<T>(observer: &mut dyn Observer, stage: Stage, work: impl FnOnce() -> T) -> T {
    observer.begun(stage);
    let since = Instant::now();
    let made = work();
    observer.ended(stage, since.elapsed().as_secs_f64() * 1e3);
    made
}
