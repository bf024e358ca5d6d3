//! Our pixels held against those of `dicom-pixeldata`, on objects that are made here. pydicom's are
//! in `tests/vectors/dicom` and in `scripts/dicom`.

use crate::common::dicom::element;
use dicom_core::value::PrimitiveValue;
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{FileMetaTableBuilder, InMemDicomObject};
use dicom_pixeldata::{ConvertOptions, ModalityLutOption, PixelDecoder, VoiLutOption};
use medfocus::image::dicom::stored_values;
use medfocus::image::{FrameChoice, Pixels, decode_frame};

const SIDE: u16 = 64;

struct Grey {
    /// Bits that a sample has and that count, and whether it is signed.
    bits: (u16, u16, bool),
    model: &'static str,
    /// Intercept, slope, centre, width.
    numbers: [&'static str; 4],
    function: &'static str,
}

/// The file of an object all whose values occur.
fn file(grey: &Grey) -> Vec<u8> {
    let (allocated, stored, is_signed) = grey.bits;
    let number = |tag, value: u16| element(tag, VR::US, PrimitiveValue::from(value));
    let word = |tag: Tag, vr, value: &str| element(tag, vr, PrimitiveValue::from(value));
    let values = (0..u32::from(SIDE) * u32::from(SIDE)).map(|i| i * 257 % (1 << stored));
    let pixels = match allocated {
        8 => PrimitiveValue::from(values.map(|value| value as u8).collect::<Vec<u8>>()),
        // They extend no sign, as files have it extended already.
        _ if is_signed => PrimitiveValue::U16(
            values
                .map(|value| ((value << (32 - stored)) as i32 >> (32 - stored)) as u16)
                .collect(),
        ),
        _ => PrimitiveValue::U16(values.map(|value| value as u16).collect()),
    };
    let vr = if allocated == 8 { VR::OB } else { VR::OW };
    let object = InMemDicomObject::from_element_iter([
        word(tags::SOP_CLASS_UID, VR::UI, uids::CT_IMAGE_STORAGE),
        word(tags::SOP_INSTANCE_UID, VR::UI, "2.25.1"),
        word(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, grey.model),
        number(tags::SAMPLES_PER_PIXEL, 1),
        number(tags::ROWS, SIDE),
        number(tags::COLUMNS, SIDE),
        number(tags::BITS_ALLOCATED, allocated),
        number(tags::BITS_STORED, stored),
        number(tags::HIGH_BIT, stored - 1),
        number(tags::PIXEL_REPRESENTATION, is_signed.into()),
        word(tags::RESCALE_INTERCEPT, VR::DS, grey.numbers[0]),
        word(tags::RESCALE_SLOPE, VR::DS, grey.numbers[1]),
        word(tags::WINDOW_CENTER, VR::DS, grey.numbers[2]),
        word(tags::WINDOW_WIDTH, VR::DS, grey.numbers[3]),
        word(tags::VOILUT_FUNCTION, VR::CS, grey.function),
        element(tags::PIXEL_DATA, vr, pixels),
    ]);
    let meta = FileMetaTableBuilder::new().transfer_syntax(uids::EXPLICIT_VR_LITTLE_ENDIAN);
    let mut bytes = Vec::new();
    object
        .with_meta(meta)
        .unwrap()
        .write_all(&mut bytes)
        .unwrap();
    bytes
}

#[test]
fn stored_values_and_grey_values_are_those_of_dicom_pixeldata() {
    let grey = |bits, model, numbers, function| Grey {
        bits,
        model,
        numbers,
        function,
    };
    for grey in [
        grey(
            (8, 8, false),
            "MONOCHROME2",
            ["0", "1", "100", "80"],
            "LINEAR",
        ),
        grey(
            (16, 12, false),
            "MONOCHROME2",
            ["-1024", "1", "40", "400"],
            "LINEAR",
        ),
        grey(
            (16, 16, true),
            "MONOCHROME2",
            ["0", "0.5", "-300", "1500"],
            "LINEAR",
        ),
        grey(
            (16, 12, true),
            "MONOCHROME2",
            ["10", "2", "0", "900"],
            "LINEAR_EXACT",
        ),
        grey(
            (16, 12, false),
            "MONOCHROME2",
            ["0", "1", "2048", "1000"],
            "SIGMOID",
        ),
        grey(
            (16, 12, false),
            "MONOCHROME1",
            ["0", "1", "2048", "1000"],
            "LINEAR",
        ),
    ] {
        let bytes = file(&grey);
        let object = dicom_object::from_reader(&bytes[..]).unwrap();
        let theirs = object.decode_pixel_data().unwrap();
        let raw = ConvertOptions::new().with_modality_lut(ModalityLutOption::None);
        let raw: Vec<i64> = theirs.to_vec_with_options(&raw).unwrap();
        let ours: Vec<i64> = stored_values(&bytes, 0).unwrap().values().collect();
        assert!(ours == raw, "{:?}: stored values differ", grey.bits);
        let shown = ConvertOptions::new()
            .with_modality_lut(ModalityLutOption::Default)
            .with_voi_lut(VoiLutOption::First);
        // As many bits as are allocated; ours are eight.
        let shown: Vec<u16> = theirs.to_vec_with_options(&shown).unwrap();
        let most = f64::from((1_u32 << grey.bits.0) - 1);
        let shown = shown.iter().map(|value| f64::from(*value) * 255.0 / most);
        let image = decode_frame(&bytes, FrameChoice::default()).unwrap();
        let Pixels::Luma(luma) = &image.pixels else {
            panic!("in colour");
        };
        let is_turned = grey.model == "MONOCHROME1";
        // They turn white round in pictures, and not in numbers.
        let turned = |value: f64| if is_turned { 255.0 - value } else { value };
        let apart = luma
            .iter()
            .zip(shown)
            .map(|(a, b)| (f64::from(*a) - turned(b)).abs());
        let most = apart.fold(0.0, f64::max);
        assert!(most <= 1.0, "{:?} {}: {most}", grey.bits, grey.function);
    }
}
