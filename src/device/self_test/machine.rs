//! What the machine says of itself: room, memory, heat. Nothing of it makes an answer wrong,
//! so all of it only warns; what a kernel does not tell is not guessed.

use std::fs;
use std::path::{Path, PathBuf};

use crate::engine;
use crate::journal::SelfCheck;

/// Below this, retention should long have made room.
const LITTLE_SPACE: u64 = 256 << 20;
/// Below this, the next large image may be refused.
const LITTLE_MEMORY: u64 = 64 << 20;
/// How near to the temperature at which the system switches itself off, in thousandths of a
/// degree.
const NEAR: i64 = 10_000;
/// Above this a limit is none: firmware writes such numbers where it has no sensor.
const ABSURD: i64 = 200_000;

const COOLER: &str = "give it air and shade, and look at its fan; hot devices are slow";

/// Room where the state folder lies.
pub fn space(state: &Path) -> SelfCheck {
    const NAME: &str = "space";
    let help = "remove what is not needed from the card, or use a larger one";
    match rustix::fs::statvfs(state) {
        Ok(system) => {
            let free = system.f_bavail.saturating_mul(system.f_frsize);
            let what = format!("{} MiB are free for the state folder", free >> 20);
            if free < LITTLE_SPACE {
                SelfCheck::warned(NAME, what, help)
            } else {
                SelfCheck::passed(NAME, what)
            }
        }
        Err(error) => SelfCheck::warned(NAME, format!("not known: {error}"), help),
    }
}

/// What a run may still take.
pub fn memory() -> SelfCheck {
    const NAME: &str = "memory";
    match engine::available_memory() {
        None => SelfCheck::passed(NAME, "this system does not say what is free"),
        Some(free) => {
            let what = format!("{} MiB are free", free >> 20);
            if free < LITTLE_MEMORY {
                SelfCheck::warned(NAME, what, "end other programs, or use a smaller bundle")
            } else {
                SelfCheck::passed(NAME, what)
            }
        }
    }
}

/// The hottest part, and whether any is at a limit of its own.
pub fn temperature(root: &Path) -> SelfCheck {
    const NAME: &str = "temperature";
    let zones = zones(root);
    let Some(hottest) = zones.iter().max_by_key(|zone| zone.temperature) else {
        return SelfCheck::passed(NAME, "this system has no sensor");
    };
    match zones.iter().find_map(Zone::warning) {
        Some(warning) => SelfCheck::warned(NAME, warning, COOLER),
        None => SelfCheck::passed(NAME, hottest.to_string()),
    }
}

/// How hot the hottest part is.
pub fn hottest(root: &Path) -> Option<f64> {
    let hottest = zones(root).iter().map(|zone| zone.temperature).max()?;
    Some(hottest as f64 / 1000.0)
}

fn zones(root: &Path) -> Vec<Zone> {
    let folders = folders(&root.join("sys/class/thermal"), "thermal_zone");
    folders
        .iter()
        .filter_map(|folder| Zone::read(folder))
        .collect()
}

/// A part of the machine whose temperature is known.
struct Zone {
    name: String,
    /// In thousandths of a degree.
    temperature: i64,
    /// Where the kernel begins to slow it down.
    slowed: Option<i64>,
    /// Where the kernel switches the machine off.
    off: Option<i64>,
}

impl Zone {
    fn read(folder: &Path) -> Option<Self> {
        let temperature = number(&folder.join("temp"))?;
        let limit = |kinds: &[&str]| {
            let trips = (0..).map_while(|trip| {
                let about = |what| folder.join(format!("trip_point_{trip}_{what}"));
                let kind = text(&about("type"))?;
                Some((kind, number(&about("temp"))))
            });
            let of_kind = trips.filter(|(kind, _)| kinds.contains(&kind.as_str()));
            let limits = of_kind.filter_map(|(_, limit)| limit);
            limits.filter(|limit| (1..ABSURD).contains(limit)).min()
        };
        Some(Self {
            name: text(&folder.join("type")).unwrap_or_else(|| "a part".to_owned()),
            temperature,
            slowed: limit(&["passive", "hot"]),
            off: limit(&["critical"]),
        })
    }

    fn warning(&self) -> Option<String> {
        if let Some(off) = self.off.filter(|off| self.temperature >= off - NEAR) {
            return Some(format!("{self}; it is switched off at {} °C", off / 1000));
        }
        let slowed = self.slowed.filter(|slowed| self.temperature >= *slowed)?;
        Some(format!(
            "{self}; it is slowed down from {} °C on",
            slowed / 1000
        ))
    }
}

impl std::fmt::Display for Zone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} is at {} °C", self.name, self.temperature / 1000)
    }
}

/// What a Raspberry Pi's firmware holds the processor back for.
pub fn throttling(root: &Path) -> SelfCheck {
    const NAME: &str = "throttling";
    let firmware = folders(&root.join("sys/devices/platform"), "soc")
        .iter()
        .flat_map(|soc| folders(soc, "soc"))
        .find_map(|folder| text(&folder.join("get_throttled")));
    let Some(bits) =
        firmware.and_then(|text| u32::from_str_radix(text.trim_start_matches("0x"), 16).ok())
    else {
        return SelfCheck::passed(NAME, "this system does not say");
    };
    let reasons = |shift: u32| -> Vec<&str> {
        let names = [
            "too little voltage",
            "a capped clock",
            "throttling",
            "the heat limit",
        ];
        let named = (0..)
            .zip(names)
            .filter(|(bit, _)| bits >> (shift + bit) & 1 == 1);
        named.map(|(_, name)| name).collect()
    };
    let (now, before) = (reasons(0), reasons(16));
    if !now.is_empty() {
        let what = format!("held back now by {}", now.join(", "));
        let help = "use the board's own power supply and a short cable, and cool it";
        return SelfCheck::warned(NAME, what, help);
    }
    let what = if before.is_empty() {
        "never since it was switched on".to_owned()
    } else {
        format!("not now; since it was switched on: {}", before.join(", "))
    };
    SelfCheck::passed(NAME, what)
}

/// The folders in a folder whose names begin so, in order.
fn folders(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).into_iter().flatten().flatten();
    let named = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(prefix));
    let mut folders: Vec<PathBuf> = named.map(|entry| entry.path()).collect();
    folders.sort();
    folders
}

fn text(file: &Path) -> Option<String> {
    Some(fs::read_to_string(file).ok()?.trim().to_owned())
}

fn number(file: &Path) -> Option<i64> {
    text(file)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Verdict;

    struct Machine(tempfile::TempDir);

    impl Machine {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn with(self, file: &str, text: &str) -> Self {
            let path = self.0.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
            self
        }

        /// A processor at so many degrees, slowed down at 80 and off at 90.
        fn at(self, zone: u32, temperature: &str) -> Self {
            let file = |name: &str| format!("sys/class/thermal/thermal_zone{zone}/{name}");
            self.with(&file("type"), "cpu-thermal\n")
                .with(&file("temp"), temperature)
                .with(&file("trip_point_0_type"), "passive\n")
                .with(&file("trip_point_0_temp"), "80000\n")
                .with(&file("trip_point_1_type"), "critical\n")
                .with(&file("trip_point_1_temp"), "90000\n")
        }

        fn temperature(&self) -> SelfCheck {
            temperature(self.0.path())
        }
    }

    #[test]
    fn heat_warns_by_each_parts_own_limits() {
        for (temperature, verdict, what) in [
            ("48312\n", Verdict::Passed, "cpu-thermal is at 48 °C"),
            ("79999\n", Verdict::Passed, "cpu-thermal is at 79 °C"),
            (
                "80000\n",
                Verdict::Warned,
                "cpu-thermal is at 80 °C; it is switched off at 90 °C",
            ),
        ] {
            let check = Machine::new()
                .at(0, "30000")
                .at(1, temperature)
                .temperature();
            assert_eq!((check.verdict, check.what.as_str()), (verdict, what));
        }
        assert_eq!(
            hottest(Machine::new().at(0, "48312").0.path()),
            Some(48.312)
        );
        let slowed = Machine::new()
            .at(0, "85000\n")
            .with(
                "sys/class/thermal/thermal_zone0/trip_point_1_temp",
                "-274000\n",
            )
            .temperature();
        assert_eq!(slowed.verdict, Verdict::Warned);
        assert!(
            slowed.what.ends_with("slowed down from 80 °C on"),
            "{}",
            slowed.what
        );
        let broken = Machine::new().at(0, "no number\n").temperature();
        assert_eq!(broken.what, "this system has no sensor");
        assert_eq!(Machine::new().temperature().verdict, Verdict::Passed);
    }

    #[test]
    fn a_boards_firmware_says_what_holds_it_back() {
        let at = "sys/devices/platform/soc/soc:firmware/get_throttled";
        let newer = "sys/devices/platform/soc@107c000000/soc@107c000000:firmware/get_throttled";
        for (file, bits, verdict, what) in [
            (at, "0\n", Verdict::Passed, "never since it was switched on"),
            (
                newer,
                "50000\n",
                Verdict::Passed,
                "not now; since it was switched on: too little voltage, throttling",
            ),
            (
                at,
                "50005\n",
                Verdict::Warned,
                "held back now by too little voltage, throttling",
            ),
            (
                newer,
                "0x8",
                Verdict::Warned,
                "held back now by the heat limit",
            ),
            (at, "what?", Verdict::Passed, "this system does not say"),
        ] {
            let machine = Machine::new().with(file, bits);
            let check = throttling(machine.0.path());
            assert_eq!((check.verdict, check.what.as_str()), (verdict, what));
        }
    }

    #[test]
    fn room_is_that_of_the_folder() {
        let folder = tempfile::tempdir().unwrap();
        assert!(
            space(folder.path())
                .what
                .ends_with("MiB are free for the state folder")
        );
        let missing = space(&folder.path().join("missing"));
        assert_eq!(missing.verdict, Verdict::Warned);
    }
}
