//! Each focus style as a picture: what the image encoder is shown for a phantom and a
//! drawn region. `MEDFOCUS_WRITE_PICTURES=1` writes the pictures anew; look at them.

use crate::common::{phantom, root, starter};
use medfocus::bundle::verify;
use medfocus::focus::{Mask, Style};
use medfocus::image::{Image, UnitBox, read};

const SIDE: usize = 128;

/// An ellipse off the centre, as truths `[SIDE, SIDE]`.
fn ellipse() -> Vec<bool> {
    let inside = |cell: usize| {
        let (x, y) = ((cell % SIDE) as f64, (cell / SIDE) as f64);
        ((x - 70.0) / 30.0).powi(2) + ((y - 55.0) / 20.0).powi(2) < 1.0
    };
    (0..SIDE * SIDE).map(inside).collect()
}

fn focused(image: &Image, style: Style) -> image::RgbImage {
    let focus = verify(&starter()).unwrap().manifest.focus;
    let inside = ellipse();
    let mut canvas = image.canvas(UnitBox::WHOLE, SIDE);
    if style == Style::Crop {
        let mask = Mask::new(SIDE as u32, SIDE as u32, inside.clone());
        let [x, y, w, h] = mask.bbox().unwrap().map(|v| f64::from(v) / SIDE as f64);
        let [x0, y0, x1, y1] = focus.crop_region([x, y, x + w, y + h]);
        canvas = image.canvas(UnitBox { x0, y0, x1, y1 }, SIDE);
    }
    focus.paint(style, &mut canvas.planes, &inside, SIDE);
    let value = |channel: usize, x: u32, y: u32| {
        let at = channel * SIDE * SIDE + y as usize * SIDE + x as usize;
        (canvas.planes[at] * 255.0).round() as u8
    };
    image::RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
        image::Rgb([value(0, x, y), value(1, x, y), value(2, x, y)])
    })
}

#[test]
fn every_style_shows_what_it_showed() {
    let image = read(&phantom("breast.png")).unwrap();
    for style in Style::ALL {
        let found = focused(&image, style);
        let path = root().join(format!("tests/vectors/focus/{}.png", style.word()));
        if std::env::var_os("MEDFOCUS_WRITE_PICTURES").is_some() {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            found.save(&path).unwrap();
        }
        let expected = image::open(&path).unwrap().into_rgb8();
        let apart = expected
            .as_raw()
            .iter()
            .zip(found.as_raw())
            .map(|(a, b)| a.abs_diff(*b))
            .max();
        // One level: the last bit of a float may round either way on another processor.
        assert!(
            apart <= Some(1),
            "{}: differs by {apart:?} levels",
            style.word()
        );
    }
}
