//! Screens: what a small display shows: boot, ready, working, finding, refusal, fault, and that it is
//! switched off.
//!
//! A screen is laid out as a list of parts, each with an area of its own ([`lay_out`]); a
//! [`Painter`] then draws the parts that differ from those drawn before, on any
//! `DrawTarget`. So a panel on a slow bus is sent only what changed, and tests can ask the
//! parts where they lie.
//!
//! | module | what it is for |
//! |---|---|
//! | [`words`] | every phrase in five languages; `names` has exams and classes |
//! | `face` | sizes and weights of lettering |
//! | [`lettering`] | widths, ellipsis, line breaks, letters |
//! | [`devanagari`] | Hindi words that were shaped beforehand |
//! | [`percent`] | whole percentages that add up |
//! | [`palette`] | colours and why these |
//! | [`shapes`] | triage levels as shapes |
//! | [`layout`] | panels, and the parts that a screen is cut into |
//! | [`pages`] | what stands where, one function a screen |
//! | `answer` | the same, of a finding |
//! | [`paint`] | parts become pixels; only what changed |
//! | [`canvas`] | pixels in memory, for panels that have none |
//!
//! Never shows a file's name or anything else that could name a patient, and never a
//! finding without its exam and what the bundle may be used for.

mod answer;
pub mod canvas;
pub mod devanagari;
mod face;
mod language;
pub mod layout;
pub mod lettering;
mod names;
pub mod pages;
pub mod paint;
pub mod palette;
pub mod percent;
pub mod shapes;

mod warnings;
pub mod words;

#[cfg(test)]
mod tests;

pub use canvas::Canvas;
pub use layout::{Frame, Panel};
pub use pages::lay_out;
pub use paint::Painter;
pub use words::Language;

/// How soon a person should look at a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Level {
    /// Nothing found that hurries.
    Routine,
    /// To be looked at today.
    Priority,
    /// To be looked at now.
    Urgent,
    /// The model is not sure enough: a person decides.
    Review,
}

impl Level {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Routine, Self::Priority, Self::Urgent, Self::Review];
}

/// What the bundle's answers may be used for; neither is care.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Use {
    /// To show how it works.
    Demonstration,
    /// To study it.
    Research,
}

/// Where a running case stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stage {
    /// The image is read.
    Decode,
    /// The segmenter looks for the region.
    Segment,
    /// The image encoder reads the whole image and the region.
    Read,
    /// The fusion head answers.
    Answer,
}

impl Stage {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Decode, Self::Segment, Self::Read, Self::Answer];
}

/// Pages of a display. A new case turns to the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Page {
    /// What matters now.
    #[default]
    Summary,
    /// The probability of every class.
    Classes,
    /// The image with its region, as large as it goes.
    Region,
    /// The device itself.
    Device,
}

impl Page {
    /// All of them, in order.
    pub const ALL: [Self; 4] = [Self::Summary, Self::Classes, Self::Region, Self::Device];

    /// The page of `DISP:PAGE n`, counted from 0.
    pub fn of_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// A small picture of the image with its region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Thumbnail<'a> {
    width: u16,
    height: u16,
    luma: &'a [u8],
    region: &'a [bool],
}

impl<'a> Thumbnail<'a> {
    /// A picture of `width` x `height` grey values, row by row, and which of them lie in
    /// the region. `None` where a length is not width times height, or nothing is there.
    pub fn new(width: u16, height: u16, luma: &'a [u8], region: &'a [bool]) -> Option<Self> {
        let pixels = usize::from(width) * usize::from(height);
        (pixels > 0 && luma.len() == pixels && region.len() == pixels).then_some(Self {
            width,
            height,
            luma,
            region,
        })
    }

    /// Columns and rows.
    pub fn size(&self) -> (u32, u32) {
        (self.width.into(), self.height.into())
    }

    /// Grey value, and whether it lies in the region; `None` outside the picture.
    pub fn at(&self, x: u32, y: u32) -> Option<(u8, bool)> {
        let (width, height) = self.size();
        if x >= width || y >= height {
            return None;
        }
        let index = (y * width + x) as usize;
        Some((self.luma[index], self.region[index]))
    }
}

/// One class and its probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Class<'a> {
    /// What people read.
    pub label: &'a str,
    /// 0 to 1.
    pub probability: f32,
}

/// A finding as a display shows it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding<'a> {
    /// The case's number.
    pub case: u64,
    /// The exam that was asked, in a few words.
    pub exam: &'a str,
    /// Age and sex, where they may be shown; empty where not.
    pub patient: &'a str,
    /// All classes in the bundle's order.
    pub classes: &'a [Class<'a>],
    /// Index of the class that is answered.
    pub answer: usize,
    /// How soon a person should look.
    pub level: Level,
    /// The region's share of the image, 0 to 1; `None` where no region was found.
    pub region: Option<f32>,
    /// The image, where it is still at hand.
    pub thumbnail: Option<Thumbnail<'a>>,
}

/// The device itself, for its page and every footer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Health<'a> {
    /// Version of the program.
    pub version: &'a str,
    /// Name and version of the bundle; empty while none is loaded.
    pub bundle: &'a str,
    /// What its answers may be used for; `None` while none is loaded.
    pub intended_use: Option<Use>,
    /// Whether the self-test passed.
    pub self_test: bool,
    /// Whether the storage takes what is written.
    pub storage: bool,
    /// Cases that wait.
    pub waiting: u32,
    /// Cases that were answered.
    pub answered: u32,
    /// Name of what needs a person before long; empty where nothing does.
    pub warning: &'a str,
    /// What a person can do about it; empty where that is not known.
    pub warning_help: &'a str,
}

/// What the device does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Screen<'a> {
    /// It starts and tests itself.
    Starting {
        /// Whether the bundle is loaded and the self-test runs.
        self_test: bool,
    },
    /// It waits for an image.
    Ready,
    /// It was switched off: nothing of any case is left.
    Off,
    /// Nobody looked for long: nothing is shown, and a panel of its own light is dark.
    Asleep,
    /// A case runs.
    Working {
        /// The case's number.
        case: u64,
        /// Where it stands.
        stage: Stage,
    },
    /// A case ended in a finding.
    Finding(Finding<'a>),
    /// A case ended without one.
    Refusal {
        /// The case's number.
        case: u64,
        /// What a person can do about it.
        help: &'a str,
    },
    /// The device cannot work.
    Fault {
        /// A stable code, for who repairs it.
        code: &'a str,
        /// What a person can do about it.
        help: &'a str,
    },
}
