//! Drawn pictures whose film is known to the pixel.

use super::*;
use crate::image::ImageMetadata;
use crate::sha256::Sha256;

const SPEC: FilmSpec = FilmSpec {
    rim: 0.1,
    uniform_within: 12,
    anatomy_from: 0.7,
};

/// A picture of `[width, height]` whose pixels are drawn one by one.
fn drawn([width, height]: [u32; 2], at: impl Fn(u32, u32) -> u8) -> Image {
    let pixels = (0..height).flat_map(|y| (0..width).map(move |x| (x, y)));
    Image {
        width,
        height,
        pixels: Pixels::Luma(pixels.map(|(x, y)| at(x, y)).collect()),
        metadata: ImageMetadata::default(),
        sha256: Sha256::of(b""),
        origin: None,
    }
}

/// Values between 40 and 215 that differ from pixel to pixel.
fn texture(x: u32, y: u32) -> u8 {
    40 + (x.wrapping_mul(7919) ^ y.wrapping_mul(104_729)).wrapping_mul(31) as u8 % 176
}

fn is_in([x0, y0, w, h]: [u32; 4], x: u32, y: u32) -> bool {
    (x0..x0 + w).contains(&x) && (y0..y0 + h).contains(&y)
}

#[test]
fn the_film_is_found_to_the_pixel() {
    type Ground = fn(u32, u32) -> u8;
    struct Case {
        what: &'static str,
        film: [u32; 4],
        ground: Ground,
    }
    let case = |what, film, ground: Ground| Case { what, film, ground };
    let film = [60, 40, 200, 180];
    let cases = [
        case("black", film, |_, _| 0),
        case("white", film, |_, _| 255),
        case("grey", film, |_, _| 128),
        case("noisy", film, |x, y| 90 + (texture(x, y) % 5)),
        case("side bars", [60, 0, 200, 240], |_, _| 0),
        case("letterbox", [0, 40, 320, 160], |_, _| 17),
        case("one side", [0, 0, 320, 200], |_, _| 200),
        case("a frame in a frame", film, |x, y| {
            if is_in([10, 10, 300, 220], x, y) {
                255
            } else {
                30
            }
        }),
        case("words", film, |x, y| {
            let is_word = is_in([70, 12, 60, 10], x, y) && (x / 2 + y) % 3 == 0;
            if is_word { 255 } else { 0 }
        }),
        case("none", [0, 0, 320, 240], |_, _| 0),
    ];
    for case in cases {
        let picture = drawn([320, 240], |x, y| {
            if is_in(case.film, x, y) {
                texture(x, y)
            } else {
                (case.ground)(x, y)
            }
        });
        assert_eq!(super::film(&picture, &SPEC), case.film, "{}", case.what);
        let Pixels::Luma(luma) = &picture.pixels else {
            unreachable!()
        };
        let rgb = luma.iter().flat_map(|v| [*v; 3]).collect();
        let coloured = Image {
            pixels: Pixels::Rgb(rgb),
            ..picture
        };
        assert_eq!(
            super::film(&coloured, &SPEC),
            case.film,
            "{} in colour",
            case.what
        );
    }
}

/// A head has no edge: a rim of black is kept, as far as there is one.
#[test]
fn a_round_anatomy_keeps_a_rim() {
    let head = |x: u32, y: u32| {
        let (dx, dy) = (f64::from(x) - 200.0, f64::from(y) - 150.0);
        if dx.hypot(dy) < 100.0 {
            texture(x, y)
        } else {
            0
        }
    };
    let [x, y, w, h] = film(&drawn([400, 300], head), &SPEC);
    assert_eq!(
        [x, y, w, h].map(|v| v / 4),
        [80 / 4, 30 / 4, 239 / 4, 239 / 4]
    );
    let none = FilmSpec { rim: 0.0, ..SPEC };
    assert!(film(&drawn([400, 300], head), &none)[2] < 202);
}

#[test]
fn a_picture_of_nothing_is_left_as_it_is() {
    for size in [[1, 1], [16, 400], [400, 3], [64, 64]] {
        for grey in [0, 77, 255] {
            let whole = [0, 0, size[0], size[1]];
            assert_eq!(film(&drawn(size, |_, _| grey), &SPEC), whole);
        }
    }
}
