//! `medfocus decode-image`: the child process that decodes one image for its parent. Not for
//! people.

use clap::Args;
use medfocus::image::{Wanted, decode_as_child};

use super::Failure;

#[derive(Debug, Args)]
pub struct DecodeImageArguments {
    /// The frame that is wanted, or `priority`
    wanted: Wanted,
}

pub fn run(arguments: &DecodeImageArguments) -> Result<(), Failure> {
    decode_as_child(arguments.wanted).map_err(|error| Failure::write("the image", &error))
}
