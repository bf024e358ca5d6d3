//! What an object says of patient, exam and order arrives as it left, in every output.

mod anatomy;
mod cleaned;
mod orders;
mod scripts;

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::dicom::{element, write_grey};
use crate::common::{classify, phantom};
use dicom_core::value::{DataSetSequence, PrimitiveValue};
use dicom_core::{DataElement, Tag, VR};
use dicom_dictionary_std::{tags, uids};
use dicom_object::{InMemDicomObject, open_file};
use serde_json::Value;

type Element = DataElement<InMemDicomObject>;

fn word(tag: Tag, vr: VR, text: &str) -> Element {
    element(tag, vr, PrimitiveValue::from(text))
}

/// A value as its bytes, whatever the object's character set.
fn bytes(tag: Tag, vr: VR, bytes: &[u8]) -> Element {
    let even = if bytes.len() % 2 == 1 { &b" "[..] } else { b"" };
    let all = [bytes, even].concat();
    element(tag, vr, PrimitiveValue::from(all))
}

fn sequence(tag: Tag, items: Vec<Vec<Element>>) -> Element {
    let items = items.into_iter().map(InMemDicomObject::from_element_iter);
    DataElement::new(
        tag,
        VR::SQ,
        DataSetSequence::from(items.collect::<Vec<_>>()),
    )
}

/// A head as a scanner sends it.
fn head(folder: &Path, name: &str, elements: Vec<Element>) -> PathBuf {
    let pixels = image::open(phantom("brain.png")).unwrap().into_luma8();
    let path = folder.join(format!("{name}.dcm"));
    let of_head = [
        word(
            tags::SOP_CLASS_UID,
            VR::UI,
            uids::SECONDARY_CAPTURE_IMAGE_STORAGE,
        ),
        word(tags::MODALITY, VR::CS, "MR"),
        word(tags::BODY_PART_EXAMINED, VR::CS, "BRAIN"),
        word(tags::CONVERSION_TYPE, VR::CS, "WSD"),
    ];
    write_grey(&path, &pixels, of_head.into_iter().chain(elements));
    path
}

/// All outputs of one image.
struct Outputs {
    answer: Value,
    sc: InMemDicomObject,
    sr: InMemDicomObject,
    seg: InMemDicomObject,
    hl7: String,
    paths: Vec<PathBuf>,
    _folder: tempfile::TempDir,
}

impl Outputs {
    fn of(source: &Path, options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let fixed = [
            source.to_str().unwrap(),
            "--write",
            "sc,sr,seg,hl7,page,pdf",
            "--to",
            folder.path().to_str().unwrap(),
        ];
        let (mut answers, code) = classify(&[&fixed[..], options].concat());
        assert_eq!(code, 0, "{answers:?}");
        let entries = std::fs::read_dir(folder.path()).unwrap();
        let paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
        let path = |ending: &str| {
            let is_it = |path: &&PathBuf| path.to_str().unwrap().ends_with(ending);
            paths
                .iter()
                .find(is_it)
                .unwrap_or_else(|| panic!("no {ending}"))
        };
        let object = |ending| open_file(path(ending)).unwrap().into_inner();
        let (sc, sr, seg) = (object("sc.dcm"), object("sr.dcm"), object("seg.dcm"));
        let hl7 = std::fs::read_to_string(path("hl7")).unwrap();
        Self {
            answer: answers.remove(0),
            sc,
            sr,
            seg,
            hl7,
            paths,
            _folder: folder,
        }
    }

    fn objects(&self) -> [(&'static str, &InMemDicomObject); 3] {
        [("sc", &self.sc), ("sr", &self.sr), ("seg", &self.seg)]
    }

    /// A field of the first segment of a name, both counted as HL7 does.
    fn field(&self, segment: &str, number: usize) -> &str {
        let mut segments = self.hl7.split('\r');
        let line = segments.find(|line| line.split('|').next() == Some(segment));
        line.and_then(|line| line.split('|').nth(number))
            .unwrap_or_default()
    }

    /// The value of the observation of this code.
    fn observed(&self, code: &str) -> Option<&str> {
        let mut lines = self
            .hl7
            .split('\r')
            .map(|line| line.split('|').collect::<Vec<_>>());
        let of = lines.find(|line| line.len() > 5 && line[3].split('^').next() == Some(code))?;
        Some(of[5])
    }

    fn notes(&self) -> Vec<&str> {
        let notes = self.answer["reasons"].as_array().unwrap().iter();
        notes
            .filter_map(|note| note.as_str()?.split(':').next())
            .collect()
    }

    /// No output breaks the standard's rules, where the program is there that knows them.
    fn assert_conforming(&self) {
        for path in self
            .paths
            .iter()
            .filter(|path| path.to_str().unwrap().ends_with("dcm"))
        {
            let Ok(output) = Command::new("dciodvfy").arg(path).output() else {
                eprintln!("skipped: there is no dciodvfy");
                return;
            };
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let errors: Vec<&str> = said.lines().filter(|l| l.starts_with("Error")).collect();
            assert_eq!(errors, [""; 0], "{}", path.display());
        }
    }
}

fn text(object: &InMemDicomObject, tag: Tag) -> String {
    let value = object
        .get(tag)
        .map(|element| element.to_str().unwrap().trim_end().to_owned());
    value.unwrap_or_else(|| "absent".to_owned())
}
