//! Opens a serial port for this program alone. Called by both ends of a line: the device's serial
//! sources and the clients. However the program before ended, the port can be opened again.

use std::time::Duration;

use serialport::{Result, SerialPort};

/// Opens the port, with 8 data bits, no parity and 1 stop bit.
///
/// It is locked (`flock`) and closed to others (`TIOCEXCL`). Both end with the program, also
/// where it is killed; but not on a pseudo-terminal (`socat`, an RFC 2217 client), which stays
/// closed to others as long as its other end is held: this program, killed and started again
/// by a user other than root, would find its line busy for ever. There the lock has to do.
///
/// # Errors
/// The port is not there, or in use, or takes no such settings.
pub fn open(path: &str, baud: u32, timeout: Duration) -> Result<Box<dyn SerialPort>> {
    #[cfg(target_os = "linux")]
    // Opened before: afterwards nobody could, and only an open file takes the call.
    let pseudo = pseudo_terminal(path);
    let port = serialport::new(path, baud).timeout(timeout).open()?;
    #[cfg(target_os = "linux")]
    if let Some(pseudo) = pseudo {
        rustix::termios::ioctl_tiocnxcl(pseudo).map_err(std::io::Error::from)?;
    }
    Ok(port)
}

/// The port, where it is a pseudo-terminal that can be opened.
#[cfg(target_os = "linux")]
fn pseudo_terminal(path: &str) -> Option<std::fs::File> {
    use std::os::unix::fs::OpenOptionsExt;

    use rustix::fs::OFlags;

    let path = std::fs::canonicalize(path).ok()?;
    if !path.starts_with("/dev/pts") {
        return None;
    }
    let flags = OFlags::NOCTTY | OFlags::NONBLOCK;
    std::fs::OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(flags.bits().cast_signed())
        .open(path)
        .ok()
}
