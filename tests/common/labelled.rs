//! Labelled images that are drawn, chest phantoms with and without an opacity, and a clinic that
//! enrols and calibrates with them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{assert_valid_by, medfocus, phantom};

/// Draws chest phantoms number `numbers` of both classes into `folder/normal` and
/// `folder/tuberculosis`, always the same ones.
pub fn chests(folder: &Path, numbers: std::ops::Range<u32>) {
    let chest = image::open(phantom("chest.png"))
        .expect("the phantom")
        .to_luma8();
    for (class, is_ill) in [("normal", false), ("tuberculosis", true)] {
        let folder = folder.join(class);
        std::fs::create_dir_all(&folder).expect("a folder");
        for number in numbers.clone() {
            let drawn = drawn(&chest, number * 2 + u32::from(is_ill), is_ill);
            drawn
                .save(folder.join(format!("{number}.png")))
                .expect("written");
        }
    }
}

fn drawn(chest: &image::GrayImage, seed: u32, is_ill: bool) -> image::GrayImage {
    let mut state = u64::from(seed) + 1;
    let mut draw = || {
        // Knuth's 64-bit linear congruential generator.
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let (width, height) = (chest.width() as f32, chest.height() as f32);
    let side = if draw() < 0.5 { 0.3 } else { 0.7 };
    let middle = (side * width, (0.3 + 0.1 * draw()) * height);
    let (reach, weight) = (
        0.07 * width,
        if is_ill { 70.0 + 40.0 * draw() } else { 0.0 },
    );
    let brighter = 8.0 * (draw() - 0.5);
    let mut made = chest.clone();
    for (x, y, pixel) in made.enumerate_pixels_mut() {
        let (dx, dy) = (x as f32 - middle.0, y as f32 - middle.1);
        let opacity = weight * (-(dx * dx + dy * dy) / (2.0 * reach * reach)).exp();
        let value = f32::from(pixel.0[0]) + opacity + brighter + 6.0 * (draw() - 0.5);
        pixel.0[0] = value.clamp(0.0, 255.0) as u8;
    }
    made
}

/// Who enrols and calibrates.
pub const BY: &str = "A. Radiologist";

/// A clinic: its state folder and its labelled images.
pub struct LabelledClinic(pub tempfile::TempDir);

impl LabelledClinic {
    pub fn new(cases: std::ops::Range<u32>) -> Self {
        let clinic = Self(tempfile::tempdir().unwrap());
        chests(&clinic.folder("labelled"), cases);
        clinic
    }

    pub fn folder(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Runs a command on a folder of labelled images; the exit code, what it printed and what
    /// it complained of.
    pub fn run(&self, command: &str, cases: &str, more: &[&str]) -> (i32, String, String) {
        let (cases, state) = (self.folder(cases), self.folder("state"));
        let state = ["--state", state.to_str().unwrap()];
        let cases = [command, cases.to_str().unwrap()];
        let output = medfocus(&[&cases, &state, more].concat());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let code = output.status.code().unwrap_or(-1);
        (code, text(output.stdout), text(output.stderr))
    }

    pub fn json(&self, command: &str, cases: &str, more: &[&str]) -> Value {
        let (code, out, error) = self.run(command, cases, &[more, &["--json"]].concat());
        assert_eq!(code, 0, "{error}");
        let value = serde_json::from_str(&out).unwrap();
        assert_valid_by(&format!("{command}.schema.json"), &value);
        value
    }

    pub fn enroll(&self, more: &[&str]) -> Value {
        self.json(
            "enroll",
            "labelled",
            &[&["--exam", "lung_tb2"], more].concat(),
        )
    }

    pub fn current(&self) -> PathBuf {
        self.folder("state/bundles/current")
    }

    pub fn manifest(&self) -> toml::Table {
        let text = std::fs::read_to_string(self.current().join("bundle.toml")).unwrap();
        toml::from_str(&text).unwrap()
    }

    pub fn exam(&self, name: &str) -> toml::Table {
        let manifest = self.manifest();
        let exams = manifest["exams"].as_array().unwrap().iter();
        let mut exams = exams.filter(|exam| exam["name"].as_str() == Some(name));
        exams.next().unwrap().as_table().unwrap().clone()
    }
}

/// Holds that a bundle is whole.
pub fn verified(bundle: &Path) {
    let output = medfocus(&["bundle", "verify", bundle.to_str().unwrap()]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(0), "{error}");
}
