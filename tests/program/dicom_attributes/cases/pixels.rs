//! Cases of what the pixels are and how they are looked at.

use super::*;

pub fn of_pixels() -> Vec<Change> {
    let aspect = |tag| added(tag, VR::DS, "0.4\\0.2");
    let region = |corners: [u32; 4]| {
        let at = |tag, value: u32| element(tag, VR::UL, PrimitiveValue::from(value));
        let corners = vec![
            at(tags::REGION_LOCATION_MIN_X0, corners[0]),
            at(tags::REGION_LOCATION_MIN_Y0, corners[1]),
            at(tags::REGION_LOCATION_MAX_X1, corners[2]),
            at(tags::REGION_LOCATION_MAX_Y1, corners[3]),
        ];
        vec![sequence(tags::SEQUENCE_OF_ULTRASOUND_REGIONS, corners)]
    };
    let whole = || region([4, 4, 40, 40]);
    // Two halves of the rows as frames.
    let halves = || vec![numbers(tags::ROWS, &[32])];
    vec![
        aspect(tags::PIXEL_SPACING),
        aspect(tags::IMAGER_PIXEL_SPACING),
        aspect(tags::NOMINAL_SCANNED_PIXEL_SPACING),
        added(tags::PIXEL_ASPECT_RATIO, VR::IS, "2\\1"),
        change(tags::SEQUENCE_OF_ULTRASOUND_REGIONS, Vec::new(), whole()),
        change(
            tags::REGION_LOCATION_MIN_X0,
            whole(),
            region([5, 4, 40, 40]),
        ),
        change(
            tags::REGION_LOCATION_MIN_Y0,
            whole(),
            region([4, 5, 40, 40]),
        ),
        change(
            tags::REGION_LOCATION_MAX_X1,
            whole(),
            region([4, 4, 41, 40]),
        ),
        change(
            tags::REGION_LOCATION_MAX_Y1,
            whole(),
            region([4, 4, 40, 41]),
        ),
        number(tags::ROWS, 32),
        number(tags::COLUMNS, 32),
        change(
            tags::NUMBER_OF_FRAMES,
            halves(),
            vec![text(tags::NUMBER_OF_FRAMES, VR::IS, "2")],
        ),
        number(tags::BITS_ALLOCATED, 16),
        change(
            tags::BITS_STORED,
            Vec::new(),
            vec![
                numbers(tags::BITS_STORED, &[7]),
                numbers(tags::HIGH_BIT, &[6]),
            ],
        ),
        change(
            tags::HIGH_BIT,
            vec![
                numbers(tags::BITS_STORED, &[4]),
                numbers(tags::HIGH_BIT, &[3]),
            ],
            vec![numbers(tags::HIGH_BIT, &[7])],
        ),
        number(tags::PIXEL_REPRESENTATION, 1),
    ]
}

pub fn of_colours() -> Vec<Change> {
    let colour = || {
        let pixels: Vec<u8> = (0..64 * 64 * 3).map(|i| (i % 251) as u8).collect();
        vec![
            text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "RGB"),
            numbers(tags::SAMPLES_PER_PIXEL, &[3]),
            numbers(tags::PLANAR_CONFIGURATION, &[0]),
            element(tags::PIXEL_DATA, VR::OB, PrimitiveValue::from(pixels)),
        ]
    };
    const RED: [Tag; 3] = [
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_RED_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ];
    const GREEN: [Tag; 3] = [
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_GREEN_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ];
    const BLUE: [Tag; 3] = [
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DESCRIPTOR,
        tags::BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
        tags::SEGMENTED_BLUE_PALETTE_COLOR_LOOKUP_TABLE_DATA,
    ];
    let ramp: Vec<u16> = (0..256).map(|value| value * 257).collect();
    let other: Vec<u16> = ramp.iter().map(|value| value / 2).collect();
    // One discrete entry, then a line to another over all the rest (PS3.3, C.7.9.2).
    let segments = |end: u16| [0, 1, 0, 1, 255, end];
    let palette = |is_segmented: bool| {
        let mut all = vec![text(
            tags::PHOTOMETRIC_INTERPRETATION,
            VR::CS,
            "PALETTE COLOR",
        )];
        for [descriptor, data, segmented] in [RED, GREEN, BLUE] {
            all.push(numbers(descriptor, &[256, 0, 16]));
            all.push(match is_segmented {
                true => words(segmented, &segments(65535)),
                false => words(data, &ramp),
            });
        }
        all
    };
    let mut changes = vec![
        number(tags::SAMPLES_PER_PIXEL, 3),
        change(
            tags::PHOTOMETRIC_INTERPRETATION,
            colour(),
            vec![text(tags::PHOTOMETRIC_INTERPRETATION, VR::CS, "YBR_FULL")],
        ),
        change(
            tags::PLANAR_CONFIGURATION,
            colour(),
            vec![numbers(tags::PLANAR_CONFIGURATION, &[1])],
        ),
    ];
    for [descriptor, data, segmented] in [RED, GREEN, BLUE] {
        changes.push(change(
            descriptor,
            palette(false),
            vec![numbers(descriptor, &[256, 9, 16])],
        ));
        changes.push(change(data, palette(false), vec![words(data, &other)]));
        changes.push(change(
            segmented,
            palette(true),
            vec![words(segmented, &segments(1000))],
        ));
    }
    changes
}

fn table(entries: &[u16]) -> Vec<Element> {
    vec![
        numbers(tags::LUT_DESCRIPTOR, &[entries.len() as u16, 0, 16]),
        words(tags::LUT_DATA, entries),
    ]
}

pub fn of_grey_values() -> Vec<Change> {
    let window = || {
        vec![
            text(tags::WINDOW_CENTER, VR::DS, "100"),
            text(tags::WINDOW_WIDTH, VR::DS, "80"),
        ]
    };
    let decimal = |tag, value: &str| change(tag, window(), vec![text(tag, VR::DS, value)]);
    let entries: Vec<u16> = (0..256).map(|value| (value * value) as u16).collect();
    let others: Vec<u16> = entries.iter().rev().copied().collect();
    let of_voi = |item| vec![sequence(tags::VOILUT_SEQUENCE, item)];
    let shorter = || {
        let mut item = table(&entries);
        item[0] = numbers(tags::LUT_DESCRIPTOR, &[256, 60, 16]);
        item
    };
    vec![
        decimal(tags::WINDOW_CENTER, "60"),
        decimal(tags::WINDOW_WIDTH, "40"),
        decimal(tags::RESCALE_INTERCEPT, "-50"),
        decimal(tags::RESCALE_SLOPE, "0.5"),
        change(
            tags::VOILUT_FUNCTION,
            window(),
            vec![text(tags::VOILUT_FUNCTION, VR::CS, "SIGMOID")],
        ),
        change(
            tags::MODALITY_LUT_SEQUENCE,
            window(),
            vec![sequence(tags::MODALITY_LUT_SEQUENCE, table(&entries))],
        ),
        change(tags::VOILUT_SEQUENCE, Vec::new(), of_voi(table(&entries))),
        change(
            tags::LUT_DESCRIPTOR,
            of_voi(table(&entries)),
            of_voi(shorter()),
        ),
        change(
            tags::LUT_DATA,
            of_voi(table(&entries)),
            of_voi(table(&others)),
        ),
        added(tags::PRESENTATION_LUT_SHAPE, VR::CS, "INVERSE"),
        number(tags::PIXEL_PADDING_VALUE, 252),
        change(
            tags::PIXEL_PADDING_RANGE_LIMIT,
            vec![numbers(tags::PIXEL_PADDING_VALUE, &[252])],
            vec![numbers(tags::PIXEL_PADDING_RANGE_LIMIT, &[200])],
        ),
    ]
}

pub fn of_frames() -> Vec<Change> {
    let window = |center: &str| {
        let window = vec![
            text(tags::WINDOW_CENTER, VR::DS, center),
            text(tags::WINDOW_WIDTH, VR::DS, "80"),
        ];
        vec![sequence(tags::FRAME_VOILUT_SEQUENCE, window)]
    };
    let shared = |item| vec![sequence(tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE, item)];
    let own = |item| vec![sequence(tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE, item)];
    let spacing = vec![text(tags::PIXEL_SPACING, VR::DS, "0.4\\0.2")];
    let rescale = vec![
        text(tags::RESCALE_INTERCEPT, VR::DS, "-50"),
        text(tags::RESCALE_SLOPE, VR::DS, "0.5"),
    ];
    let with_rescale = || {
        let mut all = window("100");
        all.push(sequence(
            tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
            rescale.clone(),
        ));
        all
    };
    vec![
        change(
            tags::SHARED_FUNCTIONAL_GROUPS_SEQUENCE,
            Vec::new(),
            shared(window("100")),
        ),
        change(
            tags::PER_FRAME_FUNCTIONAL_GROUPS_SEQUENCE,
            shared(window("100")),
            own(window("60")),
        ),
        change(
            tags::FRAME_VOILUT_SEQUENCE,
            shared(window("100")),
            shared(window("60")),
        ),
        change(
            tags::PIXEL_VALUE_TRANSFORMATION_SEQUENCE,
            shared(window("100")),
            shared(with_rescale()),
        ),
        change(
            tags::PIXEL_MEASURES_SEQUENCE,
            Vec::new(),
            shared(vec![sequence(tags::PIXEL_MEASURES_SEQUENCE, spacing)]),
        ),
    ]
}
