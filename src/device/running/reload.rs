//! Reads the configuration again while the device runs, loads its bundle again and takes up the
//! bounds of the queue. Other keys that changed wait for the next start. Called on a signal, by the
//! control socket and by `Device::reload`.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Weak};

use crate::bundle::{self, BundleError, Store};
use crate::device::cases::{Cases, Wanted};
use crate::device::config::{Changes, Config};
use crate::device::lock::lock;
use crate::shown;

/// Reads a configuration; what is wrong with it, where something is.
pub type Reread = dyn Fn() -> Result<Config, String> + Send + Sync;

/// What it takes to read the configuration again.
pub struct Reload {
    reread: Box<Reread>,
    running: Mutex<Config>,
    state: PathBuf,
    /// Weak: whoever keeps this does not keep the state folder of a device that has ended.
    cases: Weak<Cases>,
}

impl fmt::Debug for Reload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reload").finish_non_exhaustive()
    }
}

impl Reload {
    /// Of a device that runs from this configuration.
    pub(crate) fn new(
        config: Config,
        state: PathBuf,
        cases: &Arc<Cases>,
        reread: Box<Reread>,
    ) -> Self {
        Self {
            reread,
            running: Mutex::new(config),
            state,
            cases: Arc::downgrade(cases),
        }
    }

    /// Reads the configuration again, and has its bundle loaded: another folder, or what the
    /// same one has come to hold.
    ///
    /// # Errors
    /// Why it is not taken up; the log says so as well. A device that is switched off takes up
    /// nothing.
    pub fn again(&self) -> Result<Changes, String> {
        let mut running = lock(&self.running);
        let cases = self.cases.upgrade();
        let Some(cases) = cases.filter(|cases| cases.lifecycle().is_on()) else {
            return Err("the device is switched off".to_owned());
        };
        cases.lifecycle().reloading();
        self.take_up(&cases, &mut running).inspect_err(|why| {
            log::error!("the configuration is not taken up: {why}");
            cases.lifecycle().ready();
        })
    }

    fn take_up(&self, cases: &Cases, running: &mut Config) -> Result<Changes, String> {
        let config = (self.reread)()?;
        let folder = bundle_folder(&config, &self.state).map_err(|error| error.to_string())?;
        let changes = running.changes(&config);
        for key in &changes.at_next_start {
            log::warn!("{key} waits for the next start");
        }
        if changes.running.is_empty() && changes.at_next_start.is_empty() {
            log::info!("the configuration is as it was; its bundle is loaded anew");
        } else {
            log::info!("the configuration has changed; its bundle is loaded");
            let written = cases.configured(config.sha256());
            written.map_err(|error| error.to_string())?;
        }
        running.bundle = config.bundle;
        running.queue = config.queue;
        cases.bound(running.queue.bounds());
        let trust = running.bundle.trust(&Store::of(&self.state));
        cases.load(Wanted { folder, trust });
        Ok(changes)
    }
}

/// The bundle that was named, else the one that was installed, else the starter bundle.
///
/// # Errors
/// [`BundleError::NotFound`] where there is none.
pub fn bundle_folder(config: &Config, state: &Path) -> Result<PathBuf, BundleError> {
    if let Some(folder) = &config.bundle.folder {
        return Ok(folder.clone());
    }
    let store = Store::of(state);
    if let Some(left) = store.left() {
        log::error!(
            "{}: lies where the device's user may write, and {} is empty; where it is the right \
             one, install it as root: medfocus bundle install",
            shown::name(&left),
            shown::name(store.folder())
        );
    }
    match store.current() {
        Some(folder) => Ok(folder),
        None => bundle::find(),
    }
}
