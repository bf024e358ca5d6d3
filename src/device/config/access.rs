//! Who may use what the device writes for others, as a configuration says it: rights in octal
//! digits, and a group by name or number. Values come in as texts; nothing is set here.

use std::fmt::{self, Display};
use std::str::FromStr;

use rustix::fs::Mode;
use serde::{Serialize, Serializer};

use crate::files::Readers;

/// Rights of a file, as `0640`. Nobody but its owner and group may write it: a result that anybody
/// can change is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FileMode(u32);

/// Rights of a socket: who may write may use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SocketMode(u32);

/// A group that the system has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// As it was written.
    text: String,
    /// Its number.
    pub id: u32,
}

/// What files of this mode and group are for others.
pub(super) fn readers(mode: Option<FileMode>, group: Option<&Group>) -> Readers {
    Readers {
        mode: mode.map(|FileMode(bits)| Mode::from_raw_mode(bits)),
        group: group.map(|group| group.id),
    }
}

impl SocketMode {
    /// The same for the system.
    pub fn mode(self) -> Mode {
        Mode::from_raw_mode(self.0)
    }
}

impl FromStr for FileMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bits = rights(text)?;
        match bits & 0o002 {
            0 => Ok(Self(bits)),
            _ => Err(format!("'{text}': anybody could change what is written")),
        }
    }
}

impl FromStr for SocketMode {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        rights(text).map(Self)
    }
}

fn rights(text: &str) -> Result<u32, String> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let is_octal = (3..=4).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit());
    let bits = u32::from_str_radix(digits, 8).ok().filter(|_| is_octal);
    match bits {
        Some(bits) if bits & !0o666 != 0 => {
            Err(format!("'{text}': nobody runs it: give 4 and 2 alone"))
        }
        Some(bits) if bits & 0o600 != 0o600 => {
            Err(format!("'{text}': its owner must read and write it"))
        }
        Some(bits) => Ok(bits),
        None => Err(format!(
            "'{text}': give three or four octal digits, as 0640"
        )),
    }
}

impl FromStr for Group {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let id = match text.parse::<u32>() {
            // What the system has for none.
            Ok(u32::MAX) => None,
            Ok(id) => Some(id),
            Err(_) => {
                let groups = std::fs::read_to_string("/etc/group").unwrap_or_default();
                number_of(text, &groups)
            }
        };
        let id = id.ok_or_else(|| format!("'{text}': /etc/group has no such group"))?;
        Ok(Self {
            text: text.to_owned(),
            id,
        })
    }
}

fn number_of(name: &str, groups: &str) -> Option<u32> {
    let line = groups
        .lines()
        .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    line.split(':').nth(1)?.parse().ok()
}

impl Display for FileMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Display for SocketMode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04o}", self.0)
    }
}

impl Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for FileMode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Serialize for SocketMode {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl Serialize for Group {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rights_are_octal_and_let_nobody_change_what_is_written() {
        struct Case(&'static str, Option<&'static str>, bool);
        for Case(text, is_read_as, is_of_socket) in [
            Case("0640", Some("0640"), true),
            Case("640", Some("0640"), true),
            Case("0o644", Some("0644"), true),
            Case("0600", Some("0600"), true),
            Case("0666", None, true),
            Case("0060", None, false),
            Case("0750", None, false),
            Case("4640", None, false),
            Case("06400", None, false),
            Case("0680", None, false),
            Case("+640", None, false),
            Case("64", None, false),
            Case("", None, false),
        ] {
            let read = text.parse::<FileMode>().map(|mode| mode.to_string());
            assert_eq!(read.ok().as_deref(), is_read_as, "{text}");
            assert_eq!(text.parse::<SocketMode>().is_ok(), is_of_socket, "{text}");
        }
    }

    #[test]
    fn a_group_is_known_by_name_or_number() {
        let groups = "root:x:0:\nwards:x:1005:ann\nward:x:1004:\nodd\nbad:x:y:\n";
        for (name, id) in [
            ("wards", Some(1005)),
            ("ward", Some(1004)),
            ("war", None),
            ("bad", None),
            ("odd", None),
        ] {
            assert_eq!(number_of(name, groups), id, "{name}");
        }
        assert_eq!("0".parse::<Group>().unwrap().id, 0);
        assert!("no such group here".parse::<Group>().is_err());
        assert!(u32::MAX.to_string().parse::<Group>().is_err());
    }
}
