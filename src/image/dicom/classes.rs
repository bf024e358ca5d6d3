//! Which storage classes hold no picture (PS3.4, B.5): an export of a study is full of
//! them, and none is a damaged image. And which hold one that nobody wrote into.

use dicom_dictionary_std::uids;

/// What an object of this class is, where it is no picture.
pub(super) fn no_picture(class: &str) -> Option<&'static str> {
    const DIRECTORY: &str = "1.2.840.10008.1.3.10";
    if class == DIRECTORY {
        return Some("a DICOMDIR");
    }
    let class = class.strip_prefix("1.2.840.10008.5.1.4.1.1.")?;
    Some(match class {
        "66.4" | "66.5" | "66.7" => "a segmentation",
        "30" => "a map of measured values",
        "481.2" => "a dose map",
        "481.3" => "a structure set",
        "88.59" => "a key object selection",
        "66" => "raw data",
        "4.2" => "a spectrum",
        _ => match class.split('.').next()? {
            "88" => "a structured report",
            "11" => "a presentation state",
            "104" => "an encapsulated document",
            "66" => "a registration",
            "9" => "a waveform",
            "481" if class != "481.1" => "a radiotherapy plan or record",
            _ => return None,
        },
    })
}

/// Whether objects of this class are computed from what a scanner measured.
pub(super) fn is_reconstruction(class: &str) -> bool {
    const CLASSES: [&str; 6] = [
        uids::CT_IMAGE_STORAGE,
        uids::ENHANCED_CT_IMAGE_STORAGE,
        uids::MR_IMAGE_STORAGE,
        uids::ENHANCED_MR_IMAGE_STORAGE,
        uids::POSITRON_EMISSION_TOMOGRAPHY_IMAGE_STORAGE,
        uids::ENHANCED_PET_IMAGE_STORAGE,
    ];
    CLASSES.contains(&class)
}

/// Whether a value of Image Type is one by which makers mark what was taken from a screen.
pub(super) fn names_a_capture(value: &str) -> bool {
    const WORDS: [&str; 6] = ["SCREEN", "SAVE", "CAPTURE", "REPORT", "DOSE", "DISPLAY"];
    let value = value.to_uppercase();
    WORDS.iter().any(|word| value.contains(word))
}

#[cfg(test)]
mod tests {
    use dicom_dictionary_std::uids;

    use super::{names_a_capture, no_picture};

    #[test]
    fn pictures_are_none_of_them() {
        for (class, what) in [
            (uids::MEDIA_STORAGE_DIRECTORY_STORAGE, Some("a DICOMDIR")),
            (uids::COMPREHENSIVE_SR_STORAGE, Some("a structured report")),
            (uids::SEGMENTATION_STORAGE, Some("a segmentation")),
            (uids::LABEL_MAP_SEGMENTATION_STORAGE, Some("a segmentation")),
            (
                uids::PARAMETRIC_MAP_STORAGE,
                Some("a map of measured values"),
            ),
            (uids::RT_DOSE_STORAGE, Some("a dose map")),
            (uids::RT_IMAGE_STORAGE, None),
            (uids::SURFACE_SEGMENTATION_STORAGE, Some("a segmentation")),
            (uids::SPATIAL_REGISTRATION_STORAGE, Some("a registration")),
            (
                uids::GRAYSCALE_SOFTCOPY_PRESENTATION_STATE_STORAGE,
                Some("a presentation state"),
            ),
            (
                uids::ENCAPSULATED_PDF_STORAGE,
                Some("an encapsulated document"),
            ),
            (uids::SECONDARY_CAPTURE_IMAGE_STORAGE, None),
            (uids::DIGITAL_X_RAY_IMAGE_STORAGE_FOR_PRESENTATION, None),
            (uids::CT_IMAGE_STORAGE, None),
            (uids::ULTRASOUND_MULTI_FRAME_IMAGE_STORAGE, None),
            (uids::VERIFICATION, None),
            ("", None),
        ] {
            assert_eq!(no_picture(class), what, "{class}");
        }
    }

    #[test]
    fn captures_are_known_by_the_words_of_makers() {
        for (value, is_one) in [
            ("SCREEN SAVE", true),
            ("Dose_Info", true),
            ("AXIAL", false),
            ("M_FFE", false),
        ] {
            assert_eq!(names_a_capture(value), is_one, "{value}");
        }
    }
}
