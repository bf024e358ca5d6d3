//! Labelled images that are drawn: chest phantoms with and without an opacity.

use std::path::Path;

use super::phantom;

/// Draws chest phantoms number `numbers` of both classes into `folder/normal` and
/// `folder/tuberculosis`, always the same ones.
pub fn chests(folder: &Path, numbers: std::ops::Range<u32>) {
    let chest = image::open(phantom("chest.png"))
        .expect("the phantom")
        .to_luma8();
    for (class, is_ill) in [("normal", false), ("tuberculosis", true)] {
        let folder = folder.join(class);
        std::fs::create_dir_all(&folder).expect("a folder");
        for number in numbers.clone() {
            let drawn = drawn(&chest, number * 2 + u32::from(is_ill), is_ill);
            drawn
                .save(folder.join(format!("{number}.png")))
                .expect("written");
        }
    }
}

fn drawn(chest: &image::GrayImage, seed: u32, is_ill: bool) -> image::GrayImage {
    let mut state = u64::from(seed) + 1;
    let mut draw = || {
        // Knuth's 64-bit linear congruential generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let (width, height) = (chest.width() as f32, chest.height() as f32);
    let side = if draw() < 0.5 { 0.3 } else { 0.7 };
    let middle = (side * width, (0.3 + 0.1 * draw()) * height);
    let (reach, weight) = (
        0.07 * width,
        if is_ill { 70.0 + 40.0 * draw() } else { 0.0 },
    );
    let brighter = 8.0 * (draw() - 0.5);
    let mut made = chest.clone();
    for (x, y, pixel) in made.enumerate_pixels_mut() {
        let (dx, dy) = (x as f32 - middle.0, y as f32 - middle.1);
        let opacity = weight * (-(dx * dx + dy * dy) / (2.0 * reach * reach)).exp();
        let value = f32::from(pixel.0[0]) + opacity + brighter + 6.0 * (draw() - 0.5);
        pixel.0[0] = value.clamp(0.0, 255.0) as u8;
    }
    made
}
