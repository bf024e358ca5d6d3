//! What a DICOM object says beside its pixels: its attributes, and how the pixels are looked at
//! (window, spacing). Called by the other files of this module. Never reads a pixel.

use dicom_core::Tag;
use dicom_core::value::Value;
use dicom_dictionary_std::tags;
use dicom_object::{DefaultDicomObject, InMemDicomObject};

use super::classes;
use crate::image::cut;

/// By how much a spacing's sides must differ to be no square.
const NOT_SQUARE: f64 = 0.005;

/// An object, and short ways to its attributes.
pub(super) struct Header<'a> {
    /// The file.
    pub bytes: &'a [u8],
    pub object: &'a InMemDicomObject,
    pub transfer_syntax: &'a str,
}

impl<'a> Header<'a> {
    pub fn new(bytes: &'a [u8], file: &'a DefaultDicomObject) -> Self {
        Self {
            bytes,
            object: file,
            transfer_syntax: file.meta().transfer_syntax(),
        }
    }

    /// The first value of an attribute as text, trimmed; `None` where it is empty.
    pub fn text(&self, tag: Tag) -> Option<String> {
        text_of(self.object, tag)
    }

    /// The same of a code string (PS3.5, 6.2): neither case nor blanks around it matter, and no
    /// more of it is taken than any code has.
    pub fn code(&self, tag: Tag) -> Option<String> {
        self.text(tag).map(|text| cut(&text.to_uppercase()))
    }

    pub fn number(&self, tag: Tag) -> Option<u32> {
        self.object.get(tag)?.to_int::<u32>().ok()
    }

    /// Frames of the object; at least 1.
    pub fn frames(&self) -> usize {
        self.number(tags::NUMBER_OF_FRAMES).unwrap_or(1).max(1) as usize
    }

    pub fn pixel_data_is_words(&self) -> bool {
        let element = self.object.get(tags::PIXEL_DATA);
        element.is_some_and(|e| e.vr() == dicom_core::VR::OW)
    }

    /// Whether the object is of a class that holds pixels: then their absence is damage.
    pub fn is_of_a_class_with_pixels(&self) -> bool {
        self.text(tags::SOP_CLASS_UID)
            .is_some_and(|uid| uid.starts_with("1.2.840.10008.5.1.4.1.1."))
    }

    /// Why an object of this class is no picture, where it is none.
    pub fn no_picture(&self) -> Option<&'static str> {
        classes::no_picture(&self.text(tags::SOP_CLASS_UID)?)
    }

    /// The Requested Procedure Priority (PS3.3, C.4.11), of the object or of the first of
    /// its requests.
    pub fn priority(&self) -> Option<String> {
        let request = || {
            let requests = self.object.get(tags::REQUEST_ATTRIBUTES_SEQUENCE)?;
            let request = requests.items()?.first()?;
            text_of(request, tags::REQUESTED_PROCEDURE_PRIORITY)
        };
        self.text(tags::REQUESTED_PROCEDURE_PRIORITY)
            .or_else(request)
    }

    /// `[x0, y0, x1, y1]` of the largest ultrasound region (PS3.3, C.8.5.5), both corners
    /// inside it, in columns and rows.
    pub fn ultrasound_region(&self) -> Option<[u32; 4]> {
        let items = self
            .object
            .get(tags::SEQUENCE_OF_ULTRASOUND_REGIONS)?
            .items()?;
        let corners = |item: &InMemDicomObject| {
            let at = |tag| item.get(tag)?.to_int::<u32>().ok();
            let x0 = at(tags::REGION_LOCATION_MIN_X0)?;
            let y0 = at(tags::REGION_LOCATION_MIN_Y0)?;
            let x1 = at(tags::REGION_LOCATION_MAX_X1)?;
            let y1 = at(tags::REGION_LOCATION_MAX_Y1)?;
            (x0 < x1 && y0 < y1).then_some([x0, y0, x1, y1])
        };
        items
            .iter()
            .filter_map(corners)
            .max_by_key(|[x0, y0, x1, y1]| u64::from(x1 - x0) * u64::from(y1 - y0))
    }

    /// Width over height of a pixel: by Pixel Aspect Ratio (PS3.3, C.7.6.3.1.7), else by the
    /// first spacing that there is (10.7.1.3). All have the vertical size first.
    pub fn pixel_aspect(&self, frame: usize) -> f64 {
        let ratio = |object: &InMemDicomObject, tag: Tag| {
            let sides = object.get(tag)?.to_multi_float64().ok()?;
            let [vertical, horizontal] = sides[..] else {
                return None;
            };
            let ratio = horizontal / vertical;
            (ratio.is_finite() && (0.1..=10.0).contains(&ratio)).then_some(ratio)
        };
        let measured = || {
            let measures = self.group(tags::PIXEL_MEASURES_SEQUENCE, frame);
            let ratio = ratio(measures, tags::PIXEL_SPACING)
                .or_else(|| ratio(self.object, tags::IMAGER_PIXEL_SPACING))
                .or_else(|| ratio(self.object, tags::NOMINAL_SCANNED_PIXEL_SPACING))?;
            // Spacings are measured: what is off by less is square.
            ((ratio - 1.0).abs() > NOT_SQUARE).then_some(ratio)
        };
        ratio(self.object, tags::PIXEL_ASPECT_RATIO)
            .or_else(measured)
            .unwrap_or(1.0)
    }

    /// Wherever an attribute of this frame may stand, the nearest to the frame first: in its own
    /// functional groups, in the shared ones, and in the object itself.
    pub fn places(&self, frame: usize) -> Vec<&InMemDicomObject> {
        let mut places = Vec::new();
        for (groups, index) in [
            (tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frame),
            (tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0),
        ] {
            let items = self.object.get(groups).and_then(|element| element.items());
            let Some(group) = items.and_then(|items| items.get(index)) else {
                continue;
            };
            let macros = group
                .into_iter()
                .filter_map(|element| element.items()?.first());
            places.extend(macros);
            places.push(group);
        }
        places.push(self.object);
        places
    }

    /// The first value of an attribute at the nearest of its places.
    pub fn nested_text(&self, tag: Tag, frame: usize) -> Option<String> {
        let mut places = self.places(frame).into_iter();
        places.find_map(|place| text_of(place, tag))
    }

    /// The same in capitals, and no longer than any code has.
    pub fn nested_code(&self, tag: Tag, frame: usize) -> Option<String> {
        let text = self.nested_text(tag, frame)?;
        Some(cut(&text.to_uppercase()))
    }

    /// The object that holds `sequence` for this frame: the frame's own functional group,
    /// the shared one, or the object itself.
    pub fn group(&self, sequence: Tag, frame: usize) -> &InMemDicomObject {
        let group = |groups: Tag, index: usize| {
            let group = self.object.get(groups)?.items()?.get(index)?;
            group.get(sequence)?.items()?.first()
        };
        group(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, frame)
            .or_else(|| group(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, 0))
            .unwrap_or(self.object)
    }
}

/// The first value of an attribute as text, trimmed; `None` where it is empty.
pub(super) fn text_of(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let element = object.get(tag)?;
    let Value::Primitive(value) = element.value() else {
        return None;
    };
    let all = value.to_str();
    let first = all.split('\\').next()?;
    let text = first.trim_matches(['\0', ' ']);
    (!text.is_empty()).then(|| text.to_owned())
}

/// All values of an attribute as one text, without what fills it up; `None` where it is empty.
pub(super) fn whole_text_of(object: &InMemDicomObject, tag: Tag) -> Option<String> {
    let text = object.get(tag)?.to_str().ok()?;
    let text = text.trim_end_matches(['\0', ' ']);
    (!text.is_empty()).then(|| text.to_owned())
}
