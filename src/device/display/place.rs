//! What `--display KIND:PLACE[,KEY=VALUE...]` says: a text comes in, a checked [`Place`] comes
//! out, or a sentence that says what is wrong. Called by options and configuration. Opens nothing.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use embedded_graphics::prelude::Size;
use firmware_host::screens::Panel;
use firmware_host::screens::palette::Ink;

use super::framebuffer;

/// Where to show what the device does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// An SSD1306 on I2C: monochrome, 128 x 64.
    Oled(Oled),
    /// An ST7789 or ILI9341 on SPI: colour.
    Tft(Tft),
    /// E-paper of 2.13 inches (Waveshare V2 and V3) on SPI.
    Paper(Paper),
    /// A frame buffer of Linux: its path, or its name.
    FrameBuffer(String),
    /// PNG files.
    Pictures(Pictures),
}

/// An SSD1306 on I2C.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Oled {
    /// The bus, `/dev/i2c-1`.
    pub bus: String,
    /// Seven bits.
    pub address: u8,
    /// Upside down.
    pub beat: bool,
}

/// The controller of a colour panel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Controller {
    /// Sitronix.
    St7789,
    /// Ilitek.
    Ili9341,
}

/// SPI and the pins beside it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wires {
    /// The bus with its chip select, `/dev/spidev0.0`.
    pub bus: String,
    /// The chip of the pins, `/dev/gpiochip0`.
    pub chip: String,
    /// Pin that tells data from commands.
    pub dc: u32,
    /// Pin that resets the panel.
    pub reset: u32,
    /// Megahertz.
    pub mhz: u32,
}

/// A colour panel on SPI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tft {
    /// How it is wired.
    pub wires: Wires,
    /// Pin that lights the panel, where there is one.
    pub light: Option<u32>,
    /// Its controller.
    pub controller: Controller,
    /// Columns and rows, as they are read.
    pub size: Size,
    /// Degrees clockwise, from how the controller counts.
    pub rotate: u16,
    /// Whether the panel shows negatives, as most of IPS do.
    pub invert: bool,
    /// Whether the panel has blue where others have red.
    pub bgr: bool,
}

/// E-paper on SPI.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Paper {
    /// How it is wired.
    pub wires: Wires,
    /// Pin by which the panel says that it works.
    pub busy: u32,
    /// Upside down.
    pub beat: bool,
}

/// PNG files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pictures {
    /// Where to write them.
    pub folder: PathBuf,
    /// Which panel they show.
    pub panel: Panel,
}

/// What is wrong with a place, and how it is written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}; write {form}")]
pub struct PlaceError {
    what: String,
    form: &'static str,
}

const FORMS: &str = "ssd1306:, st7789:, ili9341:, epd:, fb: or png: and the place";
const OLED: &str = "ssd1306:/dev/i2c-1[,address=0x3c][,rotate=0|180]";
const TFT: &str = "st7789: or ili9341:/dev/spidev0.0[,dc=25][,reset=27][,light=N][,chip=/dev/gpiochip0]\
                   [,size=WxH][,rotate=0|90|180|270][,invert=on|off][,order=rgb|bgr][,mhz=N]";
const PAPER: &str = "epd:/dev/spidev0.0[,dc=25][,reset=17][,busy=24][,chip=/dev/gpiochip0]\
                     [,rotate=0|180][,mhz=N]";
const FRAME_BUFFER: &str = "fb:/dev/fb0, or fb: and a name in /sys/class/graphics/fb*/name";
const PICTURES: &str = "png:FOLDER[,size=128x64|240x240|320x240|250x122]";

impl Place {
    /// The word before the colon.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Oled(_) => "ssd1306",
            Self::Tft(tft) => match tft.controller {
                Controller::St7789 => "st7789",
                Controller::Ili9341 => "ili9341",
            },
            Self::Paper(_) => "epd",
            Self::FrameBuffer(_) => "fb",
            Self::Pictures(_) => "png",
        }
    }
}

impl Place {
    /// What of it is not there; `root` is where `dev` and `sys` lie. Pictures are made where
    /// they are wanted.
    pub fn missing(&self, root: &Path) -> Option<String> {
        let name = match self {
            Self::Oled(oled) => &oled.bus,
            Self::Tft(tft) => &tft.wires.bus,
            Self::Paper(paper) => &paper.wires.bus,
            Self::FrameBuffer(name) => name,
            Self::Pictures(_) => return None,
        };
        let is_there = match self {
            Self::FrameBuffer(name) if !name.starts_with('/') => framebuffer::is_there(root, name),
            _ => root.join(name.trim_start_matches('/')).exists(),
        };
        (!is_there).then(|| name.clone())
    }
}

impl FromStr for Place {
    type Err = PlaceError;

    fn from_str(text: &str) -> Result<Self, PlaceError> {
        let (kind, rest) = text.split_once(':').ok_or_else(|| PlaceError {
            what: format!("{text} names no kind of display"),
            form: FORMS,
        })?;
        let form = match kind {
            "ssd1306" => OLED,
            "st7789" | "ili9341" => TFT,
            "epd" => PAPER,
            "fb" => FRAME_BUFFER,
            "png" => PICTURES,
            _ => {
                return Err(PlaceError {
                    what: format!("there is no display of the kind {kind}"),
                    form: FORMS,
                });
            }
        };
        let mut options = Options::new(rest, form)?;
        let place = match kind {
            "ssd1306" => Self::Oled(oled(&mut options)?),
            "st7789" => Self::Tft(tft(&mut options, Controller::St7789)?),
            "ili9341" => Self::Tft(tft(&mut options, Controller::Ili9341)?),
            "epd" => Self::Paper(paper(&mut options)?),
            "fb" => Self::FrameBuffer(options.place.to_owned()),
            _ => Self::Pictures(pictures(&mut options)?),
        };
        options.end()?;
        Ok(place)
    }
}

fn oled(options: &mut Options<'_>) -> Result<Oled, PlaceError> {
    Ok(Oled {
        bus: options.place.to_owned(),
        address: options.number("address", 0x3c, 0x08..=0x77)? as u8,
        beat: options.one_of("rotate", &[("0", false), ("180", true)])?,
    })
}

fn tft(options: &mut Options<'_>, controller: Controller) -> Result<Tft, PlaceError> {
    let (size, rotate, invert) = match controller {
        Controller::St7789 => (Size::new(240, 240), 0, true),
        Controller::Ili9341 => (Size::new(320, 240), 90, false),
    };
    let rotate = options.take("rotate").map_or(Ok(rotate), |value| {
        let turns = ["0", "90", "180", "270"].iter().zip([0, 90, 180, 270]);
        let mut turns = turns.filter(|(word, _)| **word == value);
        turns
            .next()
            .map(|(_, degrees)| degrees)
            .ok_or_else(|| options.wrong("rotate", value))
    })?;
    let size = options.size(size)?;
    let longest = if rotate % 180 == 0 {
        size
    } else {
        Size::new(size.height, size.width)
    };
    if longest.width > 240 || longest.height > 320 {
        return Err(options.error(format!(
            "the controller has 240 x 320 pixels before it is turned, not {} x {}",
            longest.width, longest.height
        )));
    }
    Ok(Tft {
        wires: wires(options, 27, 32)?,
        light: match options.take("light") {
            None => None,
            Some(value) => Some(options.parsed("light", value, 0..=511)?),
        },
        controller,
        size,
        rotate,
        invert: match options.take("invert") {
            None => invert,
            Some("on") => true,
            Some("off") => false,
            Some(value) => return Err(options.wrong("invert", value)),
        },
        bgr: options.one_of("order", &[("rgb", false), ("bgr", true)])?,
    })
}

fn paper(options: &mut Options<'_>) -> Result<Paper, PlaceError> {
    Ok(Paper {
        wires: wires(options, 17, 4)?,
        busy: options.number("busy", 24, 0..=511)?,
        beat: options.one_of("rotate", &[("0", false), ("180", true)])?,
    })
}

fn wires(options: &mut Options<'_>, reset: u32, mhz: u32) -> Result<Wires, PlaceError> {
    Ok(Wires {
        bus: options.place.to_owned(),
        chip: options.take("chip").unwrap_or("/dev/gpiochip0").to_owned(),
        dc: options.number("dc", 25, 0..=511)?,
        reset: options.number("reset", reset, 0..=511)?,
        mhz: options.number("mhz", mhz, 1..=80)?,
    })
}

fn pictures(options: &mut Options<'_>) -> Result<Pictures, PlaceError> {
    let size = options.size(Panel::COLOUR_320X240.size)?;
    let known = Panel::ALL.into_iter().find(|panel| panel.size == size);
    Ok(Pictures {
        folder: PathBuf::from(options.place),
        panel: known.unwrap_or(Panel {
            size,
            ink: Ink::Colour,
        }),
    })
}

/// The place, and what is said of it: each key once.
struct Options<'a> {
    place: &'a str,
    pairs: Vec<(&'a str, &'a str)>,
    form: &'static str,
}

impl<'a> Options<'a> {
    fn new(text: &'a str, form: &'static str) -> Result<Self, PlaceError> {
        let mut parts = text.split(',');
        let place = parts.next().unwrap_or_default();
        let mut options = Self {
            place,
            pairs: Vec::new(),
            form,
        };
        if place.is_empty() {
            return Err(options.error("the place is missing".to_owned()));
        }
        for part in parts {
            let Some((key, value)) = part.split_once('=') else {
                return Err(options.error(format!("{part} is not KEY=VALUE")));
            };
            if options.pairs.iter().any(|(before, _)| *before == key) {
                return Err(options.error(format!("{key} is given twice")));
            }
            options.pairs.push((key, value));
        }
        Ok(options)
    }

    fn error(&self, what: String) -> PlaceError {
        PlaceError {
            what,
            form: self.form,
        }
    }

    fn wrong(&self, key: &str, value: impl fmt::Display) -> PlaceError {
        self.error(format!("{key} cannot be {value}"))
    }

    fn take(&mut self, key: &str) -> Option<&'a str> {
        let index = self.pairs.iter().position(|(name, _)| *name == key)?;
        Some(self.pairs.swap_remove(index).1)
    }

    fn parsed(
        &self,
        key: &str,
        value: &str,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, PlaceError> {
        let number = match value.strip_prefix("0x") {
            Some(digits) => u32::from_str_radix(digits, 16),
            None => value.parse(),
        };
        let number = number.ok().filter(|number| range.contains(number));
        number.ok_or_else(|| self.wrong(key, value))
    }

    fn number(
        &mut self,
        key: &str,
        otherwise: u32,
        range: std::ops::RangeInclusive<u32>,
    ) -> Result<u32, PlaceError> {
        match self.take(key) {
            None => Ok(otherwise),
            Some(value) => self.parsed(key, value, range),
        }
    }

    /// The first word stands for what was not said.
    fn one_of<T: Copy>(&mut self, key: &str, words: &[(&str, T)]) -> Result<T, PlaceError> {
        let value = self.take(key).unwrap_or(words[0].0);
        let mut fitting = words.iter().filter(|(word, _)| *word == value);
        let found = fitting.next().map(|(_, meaning)| *meaning);
        found.ok_or_else(|| self.wrong(key, value))
    }

    fn size(&mut self, otherwise: Size) -> Result<Size, PlaceError> {
        let Some(value) = self.take("size") else {
            return Ok(otherwise);
        };
        let sides = value
            .split_once('x')
            .and_then(|(w, h)| Some((w.parse().ok()?, h.parse().ok()?)));
        match sides {
            Some((width, height))
                if (64..=1024).contains(&width) && (48..=1024).contains(&height) =>
            {
                Ok(Size::new(width, height))
            }
            _ => Err(self.wrong("size", value)),
        }
    }

    fn end(self) -> Result<(), PlaceError> {
        match self.pairs.first() {
            None => Ok(()),
            Some((key, _)) => Err(self.error(format!("{key} is not known here"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(text: &str) -> Place {
        text.parse()
            .unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn what_is_not_said_is_as_the_usual_boards_are_wired() {
        let Place::Oled(oled) = place("ssd1306:/dev/i2c-1") else {
            panic!("no oled");
        };
        assert_eq!(
            (oled.bus.as_str(), oled.address, oled.beat),
            ("/dev/i2c-1", 0x3c, false)
        );
        let Place::Tft(tft) = place("ili9341:/dev/spidev0.0,dc=24,light=18,mhz=40") else {
            panic!("no tft");
        };
        assert_eq!((tft.wires.dc, tft.wires.reset, tft.wires.mhz), (24, 27, 40));
        assert_eq!((tft.light, tft.rotate, tft.invert), (Some(18), 90, false));
        assert_eq!(tft.size, Size::new(320, 240));
        let Place::Paper(paper) = place("epd:/dev/spidev0.0,rotate=180") else {
            panic!("no paper");
        };
        assert_eq!((paper.busy, paper.beat), (24, true));
        assert_eq!(place("fb:vc4drmfb"), Place::FrameBuffer("vc4drmfb".into()));
        let Place::Pictures(pictures) = place("png:out,size=250x122") else {
            panic!("no pictures");
        };
        assert_eq!(pictures.panel, Panel::PAPER_250X122);
    }

    #[test]
    fn what_cannot_be_is_said_with_the_way_to_write_it() {
        for (text, what) in [
            ("oled", "names no kind"),
            ("vga:0", "no display of the kind vga"),
            ("png:", "the place is missing"),
            ("png:out,size=1x1", "size cannot be 1x1"),
            ("ssd1306:/dev/i2c-1,address=0x80", "address cannot be 0x80"),
            ("ssd1306:/dev/i2c-1,rotate=90", "rotate cannot be 90"),
            ("ssd1306:/dev/i2c-1,dc=1", "dc is not known here"),
            ("st7789:/dev/spidev0.0,dc=1,dc=2", "dc is given twice"),
            ("st7789:/dev/spidev0.0,dc", "dc is not KEY=VALUE"),
            ("st7789:/dev/spidev0.0,size=320x240", "240 x 320 pixels"),
            ("ili9341:/dev/spidev0.0,mhz=0", "mhz cannot be 0"),
            ("epd:/dev/spidev0.0,busy=x", "busy cannot be x"),
        ] {
            let error = text.parse::<Place>().expect_err(text).to_string();
            assert!(error.contains(what), "{text}: {error}");
            assert!(error.contains("; write "), "{error}");
        }
    }
}
