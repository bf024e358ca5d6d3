//! What the operating system asks of a device by signals.

use std::sync::Arc;

use medfocus::device::Power;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Listens from now on, on a thread of its own.
///
/// # Errors
/// Where the system does not let signals be taken.
pub fn listen(power: &Arc<Power>) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGTERM, SIGINT])?;
    let power = Arc::clone(power);
    std::thread::spawn(move || {
        for _ in signals.forever() {
            log::info!("switched off by a signal; the case that runs is ended first");
            power.switch_off();
        }
    });
    Ok(())
}
