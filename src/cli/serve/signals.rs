//! What the operating system asks of a device by signals: to end, or to read its configuration
//! again. Called by `serve`.

use std::sync::{Arc, OnceLock};

use medfocus::device::{Lifecycle, Reload};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Listens from now on, on a thread of its own.
///
/// # Errors
/// Where the system does not let signals be taken.
pub fn listen(
    lifecycle: &Arc<Lifecycle>,
    reload: &Arc<OnceLock<Arc<Reload>>>,
) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGHUP, SIGINT, SIGTERM])?;
    let (lifecycle, reload) = (Arc::clone(lifecycle), Arc::clone(reload));
    std::thread::spawn(move || {
        for signal in signals.forever() {
            if signal == SIGHUP {
                match reload.get() {
                    // The log says what came of it.
                    Some(reload) => drop(reload.again()),
                    None => log::error!("not reloaded: the device has not started yet"),
                }
            } else {
                log::info!("switched off by a signal; the case that runs is ended first");
                lifecycle.switch_off();
            }
        }
    });
    Ok(())
}
