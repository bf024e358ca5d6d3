//! What of a picture may be shown where nothing may tell whose it is: the Clean Pixel Data
//! Option of PS3.15, annex E.3.1, as far as a file's own words reach.
//!
//! Ultrasound units write names and dates around the region that they measure, and say
//! where that lies: outside it everything goes. Nothing here reads letters in a picture, so
//! one that may hold some, with no region to keep, is refused.

use std::borrow::Cow;

use super::{Image, Pixels};
use crate::finding::{Help, Refusal, RefusalCode};

impl Image {
    /// The image without what its unit may have written around its region.
    ///
    /// # Errors
    /// `burned_in`, where the file says that something is burned in, or is of an ultrasound
    /// unit and does not say that nothing is, and names no region.
    pub fn cleaned(&self) -> Result<Cow<'_, Self>, Refusal> {
        if let Some(region) = self.said.region {
            let pixels = match &self.pixels {
                Pixels::Luma(luma) => Pixels::Luma(self.only::<1>(luma, region)),
                Pixels::Rgb(rgb) => Pixels::Rgb(self.only::<3>(rgb, region)),
            };
            return Ok(Cow::Owned(Self {
                pixels,
                said: self.said.clone(),
                sha256: self.sha256.clone(),
                origin: self.origin.clone(),
                ..*self
            }));
        }
        let why = match self.said.burned_in {
            Some(true) => "it says so: Burned In Annotation (0028,0301) is YES",
            None if self.said.modality.as_deref() == Some("US") => {
                "ultrasound units do so, and it does not say that this one did not"
            }
            _ => return Ok(Cow::Borrowed(self)),
        };
        Err(Refusal::new(
            RefusalCode::BurnedIn,
            format!("the picture may have a name burned into it, and no region says where: {why}"),
            Help::ShowNoPicture,
        ))
    }

    /// Pixels of `C` channels, black outside `[x, y, width, height]`.
    fn only<const C: usize>(&self, pixels: &[u8], [x, y, width, height]: [u32; 4]) -> Vec<u8> {
        let mut kept = vec![0; pixels.len()];
        let length = width as usize * C;
        for row in y..y + height {
            let start = (row as usize * self.width as usize + x as usize) * C;
            kept[start..start + length].copy_from_slice(&pixels[start..start + length]);
        }
        kept
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::Said;

    fn image(said: Said) -> Image {
        Image {
            width: 4,
            height: 3,
            pixels: Pixels::Luma((1..=12).collect()),
            said,
            sha256: String::new(),
            origin: None,
        }
    }

    fn said(modality: &str, burned_in: Option<bool>, region: Option<[u32; 4]>) -> Said {
        Said {
            modality: Some(modality.to_owned()),
            burned_in,
            region,
            ..Said::default()
        }
    }

    #[test]
    fn outside_the_region_nothing_is_left() {
        let image = image(said("US", Some(true), Some([1, 1, 2, 2])));
        let luma = vec![0, 0, 0, 0, 0, 6, 7, 0, 0, 10, 11, 0];
        assert_eq!(image.cleaned().unwrap().pixels, Pixels::Luma(luma));
    }

    #[test]
    fn without_a_region_only_what_holds_no_words_is_shown() {
        for (modality, burned_in, is_shown) in [
            ("US", None, false),
            ("US", Some(true), false),
            ("US", Some(false), true),
            ("MR", None, true),
            ("MR", Some(true), false),
        ] {
            let image = image(said(modality, burned_in, None));
            let cleaned = image.cleaned();
            assert_eq!(cleaned.is_ok(), is_shown, "{modality} {burned_in:?}");
            match cleaned {
                Ok(cleaned) => assert_eq!(*cleaned, image),
                Err(refusal) => assert_eq!(refusal.code.word(), "burned_in"),
            }
        }
    }
}
