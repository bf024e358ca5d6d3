//! The control socket: programs on this computer submit images, wait for answers and ask
//! how the device is.
//!
//! Each client has a thread and bounds of its own: one that hangs, sends rubbish or goes
//! away delays nobody. Whoever may open the socket (its owner and group) may do all this;
//! nobody else can reach it.

mod bytes;
mod talk;

use std::io::{Error, ErrorKind, Write};
use std::os::unix::fs::FileTypeExt;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::fs::Mode;

use super::cases::Cases;
use crate::control::{Accepted, Refused, Reloaded, pack};
use crate::files::Folder;
use talk::talk;

/// Clients at once; one more is told so.
const MOST: usize = 64;
/// For owner and group.
const MODE: u32 = 0o660;
/// For an answer to be taken.
const PATIENCE: Duration = Duration::from_secs(10);

/// Reads the configuration again; what is wrong with it, where it is not taken up.
pub type Reload = dyn Fn() -> Result<Reloaded, String> + Send + Sync;

/// Listens at a path, on threads of its own. A socket that a device left behind when it
/// ended is replaced.
///
/// # Errors
/// What the system says, and `AddrInUse` where another device listens there.
pub fn listen(path: &Path, cases: &'static Cases, reload: Arc<Reload>) -> std::io::Result<()> {
    let listener = bind(path)?;
    std::thread::spawn(move || serve(&listener, cases, &reload));
    Ok(())
}

/// Nobody may come in before the rights are set, so it gets its name last.
fn bind(path: &Path) -> std::io::Result<UnixListener> {
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
    folder.open_socket_to(made, Mode::from_raw_mode(MODE))?;
    folder.rename(made, &folder, &name)?;
    Ok(listener)
}

fn serve(listener: &UnixListener, cases: &'static Cases, reload: &Arc<Reload>) -> ! {
    let open = Arc::new(AtomicUsize::new(0));
    loop {
        let Ok((mut stream, _)) = listener.accept() else {
            // The system has no more to give: later it may.
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let bounded = stream.set_write_timeout(Some(PATIENCE));
        if bounded.is_err() {
            continue;
        }
        let held = Held::of(&open);
        if held.count > MOST {
            // Whether it hears that is its own affair.
            let _ = stream.write_all(&pack::<Accepted>(Err(&too_many())));
            continue;
        }
        let reload = Arc::clone(reload);
        std::thread::spawn(move || {
            let _held = held;
            // A client that goes away is no fault of the device.
            if let Err(error) = talk(&stream, cases, &*reload) {
                log::debug!("a client of the control socket: {error}");
            }
        });
    }
}

fn too_many() -> Refused {
    Refused {
        code: "busy".to_owned(),
        message: format!("{MOST} clients are connected already"),
        cure: "ask again later, over one connection".to_owned(),
        retry_ms: Some(1000),
        highest: None,
    }
}

/// A client that is counted, until it is dropped.
struct Held {
    open: Arc<AtomicUsize>,
    count: usize,
}

impl Held {
    fn of(open: &Arc<AtomicUsize>) -> Self {
        Self {
            open: Arc::clone(open),
            count: open.fetch_add(1, Ordering::SeqCst) + 1,
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.open.fetch_sub(1, Ordering::SeqCst);
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
        let first = bind(&path).unwrap();
        let mode = std::fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        assert_eq!(bind(&path).unwrap_err().kind(), ErrorKind::AddrInUse);
        drop(first);
        bind(&path).unwrap();
        let file = folder.path().join("b.sock");
        std::fs::write(&file, b"mine").unwrap();
        assert_eq!(bind(&file).unwrap_err().kind(), ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&file).unwrap(), b"mine");
    }
}
