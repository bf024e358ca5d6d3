//! The control socket: programs on this computer submit images, wait for answers and ask
//! how the device is.
//!
//! Each client has a thread and bounds of its own: one that hangs, sends rubbish or goes
//! away delays nobody. Whoever may open the socket (its owner and group) may do all this;
//! nobody else can reach it.

mod bytes;
mod refused;
mod talk;

use std::io::{Error, ErrorKind};
use std::net::Shutdown;
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::fs::Mode;
use rustix::net::{SendFlags, send};

use crate::control::{Accepted, Refused, pack};
use crate::device::cases::Cases;
use crate::device::config::{Reload, Socket, SocketMode};
use crate::device::intake::seats::{Bounds, Seats};
use crate::device::spawner::Spawner;
use crate::files::Folder;
use talk::talk;

/// Clients at once; one more is told so.
const MOST: usize = 64;
/// Of one user.
const MOST_OF_ONE: usize = 48;
/// The user who may do anything here.
const ROOT: u32 = 0;
/// Only root's.
const KEPT: usize = 4;
/// Where nothing else is configured, for owner and group.
const MODE: Mode = Mode::from_raw_mode(0o660);
/// What takes long is seen to where bytes come and go.
const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
/// A client that was answered a moment ago may be about to ask again.
const SPARED: Duration = Duration::from_secs(1);

/// Opens a socket at a path. One that a device left behind when it ended is replaced. Nobody
/// may come in before the rights are set, so it gets its name last.
///
/// # Errors
/// What the system says, and `AddrInUse` where another device listens there.
pub(crate) fn bind(path: &Path, for_whom: &Socket) -> std::io::Result<UnixListener> {
    let (folder, name) = Folder::above(path)?;
    match folder.about(&name) {
        Ok(about) if !about.file_type().is_socket() => {
            return Err(Error::new(ErrorKind::AlreadyExists, "a file lies there"));
        }
        Ok(_) if UnixStream::connect(path).is_ok() => {
            return Err(Error::new(
                ErrorKind::AddrInUse,
                "another device listens there",
            ));
        }
        _ => {}
    }
    let new = path.with_extension("new");
    let made = new.file_name().unwrap_or_default();
    folder.remove_if_there(made)?;
    let listener = UnixListener::bind(&new)?;
    let mode = for_whom.mode.map_or(MODE, SocketMode::mode);
    let group = for_whom.group.as_ref().map(|group| group.id);
    folder.open_socket_to(made, mode, group)?;
    folder.rename(made, &folder, &name)?;
    Ok(listener)
}

/// Seats for clients, by their users.
///
/// # Errors
/// There is no thread to look after them.
pub(crate) fn seats(spawner: &Spawner) -> std::io::Result<Arc<Seats<u32>>> {
    let bounds = Bounds {
        most: MOST,
        most_of_one: MOST_OF_ONE,
        arriving: LONGEST,
        idle: LONGEST,
        busy: LONGEST,
        whole: Duration::MAX,
        spared: SPARED,
        kept: KEPT,
    };
    Seats::new(bounds, spawner)
}

/// Takes up clients until the device has ended, each on a thread of its own.
pub(crate) fn serve(
    listener: &UnixListener,
    seats: &Arc<Seats<u32>>,
    cases: &Arc<Cases>,
    reload: &Arc<Reload>,
) {
    loop {
        let accepted = listener.accept();
        if cases.lifecycle().has_ended() {
            return seats.hang_up_all();
        }
        let Ok((stream, _)) = accepted else {
            // The system has no more to give: later it may.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let (Ok(user), Ok(ended)) = (user_of(&stream), stream.try_clone()) else {
            continue;
        };
        let hang_up = move || drop(ended.shutdown(Shutdown::Both));
        let Some(seat) = seats.take(user, user == ROOT, hang_up) else {
            turn_away(&stream);
            continue;
        };
        let (served, reload) = (Arc::clone(cases), Arc::clone(reload));
        let began = cases.spawner().spawn("client", move || {
            // A client that goes away is no fault of the device.
            if let Err(error) = talk(&stream, &seat, user, &served, &*reload) {
                log::debug!("a client of the control socket: {error}");
            }
        });
        if let Err(error) = began {
            log::warn!("no thread for a client of the control socket: {error}");
        }
    }
}

/// Says why. Whether the client hears that is its own affair: it is never waited for.
fn turn_away(stream: &UnixStream) {
    let refused = Refused {
        code: "busy".to_owned(),
        message: format!(
            "{MOST} clients are connected already ({KEPT} places are root's), or {MOST_OF_ONE} of \
             this user"
        ),
        help: "ask again later, over one connection".to_owned(),
        retry_ms: Some(1000),
        highest: None,
    };
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    let _ = send(stream, &pack::<Accepted>(Err(&refused)), flags);
}

/// The user that a client runs as: what it is counted by, and known by where it tells no
/// identity.
fn user_of(stream: &UnixStream) -> std::io::Result<u32> {
    #[cfg(target_os = "linux")]
    {
        let peer = rustix::net::sockopt::socket_peercred(stream)?;
        Ok(peer.uid.as_raw())
    }
    #[cfg(not(target_os = "linux"))]
    {
        // Where the system does not say, all are one: a number that is used twice is refused.
        let _ = stream;
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn only_a_socket_that_nobody_listens_at_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.sock");
        let first = bind(&path, &Socket::default()).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE.as_raw_mode());
        assert_eq!(
            bind(&path, &Socket::default()).unwrap_err().kind(),
            ErrorKind::AddrInUse
        );
        drop(first);
        bind(&path, &Socket::default()).unwrap();
        let file = folder.path().join("b.sock");
        std::fs::write(&file, b"mine").unwrap();
        assert_eq!(
            bind(&file, &Socket::default()).unwrap_err().kind(),
            ErrorKind::AlreadyExists
        );
        assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    }
}
