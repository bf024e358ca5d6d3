//! What is connected to the machine: serial ports, and the buses and frame buffers of displays.
//! Called by the doctor. Lists names and opens nothing.

use std::fs;
use std::path::Path;

use rustix::fs::{Access, access};
use serde::Serialize;

use crate::journal::SelfCheck;

/// What hangs on the machine, by path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Attached {
    /// Serial ports.
    pub serial: Vec<String>,
    /// Frame buffers.
    pub frame_buffers: Vec<String>,
    /// I2C buses.
    pub i2c: Vec<String>,
    /// SPI buses.
    pub spi: Vec<String>,
}

impl Attached {
    /// Looks; `dev` and `sys` lie in `root`.
    pub fn to(root: &Path) -> Self {
        let dev = root.join("dev");
        let named = |prefix: &str| -> Vec<String> {
            let entries = fs::read_dir(&dev).into_iter().flatten().flatten();
            let names = entries.filter(|entry| {
                let name = entry.file_name();
                let rest = name.to_str().and_then(|name| name.strip_prefix(prefix));
                rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
            });
            let mut paths: Vec<String> = names
                .map(|entry| entry.path().display().to_string())
                .collect();
            paths.sort();
            paths
        };
        Self {
            serial: serial(root),
            frame_buffers: named("fb"),
            i2c: named("i2c-"),
            spi: named("spidev"),
        }
    }

    /// Whether this user may open them.
    pub(super) fn rights(&self) -> Vec<SelfCheck> {
        [
            ("serial", &self.serial, "dialout"),
            ("frame_buffers", &self.frame_buffers, "video"),
            ("i2c", &self.i2c, "i2c"),
            ("spi", &self.spi, "spi"),
        ]
        .into_iter()
        .map(|(name, paths, group)| right(name, paths, group))
        .collect()
    }
}

/// The serial ports, as the library that opens them finds them.
fn serial(root: &Path) -> Vec<String> {
    // It takes this folder for granted.
    if root == Path::new("/") && !Path::new("/sys/class/tty").is_dir() {
        return Vec::new();
    }
    let ports = serialport::available_ports().unwrap_or_default();
    let mut names: Vec<String> = ports.into_iter().map(|port| port.port_name).collect();
    names.sort();
    names
}

fn right(name: &str, paths: &[String], group: &str) -> SelfCheck {
    let may = |path: &&String| access(path.as_str(), Access::READ_OK | Access::WRITE_OK).is_ok();
    let (mine, others): (Vec<&String>, Vec<&String>) = paths.iter().partition(may);
    let list = |paths: &[&String]| {
        let names: Vec<&str> = paths.iter().map(|path| path.as_str()).collect();
        names.join(", ")
    };
    match (mine.len(), others.len()) {
        (0, 0) => SelfCheck::passed(name, "there are none"),
        (_, 0) => SelfCheck::passed(name, list(&mine)),
        _ => {
            let what = format!("this user may not open {}", list(&others));
            let help = format!("add the user that runs the device to the group {group}");
            SelfCheck::warned(name, what, &help)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Verdict;

    #[test]
    fn buses_are_found_by_their_names() {
        let root = tempfile::tempdir().unwrap();
        let dev = root.path().join("dev");
        fs::create_dir(&dev).unwrap();
        for name in ["fb0", "fbcon", "i2c-1", "i2c-20", "spidev0.0", "spi", "tty"] {
            fs::write(dev.join(name), "").unwrap();
        }
        let found = Attached::to(root.path());
        let names = |paths: &[String]| -> Vec<String> {
            let name = |path: &String| path.rsplit('/').next().unwrap_or_default().to_owned();
            paths.iter().map(name).collect()
        };
        assert_eq!(names(&found.frame_buffers), ["fb0"]);
        assert_eq!(names(&found.i2c), ["i2c-1", "i2c-20"]);
        assert_eq!(names(&found.spi), ["spidev0.0"]);
        assert_eq!(right("i2c", &found.i2c, "i2c").verdict, Verdict::Passed);
        let gone = [root.path().join("dev/i2c-7").display().to_string()];
        assert_eq!(right("i2c", &gone, "i2c").verdict, Verdict::Warned);
    }
}
