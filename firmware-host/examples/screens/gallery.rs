//! Every screen with an invented case, as pictures: what the example writes and what the
//! tests compare with.

use std::fs::File;
use std::io::{self, BufWriter};
use std::path::Path;

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;
use firmware_host::screens::words::Word;
use firmware_host::screens::{
    Canvas, Class, Finding, Health, Language, Level, Page, Painter, Panel, Screen, Stage,
    Thumbnail, Use, lay_out, words,
};

/// A panel in memory.
pub type Picture = Canvas<Vec<Rgb888>>;

/// Every screen and page, with an invented case.
pub fn pictures(panel: Panel, language: Language) -> Vec<(String, Picture)> {
    let phantom = Phantom::new(160);
    let class = |name, probability| Class {
        label: words::class(name, language).unwrap_or(name),
        probability,
    };
    let classes = [
        class("glioma", 0.212),
        class("meningioma", 0.653),
        class("notumor", 0.002),
        class("pituitary", 0.133),
    ];
    let [years, sex] = [Word::Years, Word::Female].map(|word| word.says(language));
    let patient = format!("34 {years}, {sex}");
    let finding = |level| Finding {
        case: 17,
        exam: words::exam("brain4", language).unwrap_or("brain4"),
        patient: &patient,
        classes: &classes,
        answer: 1,
        level,
        region: Some(0.041),
        thumbnail: phantom.thumbnail(),
    };
    let help = |code| words::help(code, language).unwrap_or(code);
    let summaries = Level::ALL.map(|level| {
        let name = format!("finding-{level:?}").to_lowercase();
        (name, Screen::Finding(finding(level)), Page::Summary)
    });
    let whole = Screen::Finding(finding(Level::Priority));
    let working = Screen::Working {
        case: 17,
        stage: Stage::Segment,
    };
    let refusal = Screen::Refusal {
        case: 18,
        help: help("unsupported_format"),
    };
    let fault = Screen::Fault {
        code: "storage",
        help: help("storage"),
    };
    let starting = Screen::Starting { self_test: true };
    let others = [
        ("starting", starting, Page::Summary),
        ("ready", Screen::Ready, Page::Summary),
        ("off", Screen::Off, Page::Summary),
        ("working", working, Page::Summary),
        ("classes", whole, Page::Classes),
        ("region", whole, Page::Region),
        ("device", whole, Page::Device),
        ("refusal", refusal, Page::Summary),
        ("fault", fault, Page::Summary),
    ];
    let others = others.map(|(name, screen, page)| (name.to_owned(), screen, page));
    let health = Health {
        version: env!("CARGO_PKG_VERSION"),
        bundle: "starter 0.1.0",
        intended_use: Some(Use::Demonstration),
        self_test: true,
        storage: true,
        waiting: 2,
        answered: 16,
        warning: "",
        warning_help: "",
    };
    let draw = |(name, screen, page): (String, Screen<'_>, Page)| {
        let frame = lay_out(&screen, page, &health, panel, language);
        let mut canvas = Picture::filled(panel.size, Rgb888::BLACK);
        let Ok(_) = Painter::default().paint(&frame, &mut canvas);
        (name, canvas)
    };
    summaries.into_iter().chain(others).map(draw).collect()
}

/// A head with a bright spot, drawn here: no patient's.
struct Phantom {
    side: u16,
    luma: Vec<u8>,
    region: Vec<bool>,
}

impl Phantom {
    fn new(side: u16) -> Self {
        let (mut luma, mut region) = (Vec::new(), Vec::new());
        for y in 0..side {
            for x in 0..side {
                let at = |value: u16| f32::from(value) / f32::from(side) * 2.0 - 1.0;
                let (x, y) = (at(x), at(y));
                let head = (x / 0.78).hypot(y / 0.92);
                let spot = ((x - 0.3) / 0.2).hypot((y + 0.25) / 0.24);
                let tissue = 95.0 + 30.0 * (x * 9.0).sin() * (y * 7.0 + x * 4.0).cos();
                luma.push(match head {
                    _ if spot < 1.0 => 225,
                    0.92..1.0 => 190,
                    0.0..0.92 => tissue as u8,
                    _ => 4,
                });
                region.push(spot < 1.0);
            }
        }
        Self { side, luma, region }
    }

    fn thumbnail(&self) -> Option<Thumbnail<'_>> {
        Thumbnail::new(self.side, self.side, &self.luma, &self.region)
    }
}

/// Pictures side by side on one, four a row.
pub fn sheet(panel: Panel, pictures: &[(String, Picture)]) -> Picture {
    let (across, gap) = (4, 4);
    let down = (pictures.len() as u32).div_ceil(across);
    let cell = panel.size + Size::new_equal(gap);
    let size = cell.component_mul(Size::new(across, down)) + Size::new_equal(gap);
    let mut sheet = Picture::filled(size, Rgb888::new(90, 90, 90));
    for (index, (_, picture)) in (0..).zip(pictures) {
        let place = Size::new(index % across, index / across);
        let corner = cell.component_mul(place) + Size::new_equal(gap);
        let area = picture.bounding_box().translate(Point::zero() + corner);
        let Ok(()) = sheet.fill_contiguous(&area, picture.pixels_of(picture.bounding_box()));
    }
    sheet
}

/// Writes a picture as PNG.
pub fn write(picture: &Picture, path: &Path) -> io::Result<()> {
    let Size { width, height } = picture.size();
    let file = BufWriter::new(File::create(path)?);
    let mut encoder = png::Encoder::new(file, width, height);
    encoder.set_color(png::ColorType::Rgb);
    let bytes: Vec<u8> = picture.bytes().collect();
    encoder
        .write_header()?
        .write_image_data(&bytes)
        .map_err(io::Error::from)
}
