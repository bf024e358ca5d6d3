//! The door: connections come in, associations that may be there go on to [`receive`].
//!
//! An address that nobody on the list has is turned away before a byte of it is read. Every
//! other one takes a seat, of which each address has so many; one that is slow, idle or silent
//! loses it to whoever comes. Says of each kind of trouble only now and then that there is
//! some: whoever makes it must not fill the log.

use std::net::{IpAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use super::complaints::{Kind, say};
use super::inbox::Inbox;
use super::parting::{FULL, UNKNOWN, hang_up, turn_away};
use super::{Options, receive};
use crate::device::dicom::Deadlines;
use crate::device::intake::seats::{Bounds, Seats};
use crate::device::lifecycle::Lifecycle;
use crate::device::spawner::Spawner;

/// Associations at once, of all addresses.
const MOST: usize = 64;
/// For the association to be asked for, from the first byte to the last.
const ARRIVING: Duration = Duration::from_secs(15);
/// An association that was idle for less is not ended because others want its seat.
const SPARED: Duration = Duration::from_secs(10);
/// Associations that only addresses of the lists may have, where the lists name one.
const KEPT: usize = 8;

/// Takes up associations until the device has ended.
pub(super) fn listen(
    listener: &TcpListener,
    options: &Arc<Options>,
    inbox: &Arc<Inbox>,
    seats: &Arc<Seats<IpAddr>>,
    lifecycle: &Lifecycle,
    spawner: &Spawner,
) {
    for socket in listener.incoming() {
        if lifecycle.has_ended() {
            return seats.hang_up_all();
        }
        let arrived = socket.and_then(|socket| Ok((socket.peer_addr()?, socket)));
        let Ok((peer, socket)) = arrived else {
            // The system has no more sockets to give: later it may.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let address = peer.ip().to_canonical();
        if !options.lets_address_in(address) {
            say(Kind::Stranger, &format!("{address} may not send"));
            turn_away(&socket, &UNKNOWN);
            continue;
        }
        let ended = socket.try_clone().map(|socket| move || hang_up(&socket));
        let is_known = options.names_address(address);
        let seat = ended
            .ok()
            .and_then(|ended| seats.take(address, is_known, ended));
        let Some(seat) = seat else {
            say(Kind::NoSeat, &format!("no seat is free for {address}"));
            turn_away(&socket, &FULL);
            continue;
        };
        let (options, inbox) = (Arc::clone(options), Arc::clone(inbox));
        let began = spawner.spawn("association", move || {
            if let Err(error) = receive::serve(socket, address, &seat, &options, &inbox) {
                say(Kind::Ended, &format!("an association ended: {error}"));
            }
        });
        if let Err(error) = began {
            say(
                Kind::NoSeat,
                &format!("no thread for an association: {error}"),
            );
        }
    }
}

/// How many associations there may be, and how long.
pub(super) fn bounds(options: &Options) -> Bounds {
    let Deadlines {
        idle,
        instance,
        association,
    } = options.deadlines;
    Bounds {
        most: MOST,
        most_of_one: options.most_per_address.min(MOST),
        arriving: ARRIVING.min(idle),
        idle,
        busy: instance,
        whole: association,
        spared: SPARED.min(idle),
        kept: if options.names_addresses() { KEPT } else { 0 },
    }
}

/// Whether this is an address of this computer.
pub(super) fn is_own(address: IpAddr) -> bool {
    address.is_loopback()
}
