//! Files that are no whole image: a coded refusal each, and the batch goes on.

use std::io::Cursor;
use std::path::Path;

use crate::common::{classify, phantom, spoilt};
use image::{DynamicImage, ImageFormat};
use medfocus::case::Channel;
use medfocus::image::read;

fn phantom_picture() -> DynamicImage {
    image::open(phantom("brain.png")).unwrap()
}

fn encoded(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Vec::new();
    picture
        .write_to(&mut Cursor::new(&mut bytes), format)
        .unwrap();
    bytes
}

fn code_of(path: &Path) -> &'static str {
    match read(path) {
        Ok(_) => "answered",
        Err(refusal) => {
            assert!(
                refusal.sentence().contains(path.to_str().unwrap()),
                "{}",
                refusal.sentence()
            );
            assert!(!refusal.help.words(Channel::Record).is_empty());
            refusal.code.word()
        }
    }
}

fn code_of_bytes(name: &str, bytes: &[u8]) -> &'static str {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    code_of(&path)
}

const FORMATS: [(ImageFormat, &str); 5] = [
    (ImageFormat::Png, "a.png"),
    (ImageFormat::Jpeg, "a.jpg"),
    (ImageFormat::Pnm, "a.pgm"),
    (ImageFormat::Tiff, "a.tiff"),
    (ImageFormat::Bmp, "a.bmp"),
];

#[test]
fn whole_files_are_read_in_every_format_and_cut_ones_never() {
    let picture = DynamicImage::ImageLuma8(phantom_picture().into_luma8());
    for (format, name) in FORMATS {
        let bytes = encoded(&picture, format);
        assert_eq!(code_of_bytes(name, &bytes), "answered", "{name}");
        for sixteenth in 0..16 {
            let cut = &bytes[..bytes.len() * sixteenth / 16];
            let code = code_of_bytes(name, cut);
            let refused = ["unreadable", "unsupported_format"].contains(&code);
            assert!(refused, "{name} cut at {sixteenth}/16: {code}");
        }
    }
}

#[test]
fn every_sample_layout_gives_the_same_picture() {
    let luma = DynamicImage::ImageLuma8(phantom_picture().into_luma8());
    let expected = luma.to_luma8().into_raw();
    let layouts = [
        luma.clone(),
        luma.to_luma16().into(),
        luma.to_luma_alpha8().into(),
        luma.to_luma_alpha16().into(),
        luma.to_rgb8().into(),
        luma.to_rgb16().into(),
        luma.to_rgba8().into(),
        luma.to_rgba16().into(),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (number, layout) in layouts.iter().enumerate() {
        for (format, name) in [(ImageFormat::Png, "p.png"), (ImageFormat::Tiff, "t.tiff")] {
            if format == ImageFormat::Tiff && [2, 3].contains(&number) {
                continue; // the encoder writes no grey with alpha to TIFF
            }
            let path = folder.path().join(format!("{number}{name}"));
            std::fs::write(&path, encoded(layout, format)).unwrap();
            let image = read(&path).unwrap();
            assert_eq!(
                image.pixels,
                medfocus::image::Pixels::Luma(expected.clone()),
                "layout {number} as {name}"
            );
        }
    }
}

#[test]
fn palettes_are_looked_up() {
    let (width, height) = (40u32, 40u32);
    let indices: Vec<u8> = (0..width * height).map(|i| (i % 3) as u8).collect();
    let palette = [10u8, 20, 30, 200, 100, 50, 0, 255, 0];
    let mut bytes = Vec::new();
    {
        let mut encoder = png::Encoder::new(&mut bytes, width, height);
        encoder.set_color(png::ColorType::Indexed);
        encoder.set_palette(palette.to_vec());
        encoder
            .write_header()
            .unwrap()
            .write_image_data(&indices)
            .unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("palette.png");
    std::fs::write(&path, bytes).unwrap();
    assert_eq!(read(&path).unwrap().rgb(1, 0), [200, 100, 50]);
    let path = folder.path().join("palette.tiff");
    std::fs::write(&path, palette_tiff(width, height, &indices, &palette)).unwrap();
    let image = read(&path).unwrap();
    assert_eq!(
        [image.rgb(0, 0), image.rgb(1, 0), image.rgb(2, 0)],
        [[10, 20, 30], [200, 100, 50], [0, 255, 0]]
    );
}

/// A palette TIFF by hand (TIFF 6.0, section 5): no encoder at hand writes one.
fn palette_tiff(width: u32, height: u32, indices: &[u8], palette: &[u8]) -> Vec<u8> {
    let mut map = vec![0u16; 768];
    for (index, colour) in palette.chunks_exact(3).enumerate() {
        for plane in 0..3 {
            map[plane * 256 + index] = u16::from(colour[plane]) * 257;
        }
    }
    let pixels_at = 8u32;
    let map_at = pixels_at + indices.len() as u32;
    let directory_at = map_at + 1536;
    let entries: [(u16, u16, u32, u32); 9] = [
        (256, 4, 1, width),
        (257, 4, 1, height),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 3),
        (273, 4, 1, pixels_at),
        (278, 4, 1, height),
        (279, 4, 1, indices.len() as u32),
        (320, 3, 768, map_at),
    ];
    let mut bytes = b"II*\0".to_vec();
    bytes.extend(directory_at.to_le_bytes());
    bytes.extend(indices);
    bytes.extend(map.iter().flat_map(|v| v.to_le_bytes()));
    bytes.extend((entries.len() as u16).to_le_bytes());
    for (tag, kind, count, value) in entries {
        bytes.extend(tag.to_le_bytes());
        bytes.extend(kind.to_le_bytes());
        bytes.extend(count.to_le_bytes());
        bytes.extend(value.to_le_bytes());
    }
    bytes.extend(0u32.to_le_bytes());
    bytes
}

#[test]
fn what_is_no_picture_is_refused_by_its_own_code() {
    let grey = |width, height, value| {
        DynamicImage::ImageLuma8(image::GrayImage::from_pixel(
            width,
            height,
            image::Luma([value]),
        ))
    };
    let cases = [
        ("empty.png", Vec::new(), "unreadable"),
        (
            "text.png",
            b"this is no picture at all".to_vec(),
            "unsupported_format",
        ),
        (
            "tiny.png",
            encoded(&grey(1, 1, 9), ImageFormat::Png),
            "too_small",
        ),
        (
            "black.png",
            encoded(&grey(64, 64, 0), ImageFormat::Png),
            "blank",
        ),
        (
            "white.png",
            encoded(&grey(64, 64, 255), ImageFormat::Png),
            "blank",
        ),
        ("huge.png", huge_png(), "too_large"),
    ];
    for (name, bytes, expected) in cases {
        assert_eq!(code_of_bytes(name, &bytes), expected, "{name}");
    }
    assert_eq!(code_of(Path::new("nowhere.png")), "not_found");
    assert_eq!(code_of(Path::new("/")), "not_a_file");
}

/// The head of a PNG of 30,000 x 30,000 pixels, and some data.
fn huge_png() -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, 30_000, 30_000);
    encoder.set_color(png::ColorType::Grayscale);
    let mut writer = encoder.write_header().unwrap();
    let mut stream = writer.stream_writer().unwrap();
    std::io::Write::write_all(&mut stream, &[7; 30_000]).unwrap();
    drop(stream);
    drop(writer);
    bytes
}

#[test]
fn changed_bytes_never_panic() {
    let folder = tempfile::tempdir().unwrap();
    let picture = phantom_picture().thumbnail(48, 48);
    for (format, name) in FORMATS {
        let bytes = encoded(&DynamicImage::ImageLuma8(picture.to_luma8()), format);
        for changed in spoilt(&bytes, 1).take(300) {
            let path = folder.path().join(name);
            std::fs::write(&path, &changed).unwrap();
            let _ = code_of(&path);
        }
    }
}

#[test]
fn a_bad_file_does_not_end_the_batch() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.png"), b"nothing").unwrap();
    std::fs::copy(phantom("brain.png"), folder.path().join("b.png")).unwrap();
    let (answers, code) = classify(&[folder.path().to_str().unwrap()]);
    let status: Vec<_> = answers
        .iter()
        .map(|a| a["status"].as_str().unwrap())
        .collect();
    assert_eq!((status, code), (vec!["refusal", "finding"], 1));
}
