use super::*;

fn mended_bytes(data: &[u8], form: Form) -> Cow<'_, [u8]> {
    mended(data, form).0
}

fn short(tag: (u16, u16), vr: &[u8; 2], value: &[u8]) -> Vec<u8> {
    let length = (value.len() as u16).to_le_bytes();
    let tag = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    [&tag[..], vr, &length, value].concat()
}

fn long(tag: (u16, u16), vr: &[u8; 2], length: u32, value: &[u8]) -> Vec<u8> {
    let tag = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    [&tag[..], vr, &[0, 0], &length.to_le_bytes(), value].concat()
}

fn bare(tag: Tag, length: u32, value: &[u8]) -> Vec<u8> {
    let tag = [tag.0.to_le_bytes(), tag.1.to_le_bytes()].concat();
    [&tag[..], &length.to_le_bytes(), value].concat()
}

/// A private element of unknown VR and undefined length, with implicit content.
fn unknown() -> Vec<u8> {
    let inner = bare(Tag(8, 0x100), 6, b"ABC123");
    let items = [
        bare(ITEM, UNDEFINED, &inner),
        bare(ITEM_END, 0, b""),
        bare(SEQUENCE_END, 0, b""),
    ];
    long((0x21, 0x1001), b"UN", UNDEFINED, &items.concat())
}

#[test]
fn what_the_parser_cannot_read_is_mended_and_the_rest_is_as_it_was() {
    let modality = short((8, 0x60), b"CS", b"DX");
    let side = short((0x20, 0x62), b"CS", b"L ");
    let pixels = long((0x7fe0, 0x10), b"OW", 4, &[1, 2, 3, 4]);
    let padding = long((0xfffc, 0xfffc), b"OB", 2, &[0, 0]);
    let sequence = |inner: &[u8]| {
        let item = bare(ITEM, inner.len() as u32, inner);
        long((0x18, 0x1), b"SQ", item.len() as u32, &item)
    };
    let whole = [modality.clone(), side.clone(), pixels.clone()].concat();
    type Parts<'a> = Vec<&'a [u8]>;
    let unknown = unknown();
    let marks = short((0x10, 0x11), b"??", b"ab");
    let nul_side = short((0x20, 0x62), &[0, 0], b"L ");
    let far = long((0x10, 0x11), b"??", 2, b"ab");
    let deep = sequence(&[&unknown[..], &modality_in()].concat());
    let flat = sequence(&modality_in());
    let cases: Vec<(&str, Parts<'_>, Parts<'_>)> = vec![
        ("whole", vec![&whole], vec![&whole]),
        (
            "UN",
            vec![&modality, &unknown, &pixels],
            vec![&modality, &pixels],
        ),
        (
            "deep UN",
            vec![&modality, &deep, &pixels],
            vec![&modality, &flat, &pixels],
        ),
        ("??", vec![&modality, &marks, &side, &pixels], vec![&whole]),
        (
            "?? long",
            vec![&modality, &far, &side, &pixels],
            vec![&whole],
        ),
        ("NULs", vec![&modality, &nul_side, &pixels], vec![&whole]),
        ("zeros", vec![&whole, &[0; 8]], vec![&whole]),
        ("three", vec![&whole, &[0; 3]], vec![&whole]),
        ("words", vec![&whole, b"made by a unit"], vec![&whole]),
        ("padding", vec![&whole, &padding], vec![&whole, &padding]),
        (
            "padding and more",
            vec![&whole, &padding, &[0; 8]],
            vec![&whole, &padding],
        ),
    ];
    for (name, before, after) in cases {
        let (before, after) = (before.concat(), after.concat());
        assert_eq!(*mended_bytes(&before, Form::Explicit), after, "{name}");
    }
}

fn modality_in() -> Vec<u8> {
    short((0x40, 0x60), b"CS", b"DX")
}

#[test]
fn what_is_cut_or_deep_is_left_to_the_parser() {
    let whole = [
        short((8, 0x60), b"CS", b"DX"),
        unknown(),
        long((0x7fe0, 0x10), b"OW", 4, &[1, 2, 3, 4]),
    ]
    .concat();
    for length in 0..whole.len() {
        let cut = &whole[..length];
        let ends_with_unknown = length == whole.len() - 16;
        let is_as_it_was = *mended_bytes(cut, Form::Explicit) == *cut;
        assert!(is_as_it_was || ends_with_unknown, "{length}");
    }
    let deep: Vec<u8> = (0..99_999)
        .flat_map(|_| {
            let item = bare(ITEM, UNDEFINED, b"");
            [long((0x18, 1), b"SQ", UNDEFINED, b""), item].concat()
        })
        .collect();
    assert_eq!(*mended_bytes(&deep, Form::Explicit), deep);
}

#[test]
fn implicit_data_sets_lose_what_is_no_element() {
    let whole = [
        bare(Tag(8, 0x60), 2, b"DX"),
        bare(Tag(0x7fe0, 0x10), 4, &[1, 2, 3, 4]),
    ]
    .concat();
    let more = [&whole[..], &[0; 5]].concat();
    assert_eq!(*mended_bytes(&more, Form::Implicit), whole);
    assert_eq!(*mended_bytes(&whole, Form::Implicit), whole);
}

/// At any depth and in any form; nothing else changes.
#[test]
fn names_of_character_sets_are_hidden_from_the_parser() {
    let name = |first: u8| [&[first], &b"SO_IR 100 "[..]].concat();
    let whole = |first: u8, form: Form| {
        let (tag, name) = (tags::SPECIFIC_CHARACTER_SET, &name(first)[..10]);
        let inner = match form {
            Form::Implicit => bare(tag, 10, name),
            _ => short((8, 5), b"CS", name),
        };
        let item = bare(ITEM, inner.len() as u32, &inner);
        match form {
            Form::Implicit => [
                inner,
                bare(Tag(8, 0x2218), item.len() as u32, &item),
                bare(Tag(0x7fe0, 0x10), 4, &[1, 2, 3, 4]),
            ]
            .concat(),
            _ => [
                inner,
                long((8, 0x2218), b"SQ", item.len() as u32, &item),
                long((0x7fe0, 0x10), b"OW", 4, &[1, 2, 3, 4]),
            ]
            .concat(),
        }
    };
    for form in [Form::Explicit, Form::Implicit] {
        let before = whole(b'I', form);
        let (data, is_followed) = mended(&before, form);
        assert_eq!(
            (&*data, is_followed),
            (&whole(b'I' | HIDDEN, form)[..], true)
        );
    }
    let big = |first: u8| {
        let head = b"\x00\x08\x00\x05CS\x00\x0a";
        [
            &head[..],
            &name(first)[..10],
            b"\x00\x10\x00\x10PN\x00\x02A ",
        ]
        .concat()
    };
    let before = big(b'I');
    let (data, is_followed) = mended(&before, Form::ExplicitBig);
    assert_eq!((&*data, is_followed), (&big(b'I' | HIDDEN)[..], true));
    // What cannot be followed is as it was, and is said to be.
    let before = whole(b'I', Form::Explicit);
    let cut = &before[..40];
    let (data, is_followed) = mended(cut, Form::Explicit);
    assert_eq!((&*data, is_followed), (cut, false));
}
