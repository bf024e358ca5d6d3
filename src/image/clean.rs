//! What of a picture may be shown where nothing may tell whose it is: the Clean Pixel Data
//! Option of PS3.15, annex E.3.1, as far as a file's own words reach.
//!
//! Ultrasound units write names and dates around the region that they measure, and say
//! where that lies: outside it everything goes. Nothing here reads letters in a picture. So
//! one with no region to keep is shown only where its header says that nothing is burned in,
//! where a person has looked and says so, or where it was computed from what a scanner
//! measured and is no capture of a screen. Any other may hold a name: radiographs from
//! cassettes, captures of screens and of ultrasound, photographs, scans of films. It is
//! refused.

use std::borrow::Cow;

use super::{Image, ImageMetadata, Pixels};
use crate::case::{Help, Refusal, RefusalCode};

/// What a person's word for it leaves in the finding.
const LOOKED_AT: &str =
    "looked_at: who asks says that nothing burned into the picture tells whose it is";

/// A region that holds more of a picture than this has no margin to write on.
const MOST_OF_A_PICTURE: f64 = 0.9;

impl Image {
    /// The image without what its unit may have written around its region.
    ///
    /// # Errors
    /// `burned_in`, where something may be burned in and no region says where.
    pub fn cleaned(&self) -> Result<Cow<'_, Self>, Refusal> {
        if let Some(region) = self
            .metadata
            .region
            .filter(|region| self.leaves_out(*region))
        {
            let pixels = match &self.pixels {
                Pixels::Luma(luma) => Pixels::Luma(self.only::<1>(luma, region)),
                Pixels::Rgb(rgb) => Pixels::Rgb(self.only::<3>(rgb, region)),
            };
            return Ok(Cow::Owned(Self {
                pixels,
                metadata: self.metadata.clone(),
                sha256: self.sha256,
                origin: self.origin.clone(),
                ..*self
            }));
        }
        match self.why_feared() {
            None => Ok(Cow::Borrowed(self)),
            Some(why) => Err(Refusal::new(
                RefusalCode::BurnedIn,
                format!(
                    "the picture may have a name burned into it, and no region says where: {why}"
                ),
                Help::ShowNoPicture,
            )),
        }
    }

    /// Whether words must be feared in the pixels.
    pub fn may_hold_words(&self) -> bool {
        self.why_feared().is_some()
    }

    /// The image, of which a person says that nothing burned into it tells whose it is. Where
    /// its header says otherwise, that stands.
    #[must_use]
    pub fn looked_at(self) -> Self {
        let ImageMetadata {
            burned_in: None, ..
        } = self.metadata
        else {
            return self;
        };
        let mut notes = self.metadata.notes.clone();
        notes.push(LOOKED_AT.to_owned());
        Self {
            metadata: ImageMetadata {
                burned_in: Some(false),
                notes,
                ..self.metadata
            },
            ..self
        }
    }

    fn why_feared(&self) -> Option<&'static str> {
        match self.metadata.burned_in {
            Some(true) => Some("it says so: Burned In Annotation (0028,0301) is YES"),
            Some(false) => None,
            None if self.metadata.is_reconstruction => None,
            None if self.metadata.modality.as_deref() == Some("US") => {
                Some("ultrasound units do so, and it does not say that this one did not")
            }
            None if self.origin.is_some() => Some(
                "units and scanners write into pictures of its kind, and it does not say that \
                 this one did not: Burned In Annotation (0028,0301) is absent",
            ),
            None => Some(
                "photographs, scans and screenshots often do, and nothing says that it \
                          does not",
            ),
        }
    }

    /// Whether the region is an ultrasound unit's, and leaves as much around it as such units
    /// write on: one that is nearly the whole picture says nothing of where words lie.
    fn leaves_out(&self, [_, _, width, height]: [u32; 4]) -> bool {
        let area = |width: u32, height: u32| f64::from(width) * f64::from(height);
        let is_ultrasound = self.metadata.modality.as_deref() == Some("US");
        is_ultrasound && area(width, height) <= MOST_OF_A_PICTURE * area(self.width, self.height)
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
    use crate::image::Origin;
    use crate::sha256::Sha256;

    fn image(said: ImageMetadata) -> Image {
        Image {
            width: 4,
            height: 3,
            pixels: Pixels::Luma((1..=12).collect()),
            metadata: said,
            sha256: Sha256::of(b""),
            origin: Some(Box::new(Origin::default())),
        }
    }

    fn said(modality: &str, burned_in: Option<bool>, region: Option<[u32; 4]>) -> ImageMetadata {
        ImageMetadata {
            modality: Some(modality.to_owned()),
            burned_in,
            region,
            ..ImageMetadata::default()
        }
    }

    #[test]
    fn outside_the_region_nothing_is_left() {
        let image = image(said("US", Some(true), Some([1, 1, 2, 2])));
        let luma = vec![0, 0, 0, 0, 0, 6, 7, 0, 0, 10, 11, 0];
        assert_eq!(image.cleaned().unwrap().pixels, Pixels::Luma(luma));
    }

    #[derive(Debug)]
    struct Case {
        modality: &'static str,
        burned_in: Option<bool>,
        is_reconstruction: bool,
        region: Option<[u32; 4]>,
        is_shown: bool,
    }

    #[test]
    fn without_a_region_only_what_holds_no_words_is_shown() {
        let case = |modality, burned_in, is_reconstruction, is_shown| Case {
            modality,
            burned_in,
            is_reconstruction,
            region: None,
            is_shown,
        };
        let whole = |burned_in, is_shown| Case {
            region: Some([0, 0, 4, 3]),
            ..case("US", burned_in, false, is_shown)
        };
        for case in [
            case("US", None, false, false),
            case("US", Some(true), false, false),
            case("US", Some(false), false, true),
            case("CR", None, false, false),
            case("CR", Some(false), false, true),
            case("OT", None, false, false),
            case("XC", None, false, false),
            // A capture of a screen, sent as the scanner's modality.
            case("MR", None, false, false),
            case("MR", None, true, true),
            case("MR", Some(true), true, false),
            // The whole screen as region.
            whole(None, false),
            whole(Some(true), false),
            whole(Some(false), true),
            // A region that only ultrasound units know.
            Case {
                region: Some([1, 1, 2, 2]),
                ..case("MR", None, false, false)
            },
        ] {
            let image = image(ImageMetadata {
                is_reconstruction: case.is_reconstruction,
                ..said(case.modality, case.burned_in, case.region)
            });
            let cleaned = image.cleaned();
            assert_eq!(cleaned.is_ok(), case.is_shown, "{case:?}");
            match cleaned {
                Ok(cleaned) => assert_eq!(*cleaned, image),
                Err(refusal) => assert_eq!(refusal.code.word(), "burned_in"),
            }
        }
    }

    #[test]
    fn a_region_without_a_margin_is_none() {
        for (region, is_cleaned) in [
            ([0, 0, 100, 100], false),
            ([0, 0, 99, 100], false),
            ([0, 1, 100, 99], false),
            ([0, 8, 100, 92], false),
            ([0, 10, 100, 90], true),
            ([10, 20, 80, 70], true),
        ] {
            let image = Image {
                width: 100,
                height: 100,
                pixels: Pixels::Luma(vec![9; 10_000]),
                ..image(said("US", Some(true), Some(region)))
            };
            assert_eq!(image.cleaned().is_ok(), is_cleaned, "{region:?}");
        }
    }

    #[test]
    fn a_person_who_has_looked_is_believed_unless_the_header_says_otherwise() {
        for (burned_in, is_shown, notes) in [
            (None, true, 1),
            (Some(false), true, 0),
            (Some(true), false, 0),
        ] {
            let image = image(said("CR", burned_in, None)).looked_at();
            assert_eq!(image.cleaned().is_ok(), is_shown, "{burned_in:?}");
            assert_eq!(image.metadata.notes.len(), notes, "{burned_in:?}");
        }
        // No DICOM file, and nothing known of it.
        let photograph = Image {
            origin: None,
            ..image(ImageMetadata::default())
        };
        assert!(photograph.may_hold_words());
        assert!(!photograph.looked_at().may_hold_words());
    }
}
