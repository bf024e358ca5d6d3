use super::super::fault;
use super::*;
use crate::child::{FORM, bytes_of};
use crate::image::dicom::Taken;
use crate::image::{Coded, Contradiction};

fn heard(head: &str, pixels: usize) -> Option<Result<Image, Refusal>> {
    let head = serde_json::from_str(head).ok()?;
    understand(head, vec![7; pixels])
}

const HASH: &str = "00000000000000000000000000000000000000000000000000000000000000aa";

fn image(width: u64, height: u64, is_rgb: bool, region: &str) -> String {
    let said = serde_json::to_string(&ImageMetadata::default()).unwrap();
    let said = said.replace(r#""region":null"#, &format!(r#""region":{region}"#));
    format!(
        r#"{{"Image":{{"width":{width},"height":{height},"is_rgb":{is_rgb},"said":{said},"sha256":"{HASH}","origin":null}}}}"#
    )
}

#[test]
fn what_does_not_fit_together_is_not_believed() {
    struct Case(&'static str, String, usize, bool);
    let side = u64::from(MIN_SIDE);
    let area = (side * side) as usize;
    // 3 * (2^32 - 1)^2 is 3 more than 2^64 * 3 - 2^33 * 3: it must not be counted in 64 bits.
    let most = u64::from(u32::MAX);
    for Case(what, head, pixels, is_believed) in [
        Case("luma", image(side, side, false, "null"), area, true),
        Case("RGB", image(side, side, true, "null"), 3 * area, true),
        Case(
            "its region",
            image(side, side, false, "[0,0,1,1]"),
            area,
            true,
        ),
        Case(
            "what is no hash",
            image(side, side, false, "null").replace(HASH, "../kept"),
            area,
            false,
        ),
        Case("too few", image(side, side, false, "null"), area - 1, false),
        Case(
            "too many",
            image(side, side, false, "null"),
            area + 1,
            false,
        ),
        Case(
            "other colours",
            image(side, side, true, "null"),
            area,
            false,
        ),
        Case("too small", image(1, 1, false, "null"), 1, false),
        Case(
            "as large as numbers go",
            image(most, most, true, "null"),
            3,
            false,
        ),
        Case(
            "too long a side",
            image(u64::from(MAX_SIDE) + 1, side, false, "null"),
            0,
            false,
        ),
        Case("no side", image(0, 0, false, "null"), 0, false),
        Case(
            "region outside",
            image(side, side, false, "[1,1,99999,1]"),
            area,
            false,
        ),
        Case(
            "region beyond",
            image(side, side, false, "[4294967295,0,1,1]"),
            area,
            false,
        ),
        Case(
            "region of nothing",
            image(side, side, false, "[0,0,0,1]"),
            area,
            false,
        ),
        Case("no sentence", "{".to_owned(), 0, false),
    ] {
        assert_eq!(heard(&head, pixels).is_some(), is_believed, "{what}");
    }
}

#[test]
fn a_child_cannot_name_the_file_and_says_no_more_than_a_sentence() {
    let long = "why ".repeat(LONGEST_MESSAGE);
    let refusal = fault(&long).about("/etc/other.png");
    let head = serde_json::to_string(&Head::Refusal(refusal)).unwrap();
    let said = heard(&head, 0).unwrap().unwrap_err();
    assert_eq!(said.sentence(), long[..LONGEST_MESSAGE]);
}

#[test]
fn a_message_of_another_form_has_another_number() {
    let word = |word: &str| Some(word.to_owned());
    let said = ImageMetadata {
        modality: word("modality"),
        body_part: word("body part"),
        view: word("view"),
        laterality: word("laterality"),
        coded: Coded {
            body_part: word("coded body part"),
            view: word("coded view"),
            laterality: word("coded laterality"),
        },
        frame: Some((2, 3)),
        window: word("window"),
        burned_in: Some(true),
        is_reconstruction: true,
        region: Some([1, 2, 3, 4]),
        jpeg_ratio: Some(1000),
        notes: vec!["note".to_owned()],
        ..ImageMetadata::default()
    };
    let origin = Origin {
        attributes: vec![(1, 2, "value".to_owned())],
        request: vec![(3, 4, "requested".to_owned())],
        sop_class: "class".to_owned(),
        sop_instance: "instance".to_owned(),
        frame: 5,
        size: [6, 7],
        taken: Some(Taken {
            date: "date".to_owned(),
            time: "time".to_owned(),
            offset: Some(-5),
        }),
        offset: Some(330),
    };
    let image = Head::Image {
        width: 8,
        height: 9,
        is_rgb: true,
        said: Box::new(said),
        sha256: Sha256::of(b"file"),
        origin: Some(Box::new(origin)),
    };
    let mut bytes = bytes_of(&image).unwrap();
    bytes.extend(bytes_of(&Head::Refusal(fault("why").about("a.png"))).unwrap());
    let form = (FORM, Sha256::of(&bytes).to_string());
    // Where the bytes are others, the number in `FORM` is raised and both are written anew.
    let known = (
        "medfocus 0.1.0, messages 5",
        "2172725ee9ea390ccc8673a9f6357c0c137068a14096d1de7b3931e594176a17".to_owned(),
    );
    assert_eq!(form, known);
}

#[test]
fn a_look_of_another_form_has_another_number() {
    let checked = Checked {
        refusal: Some(fault("why")),
        claims: Claims {
            priority: Some("STAT".to_owned()),
            contradiction: Some(Contradiction::Instance),
        },
    };
    let digest = Sha256::of(&bytes_of(&checked).unwrap()).to_string();
    // Where the bytes are others, the number in `FORM` is raised and both are written anew.
    let known = "ce4cac3f34ecb23c2b4417fc476277d0ab736823ab4333246be8a6edd911f06a";
    assert_eq!(
        (FORM, digest.as_str()),
        ("medfocus 0.1.0, messages 5", known)
    );
    let long = Checked {
        refusal: Some(fault(&"why ".repeat(10_000))),
        claims: Claims {
            priority: Some("STAT".repeat(10_000)),
            contradiction: None,
        },
    };
    let believed = long.believed();
    assert!(bytes_of(&believed).unwrap().len() < 2 * LONGEST_MESSAGE);
}
