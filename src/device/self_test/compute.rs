//! What the worker tests of itself: the files that it answers from, the arithmetic, and both
//! together on images whose answers are known.

use std::path::Path;

use crate::bundle::{self, Bundle, BundleError, Signed, Trust};
use crate::engine::{self, Engine};
use crate::journal::SelfCheck;
use crate::self_test;

const BUNDLE: &str = "bundle";

/// All checks of a worker that has this bundle loaded from this folder.
pub fn of_worker(bundle: &Bundle, folder: &Path, trust: &Trust) -> Vec<SelfCheck> {
    let mut checks = vec![
        files(bundle, folder, trust),
        kernel(bundle.engine()),
        known_answers(bundle),
    ];
    checks.extend(key(bundle.signed.as_ref()));
    checks
}

/// A bundle that cannot be loaded.
pub fn useless(error: &BundleError) -> SelfCheck {
    let help = match error {
        // On a device nobody names one.
        BundleError::NotFound { .. } => "install one: medfocus bundle install DIR",
        _ => error.help(),
    };
    SelfCheck::failed(BUNDLE, error.code(), error.to_string(), help)
}

fn files(bundle: &Bundle, folder: &Path, trust: &Trust) -> SelfCheck {
    let id = &bundle.id;
    match bundle::rehash(folder, trust) {
        Ok(found) if found.sha256 == id.sha256 => {
            let what = format!(
                "{} {}: {} files are whole",
                id.name, id.version, found.files
            );
            SelfCheck::passed(BUNDLE, what)
        }
        Ok(found) => {
            let what = format!(
                "{} {} is loaded, and its folder holds the one of SHA-256 {}",
                id.name, id.version, found.sha256
            );
            let help = "load it (SIGHUP), or put the one that was there back";
            SelfCheck::failed(BUNDLE, "bundle_changed", what, help)
        }
        Err(error) => useless(&error),
    }
}

/// A key that ends before long: what it signed is refused from then on.
pub fn key(signed: Option<&Signed>) -> Option<SelfCheck> {
    const NAME: &str = "bundle_key";
    let soon = jiff::Span::new().days(60);
    let signed = signed?;
    let until = signed.until?;
    let today = jiff::Timestamp::now()
        .to_zoned(jiff::tz::TimeZone::UTC)
        .date();
    let is_soon = today.checked_add(soon).is_ok_and(|day| day >= until);
    is_soon.then(|| {
        let what = format!("key {} of the bundle is trusted until {until}", signed.key);
        let help = "install a bundle with a later key, or name a later day: bundle.keys";
        SelfCheck::warned(NAME, what, help)
    })
}

/// The kernel of an engine against the scalar reference.
pub fn kernel(engine: &Engine) -> SelfCheck {
    const NAME: &str = "kernel";
    match engine::compare_with_reference(engine) {
        Ok(compared) => {
            let what = format!(
                "{} on {} threads: {} integer products as the scalar reference gives them",
                compared.kernel, compared.threads, compared.products
            );
            SelfCheck::passed(NAME, what)
        }
        Err(error) => {
            let help = "do not use this device; MEDFOCUS_KERNEL=scalar shows whether it is the CPU";
            SelfCheck::failed(NAME, "kernel", error.to_string(), help)
        }
    }
}

fn known_answers(bundle: &Bundle) -> SelfCheck {
    const NAME: &str = "known_answers";
    match self_test::run(bundle) {
        Ok(passed) => {
            let what = format!(
                "{} images reproduced; probabilities within {:.0e}, areas within {:.0e}",
                passed.images, passed.probability, passed.area_fraction
            );
            SelfCheck::passed(NAME, what)
        }
        Err(error) => SelfCheck::failed(NAME, error.code(), error.to_string(), error.help()),
    }
}
