//! A case for each row of the table.

mod pixels;

use super::*;

const CLASSES: [&str; 2] = [uids::CT_IMAGE_STORAGE; 2];

fn change(tag: Tag, before: Vec<Element>, after: Vec<Element>) -> Change {
    let explicit = uids::EXPLICIT_VR_LITTLE_ENDIAN;
    Change {
        tag,
        before,
        after,
        meta: [(explicit, CLASSES[0]), (explicit, CLASSES[1])],
    }
}

/// A text that an object has not, and then has.
fn added(tag: Tag, vr: VR, value: &str) -> Change {
    change(tag, Vec::new(), vec![text(tag, vr, value)])
}

fn number(tag: Tag, value: u16) -> Change {
    change(tag, Vec::new(), vec![numbers(tag, &[value])])
}

pub fn all() -> Vec<Change> {
    [
        of_the_file(),
        of_study_and_patient(),
        of_anatomy(),
        pixels::of_pixels(),
        pixels::of_colours(),
        pixels::of_grey_values(),
        pixels::of_frames(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn of_the_file() -> Vec<Change> {
    let no_class = || text(tags::SOP_CLASS_UID, VR::UI, "");
    let explicit = uids::EXPLICIT_VR_LITTLE_ENDIAN;
    let bytes = |tag, bytes: &[u8]| element(tag, VR::PN, PrimitiveValue::from(bytes.to_vec()));
    let floats = |tag, vr| {
        let pixels = element(tag, vr, PrimitiveValue::from(vec![0_u8; 8]));
        change(
            tag,
            Vec::new(),
            vec![
                element(tags::PIXEL_DATA, VR::OB, PrimitiveValue::Empty),
                pixels,
            ],
        )
    };
    vec![
        Change {
            meta: [
                (explicit, uids::CT_IMAGE_STORAGE),
                (explicit, uids::SEGMENTATION_STORAGE),
            ],
            ..change(
                tags::MEDIA_STORAGE_SOP_CLASS_UID,
                vec![no_class()],
                Vec::new(),
            )
        },
        Change {
            meta: [
                (explicit, CLASSES[0]),
                (uids::JPEG_BASELINE8_BIT, CLASSES[0]),
            ],
            ..change(tags::TRANSFER_SYNTAX_UID, Vec::new(), Vec::new())
        },
        change(
            tags::SPECIFIC_CHARACTER_SET,
            vec![
                text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 100"),
                bytes(tags::PATIENT_NAME, b"\xbb\xee"),
            ],
            vec![text(tags::SPECIFIC_CHARACTER_SET, VR::CS, "ISO_IR 144")],
        ),
        added(tags::SOP_CLASS_UID, VR::UI, uids::ENCAPSULATED_PDF_STORAGE),
        added(tags::SOP_INSTANCE_UID, VR::UI, "2.25.99"),
        added(tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY\\AXIAL"),
        change(
            tags::CONVERSION_TYPE,
            vec![text(tags::IMAGE_TYPE, VR::CS, "ORIGINAL\\PRIMARY")],
            vec![text(tags::CONVERSION_TYPE, VR::CS, "WSD")],
        ),
        added(tags::BURNED_IN_ANNOTATION, VR::CS, "NO"),
        floats(tags::FLOAT_PIXEL_DATA, VR::OF),
        floats(tags::DOUBLE_FLOAT_PIXEL_DATA, VR::OD),
        change(
            tags::PIXEL_DATA,
            Vec::new(),
            vec![element(
                tags::PIXEL_DATA,
                VR::OB,
                PrimitiveValue::from(vec![7_u8; 64 * 64]),
            )],
        ),
    ]
}

fn of_study_and_patient() -> Vec<Change> {
    let day = |tag| added(tag, VR::DA, "20260314");
    let time = |date: Tag, tag| {
        let (day, time) = (text(date, VR::DA, "20260314"), text(tag, VR::TM, "101500"));
        change(tag, vec![day], vec![time])
    };
    let requested = |tag, vr| {
        let id = || text(tags::REQUESTED_PROCEDURE_ID, VR::SH, "RP1");
        let with = |item| sequence(tags::REQUEST_ATTRIBUTES_SEQUENCE, item);
        change(
            tag,
            vec![with(vec![id()])],
            vec![with(vec![id(), text(tag, vr, "OTHER")])],
        )
    };
    let request = || {
        let id = text(tags::REQUESTED_PROCEDURE_ID, VR::SH, "RP1");
        vec![sequence(tags::REQUEST_ATTRIBUTES_SEQUENCE, vec![id])]
    };
    let lossy = || text(tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01");
    let frame = |item| {
        sequence(
            tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
            vec![sequence(tags::FRAME_CONTENT_SEQUENCE, item)],
        )
    };
    let patient = [
        (tags::PATIENT_NAME, VR::PN, "Adams^John"),
        (tags::PATIENT_ID, VR::LO, "0815"),
        (tags::ISSUER_OF_PATIENT_ID, VR::LO, "HOSP"),
        (tags::PATIENT_BIRTH_DATE, VR::DA, "19500102"),
        (tags::PATIENT_SEX, VR::CS, "F"),
        (tags::PATIENT_AGE, VR::AS, "076Y"),
        (tags::ACCESSION_NUMBER, VR::SH, "ACC1"),
        (tags::REFERRING_PHYSICIAN_NAME, VR::PN, "Smith^Anna"),
        (tags::REQUESTING_PHYSICIAN, VR::PN, "Jones^Bo"),
        (tags::STUDY_DESCRIPTION, VR::LO, "Skull"),
        (tags::STUDY_ID, VR::SH, "S1"),
        (tags::STUDY_INSTANCE_UID, VR::UI, "2.25.98"),
        (tags::SERIES_INSTANCE_UID, VR::UI, "2.25.97"),
        (tags::TIMEZONE_OFFSET_FROM_UTC, VR::SH, "+0530"),
        (tags::ACQUISITION_DATE_TIME, VR::DT, "20260314101500"),
        (tags::LOSSY_IMAGE_COMPRESSION, VR::CS, "01"),
        (tags::REQUESTED_PROCEDURE_PRIORITY, VR::SH, "STAT"),
    ];
    let mut changes: Vec<Change> = patient
        .into_iter()
        .map(|(tag, vr, value)| added(tag, vr, value))
        .collect();
    changes.extend([
        day(tags::STUDY_DATE),
        day(tags::SERIES_DATE),
        day(tags::ACQUISITION_DATE),
        day(tags::CONTENT_DATE),
        time(tags::STUDY_DATE, tags::STUDY_TIME),
        time(tags::SERIES_DATE, tags::SERIES_TIME),
        time(tags::ACQUISITION_DATE, tags::ACQUISITION_TIME),
        time(tags::CONTENT_DATE, tags::CONTENT_TIME),
        requested(tags::REQUESTED_PROCEDURE_DESCRIPTION, VR::LO),
        requested(tags::SCHEDULED_PROCEDURE_STEP_ID, VR::SH),
        requested(tags::PLACER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, VR::LO),
        requested(tags::FILLER_ORDER_NUMBER_IMAGING_SERVICE_REQUEST, VR::LO),
        change(tags::REQUESTED_PROCEDURE_ID, request(), {
            let id = text(tags::REQUESTED_PROCEDURE_ID, VR::SH, "RP2");
            vec![sequence(tags::REQUEST_ATTRIBUTES_SEQUENCE, vec![id])]
        }),
        change(tags::REQUEST_ATTRIBUTES_SEQUENCE, Vec::new(), request()),
        change(
            tags::LOSSY_IMAGE_COMPRESSION_RATIO,
            vec![lossy()],
            vec![text(tags::LOSSY_IMAGE_COMPRESSION_RATIO, VR::DS, "10")],
        ),
        change(
            tags::LOSSY_IMAGE_COMPRESSION_METHOD,
            vec![lossy()],
            vec![text(
                tags::LOSSY_IMAGE_COMPRESSION_METHOD,
                VR::CS,
                "ISO_10918_1",
            )],
        ),
        change(
            tags::FRAME_ACQUISITION_DATE_TIME,
            vec![frame(Vec::new())],
            vec![frame(vec![text(
                tags::FRAME_ACQUISITION_DATE_TIME,
                VR::DT,
                "20260314101500",
            )])],
        ),
    ]);
    changes
}

fn of_anatomy() -> Vec<Change> {
    let coded = |tag: Tag, code: &str, meaning: &str| {
        vec![
            text(tag, VR::LO, code),
            text(tags::CODE_MEANING, VR::LO, meaning),
        ]
    };
    let knee = |tag| coded(tag, "72696002", "?");
    let region = |item| sequence(tags::ANATOMIC_REGION_SEQUENCE, item);
    let view = |item| sequence(tags::VIEW_CODE_SEQUENCE, item);
    let pa = || coded(tags::CODE_VALUE, "272479007", "?");
    let with = |mut item: Vec<Element>, tag, other| {
        item.push(sequence(tag, other));
        item
    };
    let in_frame = |item| {
        let anatomy = sequence(tags::FRAME_ANATOMY_SEQUENCE, item);
        vec![sequence(
            tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
            vec![anatomy],
        )]
    };
    let side = |word| vec![text(tags::FRAME_LATERALITY, VR::CS, word)];
    let unknown = || coded(tags::CODE_VALUE, "Z1", "Bein");
    vec![
        added(tags::MODALITY, VR::CS, "DX"),
        added(tags::BODY_PART_EXAMINED, VR::CS, "CHEST"),
        added(tags::VIEW_POSITION, VR::CS, "PA"),
        added(tags::LATERALITY, VR::CS, "L"),
        added(tags::IMAGE_LATERALITY, VR::CS, "L"),
        change(
            tags::ANATOMIC_REGION_SEQUENCE,
            Vec::new(),
            vec![region(knee(tags::CODE_VALUE))],
        ),
        change(
            tags::CODE_VALUE,
            vec![region(unknown())],
            vec![region(knee(tags::CODE_VALUE))],
        ),
        change(
            tags::LONG_CODE_VALUE,
            vec![region(Vec::new())],
            vec![region(knee(tags::LONG_CODE_VALUE))],
        ),
        change(
            tags::URN_CODE_VALUE,
            vec![region(Vec::new())],
            vec![region(knee(tags::URN_CODE_VALUE))],
        ),
        change(
            tags::CODE_MEANING,
            vec![region(unknown())],
            vec![region(coded(tags::CODE_VALUE, "Z1", "Arm"))],
        ),
        change(
            tags::EQUIVALENT_CODE_SEQUENCE,
            vec![region(unknown())],
            vec![region(with(
                unknown(),
                tags::EQUIVALENT_CODE_SEQUENCE,
                knee(tags::CODE_VALUE),
            ))],
        ),
        change(
            tags::ANATOMIC_REGION_MODIFIER_SEQUENCE,
            vec![region(knee(tags::CODE_VALUE))],
            vec![region(with(
                knee(tags::CODE_VALUE),
                tags::ANATOMIC_REGION_MODIFIER_SEQUENCE,
                coded(tags::CODE_VALUE, "7771000", "Left"),
            ))],
        ),
        change(tags::VIEW_CODE_SEQUENCE, Vec::new(), vec![view(pa())]),
        change(
            tags::VIEW_MODIFIER_CODE_SEQUENCE,
            vec![view(pa())],
            vec![view(with(
                pa(),
                tags::VIEW_MODIFIER_CODE_SEQUENCE,
                coded(tags::CODE_VALUE, "399196006", "cephalad"),
            ))],
        ),
        change(
            tags::FRAME_ANATOMY_SEQUENCE,
            Vec::new(),
            in_frame(side("L")),
        ),
        change(
            tags::FRAME_LATERALITY,
            in_frame(side("L")),
            in_frame(side("R")),
        ),
    ]
}
