//! DICOM over the network: images come in by C-STORE.
//!
//! `door -> receive -> inbox -> feed -> cases`; the archive is one of the [`sinks`](super::sinks). A
//! sender hears success only after the inbox has the instance on the disk; it stays there
//! until its case has ended. So power may fail at any time. No name of a patient goes to a
//! log here, and files are named by a hash.

mod complaints;
mod door;
mod feed;
mod inbox;
pub(super) mod message;
mod receive;

use std::fmt;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

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

/// The DICOM side of the device.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// The device's own title.
    pub title: String,
    /// Who may send; where empty, this computer alone.
    pub peers: Vec<Peer>,
    /// Anyone may send, from anywhere.
    pub open: bool,
    /// Whose images may hurry.
    pub hurry: Vec<Peer>,
    /// Associations of one address at once.
    pub most_per_address: usize,
    /// How long they may take.
    pub deadlines: Deadlines,
    /// The exam that every image is asked; the one that it says itself where absent.
    pub exam: Option<String>,
}

impl Peer {
    fn is(&self, title: &str, address: IpAddr) -> bool {
        self.title == title.trim() && self.address.is_none_or(|at| at == address)
    }
}

impl Options {
    /// Whether a peer of this address may be let in, whatever it calls itself.
    fn lets_address_in(&self, address: IpAddr) -> bool {
        let has = |peer: &Peer| peer.address.is_none_or(|at| at == address);
        self.is_for_all(address) || self.peers.iter().any(has)
    }

    /// Whether this peer is let in.
    fn lets_in(&self, title: &str, address: IpAddr) -> bool {
        self.is_for_all(address) || self.peers.iter().any(|peer| peer.is(title, address))
    }

    /// Whether one of the lists names this address.
    fn names_address(&self, address: IpAddr) -> bool {
        self.named().any(|named| named == address)
    }

    /// Whether the lists name any address.
    fn names_addresses(&self) -> bool {
        self.named().next().is_some()
    }

    fn named(&self) -> impl Iterator<Item = IpAddr> {
        let listed = self.peers.iter().chain(&self.hurry);
        listed.filter_map(|peer| peer.address)
    }

    /// Whether a title need not be looked at.
    fn is_for_all(&self, address: IpAddr) -> bool {
        self.open || (self.peers.is_empty() && door::is_own(address))
    }

    /// What a peer is called that was let in: by its title where the list has that.
    fn giver(&self, title: &str, address: IpAddr) -> String {
        let is_known = self
            .peers
            .iter()
            .chain(&self.hurry)
            .any(|p| p.is(title, address));
        if is_known {
            format!("{}@{address}", title.trim())
        } else {
            address.to_string()
        }
    }

    /// Whether images of whoever is called so may hurry.
    fn may_hurry(&self, giver: &str) -> bool {
        let Some((title, address)) = giver.rsplit_once('@') else {
            return false;
        };
        let address = address.parse().ok();
        address.is_some_and(|address| self.hurry.iter().any(|peer| peer.is(title, address)))
    }
}

/// Starts listening and feeding the cases, on threads of their own.
///
/// # Errors
/// Where the port or the inbox cannot be opened.
pub fn start(options: Options, state: &Path, cases: &'static Cases) -> std::io::Result<()> {
    let inbox = Arc::new(Inbox::open(state.join("dicom"), cases.disk().clone())?);
    let listener = TcpListener::bind(options.listen)?;
    if options.open {
        log::warn!("dicom: anyone may send, since open is true");
    } else if options.peers.is_empty() && !options.listen.ip().is_loopback() {
        log::error!(
            "dicom: nobody but this computer may send; name who may with dicom.allow, or let \
             anyone with dicom.open"
        );
    }
    log::info!(
        "dicom: {} listens on {}",
        options.title,
        listener.local_addr()?
    );
    let options = Arc::new(options);
    let (receiving, received) = (Arc::clone(&options), Arc::clone(&inbox));
    std::thread::spawn(move || door::listen(&listener, &receiving, &received));
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

    fn options(open: bool, peers: &[&str], hurry: &[&str]) -> Options {
        let parsed = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect();
        let second = Duration::from_secs(1);
        Options {
            listen: ([0, 0, 0, 0], 104).into(),
            title: "MEDFOCUS".to_owned(),
            open,
            peers: parsed(peers),
            hurry: parsed(hurry),
            most_per_address: 8,
            deadlines: Deadlines {
                idle: second,
                instance: second,
                association: second,
            },
            exam: None,
        }
    }

    #[test]
    fn who_is_let_in_stands_on_the_list_or_sits_at_this_computer() {
        struct Case {
            open: bool,
            allow: &'static [&'static str],
            title: &'static str,
            address: &'static str,
            /// At accept, and by its title.
            is_let_in: (bool, bool),
            giver: &'static str,
        }
        const NAMED: &[&str] = &["XRAY@10.0.0.7"];
        const TITLED: &[&str] = &["XRAY"];
        let case = |open, allow, title, address, is_let_in, giver| Case {
            open,
            allow,
            title,
            address,
            is_let_in,
            giver,
        };
        for case in [
            case(false, &[], "ANY", "127.0.0.3", (true, true), "127.0.0.3"),
            case(false, &[], "ANY", "::1", (true, true), "::1"),
            case(false, &[], "ANY", "10.0.0.7", (false, false), "10.0.0.7"),
            case(true, &[], "ANY", "10.0.0.7", (true, true), "10.0.0.7"),
            case(
                false,
                NAMED,
                " XRAY ",
                "10.0.0.7",
                (true, true),
                "XRAY@10.0.0.7",
            ),
            case(false, NAMED, "OTHER", "10.0.0.7", (true, false), "10.0.0.7"),
            case(false, NAMED, "XRAY", "10.0.0.8", (false, false), "10.0.0.8"),
            case(
                false,
                NAMED,
                "XRAY",
                "127.0.0.1",
                (false, false),
                "127.0.0.1",
            ),
            case(
                false,
                TITLED,
                "XRAY",
                "10.0.0.8",
                (true, true),
                "XRAY@10.0.0.8",
            ),
            case(
                false,
                TITLED,
                "OTHER",
                "10.0.0.8",
                (true, false),
                "10.0.0.8",
            ),
        ] {
            let options = options(case.open, case.allow, &[]);
            let address = case.address.parse().unwrap();
            let is_let_in = (
                options.lets_address_in(address),
                options.lets_in(case.title, address),
            );
            let what = format!("{} {}", case.title, case.address);
            assert_eq!(is_let_in, case.is_let_in, "{what}");
            assert_eq!(options.giver(case.title, address), case.giver, "{what}");
        }
    }

    #[test]
    fn only_those_hurry_that_may() {
        let options = options(true, &[], &["XRAY@10.0.0.7", "CT"]);
        for (title, address, may) in [
            ("XRAY", "10.0.0.7", true),
            ("XRAY", "10.0.0.8", false),
            ("CT", "10.0.0.8", true),
            ("MR", "10.0.0.7", false),
        ] {
            let giver = options.giver(title, address.parse().unwrap());
            assert_eq!(options.may_hurry(&giver), may, "{giver}");
        }
    }
}
