//! How a connection is ended that nothing more is to be said on: with the last word that DICOM has
//! for it, which is never waited for. Called by the door and by receiving.

use std::net::{Shutdown, TcpStream};

use rustix::net::{SendFlags, send};

/// A-ASSOCIATE-RJ (PS3.8, 9.3.4): for now, by the provider, since its local limit is reached.
pub(super) const FULL: [u8; 10] = [3, 0, 0, 0, 0, 4, 0, 2, 3, 2];
/// The same: for ever, by the user, who does not know the calling title.
pub(super) const UNKNOWN: [u8; 10] = [3, 0, 0, 0, 0, 4, 0, 1, 1, 3];
/// A-ABORT (PS3.8, 9.3.8) by the provider, who gives no reason.
const ABORT: [u8; 10] = [7, 0, 0, 0, 0, 4, 0, 0, 2, 0];

/// Ends an association that is past mending.
pub(super) fn hang_up(socket: &TcpStream) {
    turn_away(socket, &ABORT);
}

/// Says why, where that can be said at once, and ends the connection.
pub(super) fn turn_away(socket: &TcpStream, why: &[u8]) {
    // Whether the peer hears it is its own affair; it is never waited for.
    let _ = send(socket, why, SendFlags::DONTWAIT | SendFlags::NOSIGNAL);
    let _ = socket.shutdown(Shutdown::Both);
}
