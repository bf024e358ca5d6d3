//! A maker of bundles: keys, and a bundle that is signed with them.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use super::copy_of_starter;

/// The key that is trusted.
pub const OURS: [&str; 2] = ["--trust", "ours.key.pub"];

/// Two makers' keys, and a bundle.
pub struct Maker {
    /// Both pairs of keys: `ours.key`, `theirs.key`; what is run is run from here.
    pub keys: tempfile::TempDir,
    /// The bundle.
    pub bundle: tempfile::TempDir,
}

impl Maker {
    /// Two pairs of keys, and a copy of the starter bundle.
    pub fn new() -> Self {
        let maker = Self {
            keys: tempfile::tempdir().unwrap(),
            bundle: copy_of_starter(),
        };
        for key in ["ours.key", "theirs.key"] {
            let made = maker.run(&["bundle", "make-key", key, "--no-password"]);
            assert!(made.status.success(), "{made:?}");
        }
        maker
    }

    /// The bundle's folder.
    pub fn bundle(&self) -> &Path {
        self.bundle.path()
    }

    /// The same, as an argument.
    pub fn bundle_text(&self) -> &str {
        self.bundle().to_str().unwrap()
    }

    /// Runs the program.
    pub fn run(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_medfocus"))
            .args(arguments)
            .current_dir(self.keys.path())
            .stdin(Stdio::null())
            .output()
            .unwrap()
    }

    /// Signs the bundle with our key.
    pub fn sign(&self) {
        let key = ["--key", "ours.key", "--comment", "release 3"];
        let signed = self.run(&[&["bundle", "sign", self.bundle_text()], &key[..]].concat());
        assert!(signed.status.success(), "{signed:?}");
    }

    /// The code and the output of a command.
    pub fn said(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = self.run(arguments);
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    /// The same of `bundle inspect`, which reads no graph.
    pub fn inspect(&self, trust: &[&str]) -> (Option<i32>, String) {
        self.said(&[&["bundle", "inspect", self.bundle_text()], trust].concat())
    }

    /// Changes the manifest's text, which its signature is no longer of.
    pub fn edit(&self, from: &str, to: &str) {
        let path = self.bundle().join("bundle.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{from}");
        std::fs::write(path, text.replacen(from, to, 1)).unwrap();
    }

    /// A signed release of this number.
    pub fn release(&self, number: u64) {
        let path = self.bundle().join("bundle.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let rest = text.lines().filter(|line| !line.starts_with("release = "));
        let rest: Vec<&str> = rest.collect();
        let text =
            rest.join("\n")
                .replacen("format = 1", &format!("format = 1\nrelease = {number}"), 1);
        std::fs::write(path, text).unwrap();
        self.sign();
    }
}
