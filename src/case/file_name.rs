//! What whoever gave an image calls its file. A path or a text from outside comes in, one name
//! comes out: never a path, and never longer than a file system lets a name be. It may tell whose
//! image it is: it goes into answers, and never to a log.

use std::fmt::{self, Display};
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The name of a file, without folders.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FileName(String);

impl FileName {
    /// Bytes of a name at most, as file systems have it.
    pub const MOST: usize = 255;

    /// The last name of a path, whoever wrote it: what is no text in it is told as U+FFFD, a longer
    /// one is cut. `None` where the path ends in no name.
    pub fn of(path: impl AsRef<Path>) -> Option<Self> {
        let name = path.as_ref().file_name()?.to_string_lossy();
        // Of a client on another system.
        let name = name.rsplit('\\').next().unwrap_or_default();
        let name = &name[..name.floor_char_boundary(Self::MOST)];
        (!name.is_empty()).then(|| Self(name.to_owned()))
    }
}

impl Display for FileName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;

    #[test]
    fn a_name_is_the_last_part_of_a_path_and_no_path() {
        let long = "ä".repeat(200);
        let cases: [(&[u8], Option<&str>); 9] = [
            (b"/srv/in/Ann.png", Some("Ann.png")),
            (b"Ann.png", Some("Ann.png")),
            (b"in/", Some("in")),
            (b"/", None),
            (b"", None),
            (b"..", None),
            (b"C:\\scans\\Ann.png", Some("Ann.png")),
            (b"\xff.png", Some("\u{fffd}.png")),
            (long.as_bytes(), Some(&long[..254])),
        ];
        for (path, name) in cases {
            let found = FileName::of(Path::new(OsStr::from_bytes(path)));
            assert_eq!(found.map(|found| found.to_string()).as_deref(), name);
        }
    }
}
