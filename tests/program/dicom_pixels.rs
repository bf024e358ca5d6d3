//! What a DICOM header says of its pixels, and what they become by it: grey values, colours,
//! their shape and their window.

use crate::common::dicom::element;
use crate::common::root;
use dicom_core::value::PrimitiveValue;
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::InMemDicomObject;
use dicom_transfer_syntax_registry::entries::EXPLICIT_VR_LITTLE_ENDIAN;
use medfocus::case::{Channel, Refusal};
use medfocus::image::dicom::stored_values;
use medfocus::image::{FrameChoice, Image, Pixels, decode_frame};

/// A 64 x 64 grey object of 8 bits whose pixels are their own columns.
fn columns() -> InMemDicomObject {
    let number = |tag, value: u16| element(tag, VR::US, PrimitiveValue::from(value));
    let pixels: Vec<u8> = (0..64 * 64).map(|i| (i % 64) as u8 * 4).collect();
    InMemDicomObject::from_element_iter([
        element(
            tags::SOP_CLASS_UID,
            VR::UI,
            PrimitiveValue::from(uids::SECONDARY_CAPTURE_IMAGE_STORAGE),
        ),
        word(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME2"),
        number(tags::SAMPLES_PER_PIXEL, 1),
        number(tags::ROWS, 64),
        number(tags::COLUMNS, 64),
        number(tags::BITS_ALLOCATED, 8),
        number(tags::BITS_STORED, 8),
        number(tags::HIGH_BIT, 7),
        number(tags::PIXEL_REPRESENTATION, 0),
        element(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(pixels)),
    ])
}

fn word(tag: Tag, word: &str) -> DataElement<InMemDicomObject> {
    element(tag, VR::LO, PrimitiveValue::from(word))
}

fn written(object: &InMemDicomObject) -> Vec<u8> {
    let mut bytes = Vec::new();
    let syntax = EXPLICIT_VR_LITTLE_ENDIAN.erased();
    object.write_dataset_with_ts(&mut bytes, &syntax).unwrap();
    bytes
}

fn shown(object: &InMemDicomObject) -> Result<Image, Refusal> {
    decode_frame(&written(object), FrameChoice::default())
}

fn luma(image: &Image) -> &[u8] {
    match &image.pixels {
        Pixels::Luma(luma) => luma,
        Pixels::Rgb(_) => panic!("in colour"),
    }
}

/// PS3.3, C.11.6.1.2 and C.8.11.3.1.2: the shape holds the turn that MONOCHROME1 asks for.
#[test]
fn white_is_what_the_presentation_shape_says_and_else_the_photometric_interpretation() {
    for (photometric, shape, inverted, disputed) in [
        ("MONOCHROME2", None, false, false),
        ("MONOCHROME1", None, true, false),
        ("MONOCHROME1", Some("INVERSE"), true, false),
        ("MONOCHROME2", Some("IDENTITY"), false, false),
        ("MONOCHROME1", Some("IDENTITY"), false, true),
        ("MONOCHROME2", Some("INVERSE"), true, true),
        // Neither case nor blanks of a code string matter.
        (" monochrome1 ", Some("inverse "), true, false),
        ("monochrome2", Some(" Identity"), false, false),
        ("MONOCHROME1", Some("LIN OD"), true, false),
    ] {
        let mut object = columns();
        object.put(word(tags::PHOTOMETRIC_INTERPRETATION, photometric));
        if let Some(shape) = shape {
            object.put(word(tags::PRESENTATION_LUT_SHAPE, shape));
        }
        let image = shown(&object).unwrap();
        let first = if inverted { 255 } else { 0 };
        assert_eq!(luma(&image)[0], first, "{photometric} {shape:?}");
        let notes = &image.metadata.notes;
        let is_noted = notes
            .iter()
            .any(|note| note.starts_with("inversion_disputed: "));
        assert_eq!(is_noted, disputed, "{photometric} {shape:?} {notes:?}");
    }
}

#[test]
fn pixel_data_of_another_length_than_the_header_says_is_refused() {
    let ramp = |length: usize| -> Vec<u8> { (0..length).map(|i| (i % 64) as u8 * 4).collect() };
    let of = |length: usize| element(tags::PIXEL_DATA, VR::OB, ramp(length).into());
    let number = |tag, value: u16| element(tag, VR::US, PrimitiveValue::from(value));
    let colour = |model| {
        vec![
            number(tags::SAMPLES_PER_PIXEL, 3),
            word(tags::PHOTOMETRIC_INTERPRETATION, model),
        ]
    };
    let odd = || vec![number(tags::ROWS, 63), number(tags::COLUMNS, 63)];
    let frames = |count| vec![word(tags::NUMBER_OF_FRAMES, count)];
    let pixels = 64 * 64;
    for (more, length, is_read) in [
        (vec![], pixels, true),
        (vec![], pixels + 2, false),
        (vec![], pixels - 2, false),
        (vec![], 2 * pixels, false),
        // An odd number of bytes is filled up to an even one.
        (odd(), 63 * 63 + 1, true),
        (odd(), 63 * 63 + 3, false),
        (frames("5"), 5 * pixels, true),
        (frames("3"), 5 * pixels, false),
        (frames("5"), 3 * pixels, false),
        (frames("4000000000"), pixels, false),
        (colour("YBR_FULL_422"), 2 * pixels, true),
        (colour("YBR_FULL_422"), 3 * pixels, false),
        (colour("RGB"), 3 * pixels, true),
        (colour("YBR_FULL"), 2 * pixels, false),
    ] {
        let mut object = columns();
        for element in more.into_iter().chain([of(length)]) {
            object.put(element);
        }
        match shown(&object) {
            Ok(_) => assert!(is_read, "{length}"),
            Err(refusal) => {
                assert!(!is_read && refusal.code.word() == "unreadable", "{refusal}");
                assert!(refusal.message.contains("contradict"), "{refusal}");
                // The same file again is the same contradiction.
                let help = refusal.help.words(Channel::CommandLine);
                assert!(
                    help.contains("another copy of this file will not"),
                    "{help}"
                );
            }
        }
    }
}

#[test]
fn pixels_are_made_square_by_the_first_ratio_or_spacing() {
    for (spacings, width) in [
        (&[][..], 64),
        (&[(tags::PIXEL_SPACING, "0.2\\0.4")][..], 128),
        (&[(tags::IMAGER_PIXEL_SPACING, "0.2\\0.4")], 128),
        (&[(tags::NOMINAL_SCANNED_PIXEL_SPACING, "0.2\\0.4")], 128),
        (
            &[
                (tags::PIXEL_SPACING, "0.2\\0.2"),
                (tags::IMAGER_PIXEL_SPACING, "0.2\\0.4"),
            ],
            64,
        ),
        (
            &[
                (tags::PIXEL_ASPECT_RATIO, "1\\1"),
                (tags::PIXEL_SPACING, "0.2\\0.4"),
            ],
            64,
        ),
        // Measured, and square.
        (&[(tags::PIXEL_SPACING, "0.1430\\0.1433")], 64),
        (&[(tags::PIXEL_SPACING, "0\\0.4")], 64),
        (&[(tags::PIXEL_SPACING, "0.2")], 64),
    ] {
        let mut object = columns();
        for (tag, text) in spacings {
            object.put(word(*tag, text));
        }
        let image = shown(&object).unwrap();
        assert_eq!((image.width, image.height), (width, 64), "{spacings:?}");
    }
}

#[test]
fn padding_takes_no_part_and_a_window_that_is_none_is_left_out() {
    let number = |tag, value: u16| element(tag, VR::US, PrimitiveValue::from(value));
    let deep = |more: Vec<DataElement<InMemDicomObject>>| {
        let mut object = columns();
        let values = (0..64 * 64u16).map(|i| if i % 64 < 16 { i % 64 } else { 1000 + i % 64 });
        let pixels: Vec<u8> = values.flat_map(u16::to_le_bytes).collect();
        let depth = [
            number(tags::BITS_ALLOCATED, 16),
            number(tags::BITS_STORED, 12),
            number(tags::HIGH_BIT, 11),
            element(tags::PIXEL_DATA, VR::OW, pixels.into()),
        ];
        for element in depth.into_iter().chain(more) {
            object.put(element);
        }
        shown(&object).unwrap()
    };
    // Between 1016 and 1063 where the first columns are padding, between 0 and 1063 else.
    let range = || {
        vec![
            number(tags::PIXEL_PADDING_VALUE, 15),
            number(tags::PIXEL_PADDING_RANGE_LIMIT, 0),
        ]
    };
    let padded = deep(range());
    assert_eq!(luma(&padded)[..17], [0; 17]);
    assert!(luma(&padded)[40] > 100 && luma(&padded)[40] < 160);
    assert!(luma(&deep(vec![]))[16] > 200);
    let mut inverted = range();
    inverted.push(word(tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME1"));
    let inverted = deep(inverted);
    assert_eq!(
        (luma(&inverted)[0], luma(&inverted)[16]),
        (0, 255),
        "background"
    );
    for (centre, width, function, is_window) in [
        ("1040", "40", None, true),
        ("1040", "40", Some("linear_exact "), true),
        ("1040", "0", None, false),
        ("1040", "-4", None, false),
        ("20,5", "40,9", None, false),
        ("1040", "", None, false),
        ("nan", "40", None, false),
        ("1040", "40", Some("CUBIC"), false),
    ] {
        let mut window = vec![
            word(tags::WINDOW_CENTER, centre),
            word(tags::WINDOW_WIDTH, width),
        ];
        window.extend(function.map(|function| word(tags::VOILUT_FUNCTION, function)));
        let said = deep(window).metadata;
        let is_used = said
            .window
            .as_ref()
            .is_some_and(|used| used.starts_with("window"));
        let is_noted = said
            .notes
            .iter()
            .any(|note| note.starts_with("window_unread: "));
        assert_eq!(
            (is_used, is_noted),
            (is_window, !is_window),
            "{centre} {width}"
        );
    }
}

/// The stored values of a shipped file whose header says these words instead.
fn values_with(file: &str, changes: &[(Tag, &str)]) -> Vec<i64> {
    let bytes = std::fs::read(root().join("tests/vectors/dicom").join(file)).unwrap();
    let mut object = dicom_object::from_reader(&bytes[..]).unwrap();
    for (tag, text) in changes {
        object.put(word(*tag, text));
    }
    let mut changed = Vec::new();
    object.write_all(&mut changed).unwrap();
    stored_values(&changed, 0).unwrap().values().collect()
}

/// PS3.3, C.7.6.3.1.2, and each codec's own rules.
#[test]
fn colours_are_converted_once_whatever_they_were_compressed_with() {
    let model = |model| [(tags::PHOTOMETRIC_INTERPRETATION, model)];
    let clamp = |value: f64| (value + 0.5).floor().clamp(0.0, 255.0) as i64;
    for (file, converts) in [
        // Nobody converts them but we: values as they were compressed.
        ("jpegls-rgb.dcm", true),
        ("rle-rgb.dcm", true),
        ("jpeg-lossless-rgb.dcm", true),
        ("j2k-rgb.dcm", true),
        // The codestream says that it holds a transform of RGB, and the decoder undid it.
        ("j2k-rct.dcm", false),
    ] {
        let (rgb, ybr) = (
            values_with(file, &model("RGB")),
            values_with(file, &model("YBR_FULL")),
        );
        assert_eq!(rgb.len(), ybr.len());
        let apart = rgb.iter().zip(&ybr).filter(|(a, b)| a != b).count();
        assert_eq!(
            apart > rgb.len() / 4,
            converts,
            "{file}: {apart} of {}",
            rgb.len()
        );
        for (before, after) in rgb.chunks_exact(3).zip(ybr.chunks_exact(3)) {
            let [y, cb, cr] = [0, 1, 2].map(|i| before[i] as f64);
            let red = if converts {
                clamp(y + 1.402 * (cr - 128.0))
            } else {
                before[0]
            };
            let blue = if converts {
                clamp(y + 1.772 * (cb - 128.0))
            } else {
                before[2]
            };
            assert_eq!((after[0], after[2]), (red, blue), "{file}");
        }
    }
}

/// A decoder may start no threads: JPEG of more than 128 columns was decoded by some.
#[test]
fn a_jpeg_of_any_width_is_decoded_in_the_child() {
    let folder = tempfile::tempdir().unwrap();
    for (name, colour, samples) in [
        ("grey", "L", 1_u16),
        ("colour", "RGB", 3),
        // Adobe's marker says that nothing is to be converted.
        ("adobe", "RGB", 3),
    ] {
        let picture = image::RgbImage::from_fn(300, 200, |x, y| {
            image::Rgb([(x * 255 / 300) as u8, (y * 255 / 200) as u8, 90])
        });
        let picture = image::DynamicImage::from(picture);
        let picture = match colour {
            "L" => image::DynamicImage::from(picture.to_luma8()),
            _ => picture,
        };
        let mut jpeg = Vec::new();
        let encoder = image::codecs::jpeg::JpegEncoder::new_with_quality(&mut jpeg, 90);
        picture.write_with_encoder(encoder).unwrap();
        let mut wanted = picture.into_bytes();
        if name == "adobe" {
            let marker = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0";
            jpeg.splice(2..2, marker.iter().copied());
            for pixel in wanted.chunks_exact_mut(3) {
                let [r, g, b] = [0, 1, 2].map(|i| f64::from(pixel[i]));
                let y = 0.299 * r + 0.587 * g + 0.114 * b;
                let [cb, cr] = [(b - y) / 1.772, (r - y) / 1.402].map(|c| (c + 128.0) as u8);
                pixel.copy_from_slice(&[y as u8, cb, cr]);
            }
        }
        let number = |tag, value: u16| element(tag, VR::US, PrimitiveValue::from(value));
        let model = match name {
            "grey" => "MONOCHROME2",
            "adobe" => "RGB",
            _ => "YBR_FULL_422",
        };
        let mut object = columns();
        for changed in [
            word(tags::PHOTOMETRIC_INTERPRETATION, model),
            element(
                tags::SOP_INSTANCE_UID,
                VR::UI,
                PrimitiveValue::from("2.25.9"),
            ),
            number(tags::SAMPLES_PER_PIXEL, samples),
            number(tags::PLANAR_CONFIGURATION, 0),
            number(tags::ROWS, 200),
            number(tags::COLUMNS, 300),
            DataElement::new(
                tags::PIXEL_DATA,
                VR::OB,
                dicom_core::value::PixelFragmentSequence::new_fragments(vec![jpeg]),
            ),
        ] {
            object.put(changed);
        }
        let meta =
            dicom_object::FileMetaTableBuilder::new().transfer_syntax(uids::JPEG_BASELINE8_BIT);
        let path = folder.path().join(format!("{name}.dcm"));
        object
            .with_meta(meta)
            .unwrap()
            .write_to_file(&path)
            .unwrap();
        // Decoded, it waits for the name of an exam.
        let (answers, _) = crate::common::classify(&[path.to_str().unwrap()]);
        assert_eq!(answers[0]["code"], "exam_needed", "{name}: {}", answers[0]);
        // That it lost something is said by its transfer syntax alone.
        let bytes = std::fs::read(&path).unwrap();
        let image = decode_frame(&bytes, FrameChoice::default()).unwrap();
        let origin = image.origin.unwrap();
        let said = |tag| origin.text(tag);
        assert_eq!(said(tags::LOSSY_IMAGE_COMPRESSION), Some("01"), "{name}");
        assert_eq!(
            said(tags::LOSSY_IMAGE_COMPRESSION_METHOD),
            Some("ISO_10918_1")
        );
        let ratio: f64 = said(tags::LOSSY_IMAGE_COMPRESSION_RATIO)
            .and_then(|ratio| ratio.parse().ok())
            .unwrap();
        assert!((1.0..200.0).contains(&ratio), "{name}: {ratio}");
        let values: Vec<i64> = stored_values(&bytes, 0).unwrap().values().collect();
        let apart = values
            .iter()
            .zip(&wanted)
            .map(|(a, b)| (a - i64::from(*b)).abs())
            .sum::<i64>();
        assert!(apart < 4 * wanted.len() as i64, "{name}: {apart}");
    }
}
