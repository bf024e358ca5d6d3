//! `medfocus bundle install|rollback`: what a device answers with from its next start, or
//! reload, on.
//!
//! What is put in use has passed what the device would ask of it, by the device's own
//! configuration: a bundle that the device refuses would leave it in the safe state.

use std::path::{Path, PathBuf};

use clap::Args;
use medfocus::bundle::{self, AllTheSame, Bundle, Source, Store, Trust, Verified};
use medfocus::engine::Engine;
use medfocus::{self_test, shown};

use crate::cli::owner::become_owner_of;
use crate::cli::state::StateFolder;
use crate::cli::trust_policy::{self, TrustPolicy};
use crate::cli::{Failure, TELL, trust};

#[derive(Debug, Args)]
pub struct Install {
    /// Folder of the bundle
    folder: PathBuf,
    #[command(flatten)]
    device: Device,
    /// Go back to a release that is lower than what the device has had; its journal says so
    #[arg(long)]
    allow_older: bool,
    /// Believe the clock, although the device has seen a later time: the clock was ahead
    /// once. The journal says so
    #[arg(long)]
    clock_is_right: bool,
    #[command(flatten)]
    trust: trust::TrustArguments,
}

#[derive(Debug, Args)]
pub struct Rollback {
    #[command(flatten)]
    device: Device,
}

/// Which device.
#[derive(Debug, Args)]
struct Device {
    #[command(flatten)]
    state: StateFolder,
    /// The device's configuration; where absent, the one that it was started with, else
    /// /etc/medfocus.toml where that is this device's
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl Device {
    /// Its installed bundles, and what it demands of them.
    fn find(&self) -> Result<(Store, TrustPolicy), Failure> {
        let state = trust_policy::state(&self.state, self.config.as_deref())?;
        let store = Store::of(&state);
        // What the operator names need not lie where the device's user may go.
        let config = self.config.as_deref();
        let named = config.map(|config| trust_policy::of(&state, Some(config)));
        let named = named.transpose()?;
        if !store.is_apart() {
            // Its user may have put links and other files among them.
            become_owner_of(&state)?;
        }
        let policy = match named {
            Some(policy) => policy,
            None => trust_policy::of(&state, None)?,
        };
        Ok((store, policy))
    }
}

impl Install {
    pub fn run(&self) -> Result<String, Failure> {
        // Before root gives up its rights: it need not lie where the device's user may go.
        let source = Source::open(&self.folder)?;
        let (store, policy) = self.device.find()?;
        let asked = self.trust.trust()?;
        let terms = Terms {
            device: &policy.trust,
            asked: &asked,
            all_the_same: AllTheSame {
                older: self.allow_older,
                clock_is_right: self.clock_is_right,
            },
        };
        let place = put_in_use(&store, &source, &terms)?;
        Ok(format!(
            "{} is in use; {TELL}\n{}",
            shown::name(&place),
            elsewhere(&policy)
        ))
    }
}

impl Rollback {
    pub fn run(&self) -> Result<String, Failure> {
        let (store, policy) = self.device.find()?;
        let judge = |place: &Path| bundle::judge(place, &policy.trust);
        let name = store.roll_back(judge)?;
        let name = shown::name(&name);
        Ok(format!("{name} is in use; {TELL}\n{}", elsewhere(&policy)))
    }
}

/// What is installed is of no use to a device that is told of another folder.
fn elsewhere(policy: &TrustPolicy) -> String {
    let line = |folder: &PathBuf| {
        let folder = shown::name(folder);
        format!("note: the device's configuration names another bundle: bundle.folder = {folder}\n")
    };
    policy.folder.as_ref().map(line).unwrap_or_default()
}

/// What is demanded of a bundle that is put in use.
pub struct Terms<'a> {
    /// What the device demands.
    pub device: &'a Trust,
    /// What whoever installs it asks over that.
    pub asked: &'a Trust,
    /// What is said over what the device has had.
    pub all_the_same: AllTheSame,
}

/// Copies a bundle, verifies the copy, and puts it in use; gives where it lies.
pub fn put_in_use(store: &Store, source: &Source, terms: &Terms<'_>) -> Result<PathBuf, Failure> {
    let verify = |copy: &Path| -> Result<Verified, Failure> {
        // Whoever installs it knows where it came from, and nothing of the copy.
        verified(store, copy, terms).map_err(|failure| failure.about(copy, source.path()))
    };
    store.install(source, verify)
}

fn verified(store: &Store, copy: &Path, terms: &Terms<'_>) -> Result<Verified, Failure> {
    bundle::judge(copy, terms.asked)?;
    let trust = Trust {
        releases: Some(store.releases()),
        all_the_same: terms.all_the_same,
        ..terms.device.clone()
    };
    let bundle = Bundle::load_trusted(copy, &trust, None, &Engine::default())?;
    self_test::run(&bundle)?;
    Ok(Verified {
        outline: bundle.outline(),
        release: bundle.release(),
        clock_is_right: terms.all_the_same.clock_is_right,
    })
}
