//! Colours: few, and none that carries a meaning alone.
//!
//! The levels' green, yellow and vermilion and the accent's blue are Okabe and Ito's (*Color
//! Universal Design*, 2008), the vermilion a little lighter; their purple comes too near to
//! their green under deuteranopia (17.9 in CIE 1976), so a violet stands in its place. Tests
//! here compute contrast ratios (WCAG 2.2) and the distances under protanopia, deuteranopia
//! and tritanopia. A level also has a shape and a word. The ground
//! is dark, as a lit room at night needs no second lamp; paper is white, as it has no light.

use embedded_graphics::pixelcolor::Rgb888;
use embedded_graphics::prelude::*;

use super::Level;

/// What a panel can show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Ink {
    /// Light or dark pixels that shine (OLED): light on dark.
    Light,
    /// Black or white pixels that do not shine (e-paper): black on white.
    Paper,
    /// Colour, on a dark ground.
    Colour,
}

/// What a colour is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Behind everything.
    Ground,
    /// What is to be read first.
    Text,
    /// What is to be read second.
    Quiet,
    /// What is only seen: tracks of bars, rules.
    Faint,
    /// Bars, and the outline of the region.
    Accent,
    /// A level's band.
    Level(Level),
    /// Text and shape on a level's band.
    OnBand,
    /// The band of a refusal or a fault: no level, so no level's colour.
    Notice,
}

impl Role {
    /// The colour on a panel. Panels of one bit are given black and white only.
    pub const fn colour(self, ink: Ink) -> Rgb888 {
        match ink {
            Ink::Colour => self.in_colour(),
            Ink::Light => self.in_one_bit(Rgb888::WHITE, Rgb888::BLACK),
            Ink::Paper => self.in_one_bit(Rgb888::BLACK, Rgb888::WHITE),
        }
    }

    const fn in_colour(self) -> Rgb888 {
        match self {
            Self::Ground => Rgb888::new(10, 14, 18),
            Self::Text => Rgb888::new(236, 239, 241),
            Self::Quiet => Rgb888::new(160, 172, 180),
            Self::Faint => Rgb888::new(52, 62, 70),
            Self::Accent => Rgb888::new(86, 180, 233),
            Self::Level(Level::Routine) => Rgb888::new(0, 158, 115),
            Self::Level(Level::Priority) => Rgb888::new(240, 228, 66),
            Self::Level(Level::Urgent) => Rgb888::new(224, 102, 10),
            Self::Level(Level::Review) => Rgb888::new(170, 150, 240),
            Self::OnBand => Rgb888::new(0, 0, 0),
            Self::Notice => Rgb888::new(190, 200, 206),
        }
    }

    const fn in_one_bit(self, ink: Rgb888, ground: Rgb888) -> Rgb888 {
        match self {
            Self::Ground | Self::Faint | Self::OnBand => ground,
            Self::Text | Self::Quiet | Self::Accent | Self::Level(_) | Self::Notice => ink,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// sRGB to linear light, by IEC 61966-2-1.
    fn linear(colour: Rgb888) -> [f64; 3] {
        [colour.r(), colour.g(), colour.b()].map(|value| {
            let value = f64::from(value) / 255.0;
            if value <= 0.04045 {
                value / 12.92
            } else {
                ((value + 0.055) / 1.055).powf(2.4)
            }
        })
    }

    /// WCAG 2.2, contrast ratio.
    fn contrast(one: Rgb888, other: Rgb888) -> f64 {
        let luminance = |colour| {
            let [r, g, b] = linear(colour);
            0.2126 * r + 0.7152 * g + 0.0722 * b
        };
        let (one, other) = (luminance(one), luminance(other));
        (one.max(other) + 0.05) / (one.min(other) + 0.05)
    }

    /// CIE L*a*b*, D65.
    fn lab([r, g, b]: [f64; 3]) -> [f64; 3] {
        let xyz = [
            (0.4124 * r + 0.3576 * g + 0.1805 * b) / 0.9505,
            0.2126 * r + 0.7152 * g + 0.0722 * b,
            (0.0193 * r + 0.1192 * g + 0.9505 * b) / 1.089,
        ];
        let [x, y, z] = xyz.map(|t| {
            if t > 216.0 / 24389.0 {
                t.cbrt()
            } else {
                (24389.0 / 27.0 * t + 16.0) / 116.0
            }
        });
        [116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)]
    }

    /// Machado, Oliveira and Fernandes 2009, severity 1: how a colour is seen.
    const SIGHTS: [(&str, [[f64; 3]; 3]); 4] = [
        ("usual", [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]),
        (
            "protanopia",
            [
                [0.152286, 1.052583, -0.204868],
                [0.114503, 0.786281, 0.099216],
                [-0.003882, -0.048116, 1.051998],
            ],
        ),
        (
            "deuteranopia",
            [
                [0.367322, 0.860646, -0.227968],
                [0.280085, 0.672501, 0.047413],
                [-0.011820, 0.042940, 0.968881],
            ],
        ),
        (
            "tritanopia",
            [
                [1.255528, -0.076749, -0.178779],
                [-0.078411, 0.930809, 0.147602],
                [0.004733, 0.691367, 0.303900],
            ],
        ),
    ];

    fn seen(sight: &[[f64; 3]; 3], colour: Rgb888) -> [f64; 3] {
        let light = linear(colour);
        let mixed = |row: &[f64; 3]| row.iter().zip(light).map(|(a, b)| a * b).sum::<f64>();
        [mixed(&sight[0]), mixed(&sight[1]), mixed(&sight[2])].map(|v| v.clamp(0.0, 1.0))
    }

    #[test]
    fn text_stands_out_from_what_is_behind_it() {
        for ink in [Ink::Light, Ink::Paper, Ink::Colour] {
            let ratio = |one: Role, other: Role| contrast(one.colour(ink), other.colour(ink));
            // AAA for what must be read, at any size of letters.
            assert!(ratio(Role::Text, Role::Ground) >= 15.0);
            assert!(ratio(Role::Quiet, Role::Ground) >= 7.0);
            assert!(ratio(Role::Notice, Role::OnBand) >= 7.0);
            assert!(ratio(Role::Accent, Role::Ground) >= 7.0);
            for level in Level::ALL {
                let on_band = ratio(Role::Level(level), Role::OnBand);
                let seen = ratio(Role::Level(level), Role::Ground);
                assert!(on_band >= 5.9, "{level:?} {ink:?}: {on_band:.2}");
                assert!(seen >= 5.0, "{level:?} {ink:?}: {seen:.2}");
            }
        }
        let track = contrast(
            Role::Faint.colour(Ink::Colour),
            Role::Accent.colour(Ink::Colour),
        );
        assert!(track >= 4.5, "a bar on its track: {track:.2}");
    }

    #[test]
    fn levels_stay_apart_for_every_sight() {
        for (name, sight) in SIGHTS {
            for (index, one) in Level::ALL.into_iter().enumerate() {
                for other in &Level::ALL[index + 1..] {
                    let place = |level| lab(seen(&sight, Role::Level(level).colour(Ink::Colour)));
                    let (a, b) = (place(one), place(*other));
                    let apart: f64 = a
                        .iter()
                        .zip(b)
                        .map(|(a, b)| (a - b).powi(2))
                        .sum::<f64>()
                        .sqrt();
                    // 2.3 can just be told apart (CIE 1976); this is twelve times as far.
                    assert!(apart >= 29.0, "{name}: {one:?} and {other:?}: {apart:.1}");
                }
            }
        }
    }
}
