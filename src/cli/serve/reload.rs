//! The configuration, read again while the device runs.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use medfocus::bundle::{self, BundleError, Store};
use medfocus::device::config::{Changes, Config};
use medfocus::device::{Cases, Wanted};
use medfocus::shown;

use super::options::Options;

/// What it takes to read the configuration again.
pub struct Reload {
    options: Options,
    running: Mutex<Option<Running>>,
}

struct Running {
    config: Config,
    state: PathBuf,
    cases: &'static Cases,
}

impl Reload {
    /// Nothing runs yet.
    pub fn new(options: Options) -> Self {
        Self {
            options,
            running: Mutex::new(None),
        }
    }

    /// A device runs from this configuration.
    pub fn runs(&self, config: Config, state: PathBuf, cases: &'static Cases) {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        *running = Some(Running {
            config,
            state,
            cases,
        });
    }

    /// Reads the configuration again, and has its bundle loaded: another folder, or what the
    /// same one has come to hold.
    ///
    /// # Errors
    /// Why it is not taken up; the log says so as well.
    pub fn again(&self) -> Result<Changes, String> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        let running = running.as_mut();
        let running = running.ok_or("the device has not started yet")?;
        running.cases.lifecycle().reloading();
        running.take_up(&self.options).inspect_err(|why| {
            log::error!("the configuration is not taken up: {why}");
            running.cases.lifecycle().ready();
        })
    }
}

impl Running {
    fn take_up(&mut self, options: &Options) -> Result<Changes, String> {
        let config = options.config().map_err(|error| error.to_string())?;
        let folder = bundle_folder(&config, &self.state).map_err(|error| error.to_string())?;
        let changes = self.config.changes(&config);
        for key in &changes.at_next_start {
            log::warn!("{key} waits for the next start");
        }
        if changes.running.is_empty() && changes.at_next_start.is_empty() {
            log::info!("the configuration is as it was; its bundle is loaded anew");
        } else {
            log::info!("the configuration has changed; its bundle is loaded");
            let written = self.cases.configured(config.sha256());
            written.map_err(|error| error.to_string())?;
        }
        self.config.bundle = config.bundle;
        self.config.queue = config.queue;
        self.cases.bound(&self.config.queue);
        let trust = self.config.bundle.trust(&Store::of(&self.state));
        self.cases.load(Wanted { folder, trust });
        Ok(changes)
    }
}

/// The bundle that was named, else the one that was installed, else the starter bundle.
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
