//! The worker's own side: it loads the bundle once, tests itself, then does
//! what it is asked until its pipe is closed. Standard output belongs to the device; what
//! is for people goes to standard error.

use std::fs::File;
use std::io::{ErrorKind, Result, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;

use super::message::{Inbox, Report, Request, write};
use crate::bundle::{Bundle, Trust};
use crate::device::run;
use crate::device::self_test::{of_worker, useless};
use crate::engine::PreparedKey;
use crate::journal::Order;
use crate::pipeline::{Observer, Stage};
use crate::report::SOFTWARE;

/// Serves requests on standard input until it is closed.
///
/// # Errors
/// The device has gone, or what it says is no request.
pub fn work_as_child(folder: &Path, trust: &Trust) -> Result<()> {
    end_with_parent()?;
    outlast_signals()?;
    // Not through the library's buffers: the pipe itself is waited for.
    let mut requests = Inbox::new(File::from(std::io::stdin().as_fd().try_clone_to_owned()?));
    let mut out = File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
    let prepared = match requests.next(None)? {
        Some(Request::Begin { prepared }) => prepared.map(PreparedKey::new),
        Some(_) => return Err(ErrorKind::InvalidData.into()),
        None => return Ok(()),
    };
    let bundle = match Bundle::load_trusted(folder, trust, prepared.as_ref()) {
        Ok(bundle) => bundle,
        Err(error) => return write(&mut out, &Report::Useless(useless(&error))),
    };
    let tested = || Report::Tested(of_worker(&bundle, folder, trust));
    let loaded = Report::Loaded {
        software: SOFTWARE.to_owned(),
        bundle: bundle.outline(),
    };
    write(&mut out, &loaded)?;
    write(&mut out, &tested())?;
    while let Some(request) = requests.next(None)? {
        let report = match request {
            Request::SelfTest => tested(),
            Request::Begin { .. } => return Err(ErrorKind::InvalidData.into()),
            Request::Case { case, order, image } => {
                let order: Order = serde_json::from_str(&order)?;
                let mut progress = Progress { out: &mut out };
                let ran = run::case(&bundle, case, &order, &image, &mut progress);
                Report::Ran(Box::new(ran.into()))
            }
        };
        write(&mut out, &report)?;
    }
    Ok(())
}

/// Even one that is stuck ends when the thread of the device that started it does.
fn end_with_parent() -> Result<()> {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{Signal, set_parent_process_death_signal};
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    Ok(())
}

/// Whoever switches the device off may signal all of its processes; the device decides when
/// its worker ends.
fn outlast_signals() -> Result<()> {
    use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
    for signal in [SIGHUP, SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::default())?;
    }
    Ok(())
}

/// Tells the device how the case goes on.
struct Progress<'a, W> {
    out: &'a mut W,
}

impl<W: Write> Progress<'_, W> {
    /// A device that has gone is noticed when the answer cannot be written.
    fn say(&mut self, report: &Report) {
        let _ = write(self.out, report);
    }
}

impl<W: Write> Observer for Progress<'_, W> {
    fn begun(&mut self, stage: Stage) {
        self.say(&Report::Begun(stage));
    }

    fn ended(&mut self, stage: Stage, ms: f64) {
        self.say(&Report::Ended(stage, ms));
    }
}
