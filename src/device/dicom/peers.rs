//! Who is at the other end of a DICOM network: titles and addresses as an operator writes them.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Duration;

/// Who may send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its application entity title.
    pub title: String,
    /// Its address; any where absent.
    pub address: Option<IpAddr>,
}

impl FromStr for Peer {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (title, address) = match text.split_once('@') {
            Some((title, address)) => {
                let address = address
                    .parse()
                    .map_err(|_| format!("'{address}' is no address"))?;
                (title, Some(address))
            }
            None => (text, None),
        };
        let title = title_of(title)?;
        Ok(Self { title, address })
    }
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.title)?;
        self.address.iter().try_for_each(|at| write!(f, "@{at}"))
    }
}

/// Where answers are sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pacs {
    /// Its application entity title.
    pub title: String,
    /// Host and port.
    pub address: String,
}

impl FromStr for Pacs {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts = text.split_once('@').filter(|(_, at)| at.contains(':'));
        let (title, address) = parts.ok_or("write TITLE@HOST:PORT")?;
        Ok(Self {
            title: title_of(title)?,
            address: address.to_owned(),
        })
    }
}

impl fmt::Display for Pacs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{}", self.title, self.address)
    }
}

/// An application entity title (PS3.5, 6.2): 1 to 16 characters, no backslash.
///
/// # Errors
/// A sentence that says so.
pub fn title_of(text: &str) -> Result<String, String> {
    let text = text.trim();
    let fits = (1..=16).contains(&text.len())
        && text
            .bytes()
            .all(|b| (0x20..0x7f).contains(&b) && b != b'\\');
    if fits {
        Ok(text.to_owned())
    } else {
        Err(format!(
            "'{text}' is not an AE title: give 1 to 16 characters"
        ))
    }
}

/// How long peers may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deadlines {
    /// To say the next thing.
    pub idle: Duration,
    /// For one instance, from its first byte to its last.
    pub instance: Duration,
    /// For an association in all; an instance that has begun may end.
    pub association: Duration,
}

impl Peer {
    /// Whether a sender of this title and address is meant.
    pub(crate) fn is(&self, title: &str, address: IpAddr) -> bool {
        self.title == title.trim() && self.address.is_none_or(|at| at == address)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_and_archives_are_read_or_refused() {
        let peer: Peer = "XRAY@10.0.0.7".parse().unwrap();
        assert_eq!(
            (peer.title.as_str(), peer.address),
            ("XRAY", "10.0.0.7".parse().ok())
        );
        assert_eq!(peer.to_string(), "XRAY@10.0.0.7");
        assert_eq!("XRAY".parse::<Peer>().unwrap().address, None);
        assert_eq!("PACS@a:1".parse::<Pacs>().unwrap().to_string(), "PACS@a:1");
        assert!("XRAY@here".parse::<Peer>().is_err());
        assert!("".parse::<Peer>().is_err());
        assert!("A_TITLE_THAT_IS_TOO_LONG".parse::<Peer>().is_err());
        assert!("PACS@host".parse::<Pacs>().is_err());
    }
}
