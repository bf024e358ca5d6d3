//! Whether what was named is there: serial ports and displays. One that is missing is opened
//! when it comes, so this only warns.

use std::path::{Path, PathBuf};

use crate::device::display::place::Place;
use crate::journal::SelfCheck;

/// The check of the serial ports.
pub const PORTS: &str = "ports";
/// The check of the displays.
pub const DISPLAYS: &str = "displays";

/// The serial ports that were named.
pub fn ports(ports: &[PathBuf]) -> SelfCheck {
    let missing = ports.iter().filter(|port| !port.exists());
    let missing: Vec<String> = missing.map(|port| port.display().to_string()).collect();
    let help = "plug the adapter in, or name the port that it has";
    told(PORTS, ports.len(), &missing, help)
}

/// The displays that were named; `dev` and `sys` lie in `root`.
pub fn displays(root: &Path, displays: &[Place]) -> SelfCheck {
    let missing: Vec<String> = displays.iter().filter_map(|d| d.missing(root)).collect();
    let help = "check the wiring and that the bus is switched on, or name another display";
    told(DISPLAYS, displays.len(), &missing, help)
}

fn told(name: &str, named: usize, missing: &[String], help: &str) -> SelfCheck {
    if missing.is_empty() {
        SelfCheck::passed(name, format!("{named} of {named} are there"))
    } else {
        let what = format!("not there: {}", missing.join(", "));
        SelfCheck::warned(name, what, help)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::Verdict;

    #[test]
    fn what_is_missing_is_named() {
        let root = tempfile::tempdir().unwrap();
        let place = |text: &str| text.parse::<Place>().unwrap();
        std::fs::create_dir_all(root.path().join("dev")).unwrap();
        std::fs::write(root.path().join("dev/i2c-1"), "").unwrap();
        let there = [place("ssd1306:/dev/i2c-1"), place("png:pictures")];
        assert_eq!(displays(root.path(), &there).verdict, Verdict::Passed);
        let gone = [place("epd:/dev/spidev0.0"), place("fb:vc4drmfb")];
        let check = displays(root.path(), &gone);
        assert_eq!(check.verdict, Verdict::Warned);
        assert_eq!(check.what, "not there: /dev/spidev0.0, vc4drmfb");
        let port = root.path().join("dev/ttyUSB0");
        assert_eq!(ports(std::slice::from_ref(&port)).verdict, Verdict::Warned);
        std::fs::write(&port, "").unwrap();
        assert_eq!(ports(&[port]).verdict, Verdict::Passed);
    }
}
