//! DICOM over the network: images come in by C-STORE.
//!
//! `receive -> inbox -> feed -> cases`; the archive is one of the [`sinks`](super::sinks). A
//! sender hears success only after the inbox has the instance on the disk; it stays there
//! until its case has ended. So power may fail at any time. No name of a patient goes to a
//! log here, and files are named by a hash.

mod feed;
mod inbox;
pub(super) mod message;
mod receive;

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;

pub use inbox::Inbox;

use super::Cases;

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
        Err(format!("'{text}' is no AE title: 1 to 16 characters"))
    }
}

/// The DICOM side of the device.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// The device's own title.
    pub title: String,
    /// Who may send; anyone where empty.
    pub peers: Vec<Peer>,
    /// The exam that every image is asked; the one that it says itself where absent.
    pub exam: Option<String>,
}

/// Starts listening and feeding the cases, on threads of their own.
///
/// # Errors
/// Where the port or the inbox cannot be opened.
pub fn start(options: Options, state: &Path, cases: &'static Cases) -> std::io::Result<()> {
    let inbox = Arc::new(Inbox::open(state.join("dicom"), cases.room().clone())?);
    let listener = TcpListener::bind(options.listen)?;
    if options.peers.is_empty() {
        log::warn!("dicom: anyone may send; name who may with --dicom-allow");
    }
    log::info!(
        "dicom: {} listens on {}",
        options.title,
        listener.local_addr()?
    );
    let options = Arc::new(options);
    let (receiving, received) = (Arc::clone(&options), Arc::clone(&inbox));
    std::thread::spawn(move || receive::listen(&listener, &receiving, &received));
    std::thread::spawn(move || feed::work(&options, &inbox, cases));
    Ok(())
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
