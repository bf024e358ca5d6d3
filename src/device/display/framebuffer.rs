//! `fb:/dev/fb0` or `fb:NAME`: a Linux frame buffer, written like a file.
//!
//! The numbers of frame buffers change from start to start, so a name, as
//! `/sys/class/graphics/fb*/name` has it, is the better choice. Size, depth and stride come
//! from the same folder; a picture is magnified by a whole number and fills the screen.

use std::fs::{self, File, OpenOptions};
use std::io::{Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use embedded_graphics::pixelcolor::{Rgb565, Rgb888};
use embedded_graphics::prelude::*;
use embedded_graphics::primitives::Rectangle;
use firmware_host::screens::Panel;
use firmware_host::screens::palette::Ink;

use super::{Ended, PanelDriver, PanelError, Picture, Serve};

const SYSTEM: &str = "/sys/class/graphics";

/// Screens are laid out for a panel of this size or somewhat more.
const LAID_OUT: Size = Size::new(320, 240);

pub fn while_open(name: &str, serve: Serve<'_>) -> Result<Ended, PanelError> {
    let mut buffer = FrameBuffer::open(Path::new(SYSTEM), Path::new("/dev"), name)?;
    Ok(serve(&mut buffer))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Depth {
    /// RGB 5-6-5, little endian.
    Sixteen,
    /// Blue, green, red.
    TwentyFour,
    /// Blue, green, red, unused.
    ThirtyTwo,
}

impl Depth {
    fn bytes(self) -> usize {
        match self {
            Self::Sixteen => 2,
            Self::TwentyFour => 3,
            Self::ThirtyTwo => 4,
        }
    }

    fn write(self, colour: Rgb888, out: &mut Vec<u8>) {
        let (r, g, b) = (colour.r(), colour.g(), colour.b());
        match self {
            Self::Sixteen => {
                let packed = Rgb565::from(colour).into_storage();
                out.extend_from_slice(&packed.to_le_bytes());
            }
            Self::TwentyFour => out.extend_from_slice(&[b, g, r]),
            Self::ThirtyTwo => out.extend_from_slice(&[b, g, r, 0xff]),
        }
    }
}

#[derive(Debug)]
struct FrameBuffer {
    path: PathBuf,
    file: File,
    depth: Depth,
    stride: usize,
    panel: Panel,
    magnified: u32,
}

impl FrameBuffer {
    fn open(system: &Path, devices: &Path, name: &str) -> Result<Self, PanelError> {
        let number = find(system, name)?;
        let about = system.join(&number);
        let geometry = |what: String| PanelError::Geometry {
            name: number.clone(),
            what,
        };
        let size_text = text(&about.join("virtual_size"))?;
        let size = size_text
            .split_once(',')
            .and_then(|(w, h)| Some(Size::new(w.parse().ok()?, h.parse().ok()?)))
            .filter(|size| (16..=8192).contains(&size.width) && (16..=8192).contains(&size.height))
            .ok_or_else(|| geometry(format!("no size: {size_text}")))?;
        let depth = match text(&about.join("bits_per_pixel"))?.as_str() {
            "16" => Depth::Sixteen,
            "24" => Depth::TwentyFour,
            "32" => Depth::ThirtyTwo,
            other => return Err(geometry(format!("{other} bits a pixel, not 16, 24 or 32"))),
        };
        let least = size.width as usize * depth.bytes();
        let stride_text = text(&about.join("stride"))?;
        let stride = stride_text
            .parse()
            .ok()
            .filter(|stride| (least..=least + 65_536).contains(stride))
            .ok_or_else(|| geometry(format!("a stride of {stride_text} bytes")))?;
        let path = devices.join(&number);
        let file = OpenOptions::new()
            .write(true)
            .open(&path)
            .map_err(|error| failed(&path, error))?;
        let magnified = (size.width / LAID_OUT.width)
            .min(size.height / LAID_OUT.height)
            .max(1);
        Ok(Self {
            path,
            file,
            depth,
            stride,
            panel: Panel {
                size: size / magnified,
                ink: Ink::Colour,
            },
            magnified,
        })
    }

    fn write(&mut self, picture: &Picture<'_>, area: &Rectangle) -> std::io::Result<()> {
        let magnified = self.magnified as usize;
        let left = area.top_left.x as usize * magnified * self.depth.bytes();
        let mut row = Vec::new();
        for y in area.rows() {
            row.clear();
            for colour in picture.canvas.row(area, y) {
                for _ in 0..magnified {
                    self.depth.write(*colour, &mut row);
                }
            }
            for line in 0..magnified {
                let top = (y as usize * magnified + line) * self.stride;
                self.file.seek(SeekFrom::Start((top + left) as u64))?;
                self.file.write_all(&row)?;
            }
        }
        Ok(())
    }
}

impl PanelDriver for FrameBuffer {
    fn panel(&self) -> Panel {
        self.panel
    }

    fn show(&mut self, picture: &Picture<'_>) -> Result<(), PanelError> {
        let mut areas = picture.damage.iter();
        areas
            .try_for_each(|area| self.write(picture, area))
            .map_err(|error| failed(&self.path, error))
    }
}

/// Whether a frame buffer has this name; `root` is where `sys` lies.
pub(super) fn is_there(root: &Path, name: &str) -> bool {
    find(&root.join(SYSTEM.trim_start_matches('/')), name).is_ok()
}

/// The frame buffer's number as the system writes it, `fb0`.
fn find(system: &Path, name: &str) -> Result<String, PanelError> {
    if let Some(number) = name.strip_prefix("/dev/") {
        return Ok(number.to_owned());
    }
    let folder = fs::read_dir(system).map_err(|error| failed(system, error))?;
    let mut numbers: Vec<String> = folder
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|number| number.starts_with("fb"))
        .collect();
    numbers.sort();
    let named = |number: &String| text(&system.join(number).join("name")).is_ok_and(|n| n == name);
    numbers
        .iter()
        .find(|number| named(number))
        .cloned()
        .ok_or_else(|| PanelError::Geometry {
            name: name.to_owned(),
            what: format!(
                "no frame buffer has this name; there are: {}",
                numbers.join(", ")
            ),
        })
}

fn text(path: &Path) -> Result<String, PanelError> {
    let text = fs::read_to_string(path).map_err(|error| failed(path, error))?;
    Ok(text.trim().to_owned())
}

fn failed(path: &Path, error: std::io::Error) -> PanelError {
    let path = path.to_owned();
    PanelError::Io { path, error }
}

#[cfg(test)]
mod tests {
    use super::super::Canvas;
    use super::*;

    /// A system with one screen, its device a file.
    struct System(tempfile::TempDir);

    impl System {
        fn new(size: &str, bits: &str, stride: usize, height: usize) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let about = folder.path().join("fb7");
            fs::create_dir(&about).unwrap();
            for (name, text) in [
                ("name", "ili9341drmfb\n"),
                ("virtual_size", size),
                ("bits_per_pixel", bits),
                ("stride", &stride.to_string()),
            ] {
                fs::write(about.join(name), text).unwrap();
            }
            let device = folder.path().join("dev");
            fs::create_dir(&device).unwrap();
            fs::write(device.join("fb7"), vec![0x55; stride * height]).unwrap();
            Self(folder)
        }

        fn open(&self, name: &str) -> Result<FrameBuffer, PanelError> {
            FrameBuffer::open(self.0.path(), &self.0.path().join("dev"), name)
        }

        fn bytes(&self) -> Vec<u8> {
            fs::read(self.0.path().join("dev/fb7")).unwrap()
        }
    }

    fn show(buffer: &mut FrameBuffer, areas: &[(Rectangle, Rgb888)]) {
        let mut canvas = Canvas::filled(buffer.panel().size, Rgb888::BLACK);
        for (area, colour) in areas {
            let Ok(()) = canvas.fill_solid(area, *colour);
        }
        let damage: Vec<_> = areas.iter().map(|(area, _)| *area).collect();
        let picture = Picture {
            name: "test",
            canvas: &canvas,
            damage: &damage,
        };
        buffer.show(&picture).unwrap();
    }

    #[test]
    fn only_what_changed_is_written_in_the_screens_own_form() {
        let area = Rectangle::new(Point::new(2, 1), Size::new(2, 1));
        let orange = Rgb888::new(255, 128, 8);
        let cases: [(&str, usize, &[u8]); 3] = [
            ("16", 2, &[0x01, 0xfc]),
            ("24", 3, &[8, 128, 255]),
            ("32", 4, &[8, 128, 255, 255]),
        ];
        for (bits, bytes, pixel) in cases {
            let stride = 320 * bytes + 16;
            let system = System::new("320,240\n", bits, stride, 240);
            let mut buffer = system.open("ili9341drmfb").unwrap();
            assert_eq!(buffer.panel().size, Size::new(320, 240));
            show(&mut buffer, &[(area, orange)]);
            let mut expected = vec![0x55; stride * 240];
            let start = stride + 2 * bytes;
            expected[start..start + 2 * bytes].copy_from_slice(&pixel.repeat(2));
            assert!(system.bytes() == expected, "{bits} bits");
        }
    }

    #[test]
    fn a_large_screen_is_filled_by_magnified_pixels() {
        let system = System::new("800,480\n", "32", 3200, 480);
        let mut buffer = system.open("/dev/fb7").unwrap();
        assert_eq!(buffer.panel().size, Size::new(400, 240));
        let area = Rectangle::new(Point::new(1, 1), Size::new(1, 1));
        show(&mut buffer, &[(area, Rgb888::WHITE)]);
        let bytes = system.bytes();
        let white: Vec<usize> = bytes
            .iter()
            .enumerate()
            .filter(|(_, byte)| **byte == 0xff)
            .map(|(index, _)| index)
            .collect();
        let row = |y: usize| (y * 3200 + 8..y * 3200 + 16).collect::<Vec<_>>();
        assert_eq!(white, [row(2), row(3)].concat());
    }

    #[test]
    fn what_cannot_be_used_is_refused_by_name() {
        let wrong = [
            ("320,240", "8", 320),
            ("320", "16", 640),
            ("0,240", "16", 640),
            ("320,240", "16", 639),
            ("99999999,240", "16", 640),
        ];
        for (size, bits, stride) in wrong {
            let system = System::new(size, bits, stride, 1);
            let error = system.open("fb7").and(system.open("ili9341drmfb"));
            assert!(error.is_err(), "{size} {bits} {stride}");
        }
        let system = System::new("320,240", "16", 640, 240);
        let error = system.open("vc4drmfb").unwrap_err().to_string();
        assert_eq!(
            error,
            "vc4drmfb: no frame buffer has this name; there are: fb7"
        );
    }
}
