//! Signed bundles, by the program itself: who may sign, what is refused, and that a device
//! with a bundle that nobody trusts answers nothing.

use crate::common::maker::{Maker, OURS};

const OURS_ALONE: [&str; 3] = ["--trust", "ours.key.pub", "--require-signature"];

#[test]
fn a_signature_is_asked_for_where_a_key_is_named() {
    let maker = Maker::new();
    for trust in [&OURS[..], &OURS_ALONE] {
        let (code, said) = maker.inspect(trust);
        let is_refused = code == Some(3) && said.contains("(bundle_unsigned)");
        assert!(is_refused, "{said}");
    }
    maker.sign();
    let (code, said) = maker.inspect(&OURS_ALONE);
    assert!(code == Some(0) && said.contains("signed with"), "{said}");
    assert!(said.contains("release 3"), "{said}");
    assert_eq!(
        maker.inspect(&[]).0,
        Some(0),
        "whoever names no key trusts all"
    );
    let (code, said) = maker.inspect(&["--trust", "theirs.key.pub"]);
    assert!(
        code == Some(3) && said.contains("(bundle_signature)"),
        "{said}"
    );
    let both = ["--trust", "theirs.key.pub", "--trust", "ours.key.pub"];
    assert_eq!(maker.inspect(&both).0, Some(0));
    let (code, said) = maker.inspect(&["--require-signature"]);
    assert!(code == Some(2) && said.contains("--trust"), "{said}");
}

#[test]
fn what_was_changed_after_signing_is_refused() {
    let maker = Maker::new();
    maker.sign();
    let manifest = maker.bundle().join("bundle.toml");
    let signed = std::fs::read(&manifest).unwrap();
    std::fs::write(&manifest, [&signed[..], b"\n# changed\n"].concat()).unwrap();
    let (code, said) = maker.inspect(&OURS);
    assert!(
        code == Some(3) && said.contains("(bundle_signature)"),
        "{said}"
    );
    std::fs::write(&manifest, &signed).unwrap();
    let card = maker.bundle().join("model-card.md");
    std::fs::write(&card, "changed").unwrap();
    let (code, said) = maker.inspect(&OURS);
    assert!(code == Some(3) && said.contains("(bundle_hash)"), "{said}");
    let signature = maker.bundle().join("bundle.minisig");
    let whole = std::fs::read(&signature).unwrap();
    for at in (0..whole.len()).step_by(7) {
        let mut spoilt = whole.clone();
        spoilt[at] ^= 1;
        std::fs::write(&signature, spoilt).unwrap();
        let (code, said) = maker.inspect(&OURS_ALONE);
        // The first line is an untrusted comment, which may say anything.
        let is_comment = at < whole.iter().position(|byte| *byte == b'\n').unwrap();
        let passes = is_comment && said.contains("(bundle_hash)");
        let refused = said.contains("(bundle_signature)");
        assert!(code == Some(3) && (passes || refused), "{at}: {said}");
    }
}

#[test]
fn a_key_is_never_written_over_and_a_broken_bundle_never_signed() {
    let maker = Maker::new();
    let again = maker.run(&["bundle", "make-key", "ours.key", "--no-password"]);
    assert_eq!(again.status.code(), Some(3));
    std::fs::write(maker.bundle().join("model-card.md"), "changed").unwrap();
    let signed = maker.run(&["bundle", "sign", maker.bundle_text(), "--key", "ours.key"]);
    assert_eq!(signed.status.code(), Some(3));
    assert!(!maker.bundle().join("bundle.minisig").exists());
}

#[test]
fn a_device_with_a_bundle_that_nobody_signed_answers_nothing() {
    let maker = Maker::new();
    let bundle = maker.bundle_text();
    let serve = [
        "serve", "--serial", "-", "--state", "state", "--bundle", bundle,
    ];
    let unsigned = maker.run(&[&serve, &OURS_ALONE[..]].concat());
    let said = String::from_utf8_lossy(&unsigned.stderr).into_owned();
    assert_eq!(unsigned.status.code(), Some(3), "{said}");
    assert!(said.contains("(bundle_unsigned)"), "{said}");
    maker.sign();
    let signed = maker.run(&[&serve, &OURS_ALONE[..]].concat());
    assert_eq!(signed.status.code(), Some(0), "{signed:?}");
}
