//! Prompts, mask choice and the region-guided input.
//!
//! This module turns a question about a place ("what lies in this box?") into points
//! for the mask decoder, the decoder's answer into one clean [`Mask`] in the image's
//! own pixels, and that mask into the picture the image encoder sees. It runs no
//! graph.

mod mask;
mod prompt;
mod style;

pub use mask::{Logits, Mask};
pub use prompt::{
    DecodedMask, PointLabel, Prompt, PromptError, Question, Strategy, choose, single_mask,
};
pub use style::{FocusSettings, Style, UnitRegion};
