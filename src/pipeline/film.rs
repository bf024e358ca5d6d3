//! The film in its picture: what gate and models are shown, and the way back from its pixels
//! to the picture's own, in which everything is told.
//!
//! Where the bundle does not look for a film, or the picture has no border, the film is the
//! picture. Never loses a prompt: one that lies beside the film is refused.

use std::borrow::Cow;

use super::Reading;
use crate::bundle::Bundle;
use crate::case::{Help, Refusal, RefusalCode};
use crate::focus::Prompt;
use crate::gate;
use crate::image::Image;

/// A picture's film.
pub struct Film<'a> {
    picture: &'a Image,
    image: Cow<'a, Image>,
    place: Option<[u32; 4]>,
}

impl<'a> Film<'a> {
    /// Finds the film in a picture.
    pub fn of(bundle: &Bundle, picture: &'a Image) -> Self {
        let spec = bundle.manifest.gate.as_ref().and_then(|gate| gate.film);
        let place = spec
            .map(|spec| gate::film(picture, &spec))
            .filter(|place| *place != [0, 0, picture.width, picture.height])
            // A unit that says where its picture lies knows better.
            .filter(|place| {
                picture
                    .metadata
                    .region
                    .is_none_or(|said| overlap(said, *place))
            });
        let image = place.map_or(Cow::Borrowed(picture), |place| {
            Cow::Owned(picture.part(place))
        });
        Self {
            picture,
            image,
            place,
        }
    }

    /// The film alone.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// `[x, y, width, height]` in the picture's pixels, where something was left out.
    pub fn place(&self) -> Option<[u32; 4]> {
        self.place
    }

    /// The user's prompts in the film's pixels; a box is cut to it.
    ///
    /// # Errors
    /// `prompt_outside`.
    pub(super) fn prompts(&self, prompts: &[Prompt]) -> Result<Vec<Prompt>, Refusal> {
        let (width, height) = (self.picture.width, self.picture.height);
        let outside = |of: String| Refusal::new(RefusalCode::PromptOutside, of, Help::MovePrompt);
        let place = self.place.unwrap_or([0, 0, width, height]);
        let within = |prompt: &Prompt| {
            if !prompt.lies_in(width, height) {
                let of = format!("the prompt lies outside the {width} x {height} image");
                return Err(outside(of));
            }
            let [x, y, w, h] = place;
            prompt.seen_in(place).ok_or_else(|| {
                outside(format!(
                    "the prompt lies in the image's border: its film is {w} x {h} at {x},{y}"
                ))
            })
        };
        prompts.iter().map(within).collect()
    }

    /// A reading of the film, its region in the picture's pixels.
    pub fn placed(&self, reading: Reading) -> Reading {
        let Some([x, y, _, _]) = self.place else {
            return reading;
        };
        let (width, height) = (self.picture.width, self.picture.height);
        Reading {
            mask: reading.mask.placed([x, y], width, height),
            ..reading
        }
    }

    /// What a reader must know of it.
    pub(super) fn note(&self) -> Option<String> {
        let [x, y, width, height] = self.place?;
        Some(format!(
            "film: the border was left out; {width} x {height} pixels at {x},{y} were read"
        ))
    }
}

fn overlap([ax, ay, aw, ah]: [u32; 4], [bx, by, bw, bh]: [u32; 4]) -> bool {
    ax < bx + bw && bx < ax + aw && ay < by + bh && by < ay + ah
}
