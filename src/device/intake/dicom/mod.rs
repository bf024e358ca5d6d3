//! DICOM over the network: images come in by C-STORE.
//!
//! `door -> receive -> inbox -> feed -> cases`; the archive is one of the [`sinks`](crate::device::sinks). A
//! sender hears success only after the inbox has the instance on the disk; it stays there
//! until its case has ended. So power may fail at any time. No name of a patient goes to a
//! log here, and files are named by a hash.

mod complaints;
mod door;
mod feed;
mod inbox;
mod look;
mod parting;
mod receive;
mod unread;

use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

pub use inbox::Inbox;

use crate::device::cases::Cases;
use crate::device::dicom::{Deadlines, Peer};
use crate::device::intake::seats::Seats;
use crate::device::lifecycle::Lifecycle;
use crate::device::spawner::Spawner;

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

/// The port that images come by, and where they wait to become cases.
#[derive(Debug, Clone)]
pub(crate) struct Port {
    options: Arc<Options>,
    inbox: Arc<Inbox>,
    listener: Arc<TcpListener>,
    seats: Arc<Seats<IpAddr>>,
}

impl Port {
    /// Opens it.
    ///
    /// # Errors
    /// Where the port or the inbox cannot be opened.
    pub fn open(options: Options, state: &Path, cases: &Cases) -> std::io::Result<Self> {
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
        Ok(Self {
            seats: Seats::new(door::bounds(&options), cases.spawner())?,
            options: Arc::new(options),
            inbox,
            listener: Arc::new(listener),
        })
    }

    /// What ends the listening where it is shut down.
    ///
    /// # Errors
    /// Where the system has no more to give.
    pub fn listening(&self) -> std::io::Result<OwnedFd> {
        Ok(self.listener.try_clone()?.into())
    }

    /// Takes up associations until the device has ended. To be called on a thread of its own.
    pub fn listen(&self, lifecycle: &Lifecycle, spawner: &Spawner) {
        let Self {
            options,
            inbox,
            listener,
            seats,
        } = self;
        door::listen(listener, options, inbox, seats, lifecycle, spawner);
    }

    /// Makes cases of what was received, as long. To be called on a thread of its own.
    pub fn feed(&self, cases: &Cases) {
        feed::work(&self.options, &self.inbox, cases);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

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
