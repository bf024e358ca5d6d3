//! Bundles that were changed at random: a signed one is refused or is the same to the byte, and
//! none hangs the program or takes it down. Bounded, and always the same mutants.
#![cfg(target_os = "linux")]

use std::path::Path;

use crate::common::maker::Maker;
use crate::common::spoilt;
use medfocus::bundle::{Manifest, Trust, verify_trusted};
use rustix::fs::{CWD, FileType, Mode, mknodat};

/// What lies there instead, and how it is made.
type Way<'a> = (&'a str, &'a dyn Fn(&Path));

fn trust(maker: &Maker) -> Trust {
    let key = maker.keys.path().join("ours.key.pub");
    Trust {
        keys: vec![key.to_str().unwrap().parse().unwrap()],
        ..Trust::default()
    }
}

#[test]
fn a_signed_bundle_is_refused_or_the_same_to_the_byte() {
    let maker = Maker::new();
    maker.sign();
    let trust = trust(&maker);
    let sha256 = verify_trusted(maker.bundle(), &trust).unwrap().sha256;
    for (file, seed) in [("bundle.toml", 22), ("bundle.minisig", 23)] {
        let path = maker.bundle().join(file);
        let whole = std::fs::read(&path).unwrap();
        // A text is cut and lengthened as well.
        let cut = (0..whole.len()).step_by(whole.len() / 20 + 1);
        let mut mutants: Vec<Vec<u8>> = cut.map(|at| whole[..at].to_vec()).collect();
        mutants.push([&whole[..], b"\n"].concat());
        mutants.extend(spoilt(&whole, seed).take(300));
        mutants.retain(|mutant| *mutant != whole);
        let mut passed = 0;
        for mutant in mutants {
            std::fs::write(&path, &mutant).unwrap();
            match verify_trusted(maker.bundle(), &trust) {
                Ok(found) => {
                    assert_eq!(found.sha256, sha256);
                    passed += 1;
                }
                Err(error) => assert!(!error.help().is_empty(), "{error}"),
            }
        }
        // Only the signature's first line, which nobody signs, may be another.
        assert!(passed == 0 || file == "bundle.minisig", "{file}: {passed}");
        std::fs::write(&path, whole).unwrap();
    }
}

#[test]
fn whatever_lies_in_the_place_of_a_file_is_refused_at_once() {
    let maker = Maker::new();
    maker.sign();
    let trust = trust(&maker);
    let is_refused = |what: &str| {
        let found = verify_trusted(maker.bundle(), &trust);
        assert!(found.is_err(), "{what}");
    };
    let manifest = std::fs::read_to_string(maker.bundle().join("bundle.toml")).unwrap();
    let manifest = Manifest::parse(&manifest).unwrap();
    let own = ["bundle.toml".to_owned(), "bundle.minisig".to_owned()];
    for name in manifest.files.keys().chain(&own) {
        let path = maker.bundle().join(name);
        let aside = maker.keys.path().join("aside");
        std::fs::rename(&path, &aside).unwrap();
        is_refused(name);
        let ways: [Way<'_>; 5] = [
            ("a pipe", &|path| {
                mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o600), 0).unwrap();
            }),
            ("a socket", &|path| {
                drop(std::os::unix::net::UnixListener::bind(path).unwrap());
            }),
            ("a link to itself", &|path| {
                std::os::unix::fs::symlink(path, path).unwrap();
            }),
            ("a link to the file", &|path| {
                std::os::unix::fs::symlink(&aside, path).unwrap();
            }),
            ("an empty file", &|path| std::fs::write(path, "").unwrap()),
        ];
        for (what, make) in ways {
            make(&path);
            is_refused(&format!("{what} for {name}"));
            std::fs::remove_file(&path).unwrap();
        }
        std::fs::rename(&aside, &path).unwrap();
    }
    assert!(
        verify_trusted(maker.bundle(), &trust).is_ok(),
        "all is back"
    );
}

/// What nobody signed may say anything, but never what no manifest may say.
#[test]
fn a_manifest_that_is_read_is_within_its_bounds() {
    let text = std::fs::read(crate::common::starter().join("bundle.toml")).unwrap();
    let mut read = 0;
    for mutant in spoilt(&text, 24).take(3000) {
        let Ok(manifest) = Manifest::parse(&String::from_utf8_lossy(&mutant)) else {
            continue;
        };
        read += 1;
        for exam in &manifest.exams {
            assert!((0.0..=1.0).contains(&exam.review_below));
            let guard = exam.guard.as_ref().map_or(1.0, |guard| guard.up_to);
            assert!(guard > 0.0 && guard <= 1e6, "{guard}");
        }
        let gate = manifest.gate.unwrap();
        assert!(gate.kinds.iter().all(|kind| kind.accept_from >= 0.05));
        assert!(gate.coloured_up_to <= 0.5 && gate.brightness[0] <= gate.brightness[1]);
        assert!(manifest.files.keys().all(|name| !name.contains("..")));
    }
    assert!(read > 100, "most mutants are of names and hashes: {read}");
}
