use super::*;

/// A text as it stands in a file: letters, and where they are no ASCII, bytes.
fn read(terms: &[&str], bytes: &[u8], split: Split) -> (Vec<String>, bool) {
    let read = CharacterSets::of(terms).read(bytes, split);
    let groups = |value: &Vec<Option<String>>| {
        let groups: Vec<&str> = value.iter().map(|g| g.as_deref().unwrap_or("?")).collect();
        groups.join("=")
    };
    (read.values.iter().map(groups).collect(), read.is_inexact)
}

/// The examples of PS3.5, annexes H to K, and one of each other set.
#[test]
fn names_are_read_by_every_set() {
    struct Case(&'static [&'static str], &'static [u8], &'static str);
    for Case(terms, bytes, name) in [
        Case(&[], b"Adams^John^^Rev.^Jr", "Adams^John^^Rev.^Jr"),
        Case(&["ISO_IR 100"], b"\xc4neas^R\xfcdiger", "Äneas^Rüdiger"),
        Case(&["ISO_IR 101"], b"Wa\xb3\xeasa", "Wałęsa"),
        Case(&["ISO_IR 109"], b"\xa1al", "Ħal"),
        Case(&["ISO_IR 110"], b"\xabirts", "Ģirts"),
        Case(&["ISO_IR 144"], b"\xbb\xee\xdace\xdc\xd1yp\xd3", "Люкceмбypг"),
        Case(
            &["ISO_IR 127"],
            b"\xe2\xc8\xc7\xe6\xea^\xe4\xe6\xd2\xc7\xd1",
            "قباني^لنزار",
        ),
        Case(
            &["ISO_IR 126"],
            b"\xc4\xe9\xef\xed\xf5\xf3\xe9\xef\xf2",
            "Διονυσιος",
        ),
        Case(
            &["ISO_IR 138"],
            b"\xf9\xf8\xe5\xef^\xe3\xe1\xe5\xf8\xe4",
            "שרון^דבורה",
        ),
        Case(&["ISO_IR 148"], b"\xc7avu\xfeo\xf0lu", "Çavuşoğlu"),
        Case(&["ISO_IR 203"], b"\xbduvre^\xa4", "œuvre^€"),
        Case(&["ISO_IR 166"], b"\xb9\xd2\xc1\xca\xa1\xd8\xc5", "นามสกุล"),
        Case(&["ISO_IR 13"], b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3", "ﾔﾏﾀﾞ^ﾀﾛｳ"),
        Case(&["ISO_IR 192"], "Wang^XiaoDong=王^小東".as_bytes(), "Wang^XiaoDong=王^小東"),
        Case(
            &["GB18030"],
            b"Wang^XiaoDong=\xcd\xf5^\xd0\xa1\xb6\xab",
            "Wang^XiaoDong=王^小东",
        ),
        // 0x5C and 0x5E are halves of letters here.
        Case(&["GBK"], b"Ma^\x81\x5c=\x81\x5e^\xd0\xa1", "Ma^乗=乛^小"),
        Case(
            &["", "ISO 2022 IR 87"],
            b"Yamada^Tarou=\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B=\x1b$B$d$^$@\x1b(B^\x1b$B$?$m$&\x1b(B",
            "Yamada^Tarou=山田^太郎=やまだ^たろう",
        ),
        Case(
            &["ISO 2022 IR 13", "ISO 2022 IR 87"],
            b"\xd4\xcf\xc0\xde^\xc0\xdb\xb3=\x1b$B;3ED\x1b(J^\x1b$BB@O:\x1b(J=\x1b$B$d$^$@\x1b(J^\x1b$B$?$m$&\x1b(J",
            "ﾔﾏﾀﾞ^ﾀﾛｳ=山田^太郎=やまだ^たろう",
        ),
        // The second half of the second letter is a backslash.
        Case(
            &["", "ISO 2022 IR 87"],
            b"Yamamoto=\x1b$B;3K\\\x1b(B^\x1b$B=U\x1b(B",
            "Yamamoto=山本^春",
        ),
        Case(
            &["", "ISO 2022 IR 149"],
            b"Hong^Gildong=\x1b$)C\xfb\xf3^\x1b$)C\xd1\xce\xd4\xd7=\x1b$)C\xc8\xab^\x1b$)C\xb1\xe6\xb5\xbf",
            "Hong^Gildong=洪^吉洞=홍^길동",
        ),
        Case(
            &["", "ISO 2022 IR 58"],
            b"Zhang^XiaoDong=\x1b$)A\xd5\xc5^\x1b$)A\xd0\xa1\xb6\xab",
            "Zhang^XiaoDong=张^小东",
        ),
        Case(
            &["ISO 2022 IR 6", "ISO 2022 IR 159"],
            b"X=\x1b$(D\x30\x21\x1b(B",
            "X=丂",
        ),
        Case(
            &["ISO 2022 IR 100", "ISO 2022 IR 144", "ISO 2022 IR 126"],
            b"B\xfcc=\x1b-L\xbb\xee\xda^\xe9=\x1b-F\xc4\xe9",
            "Büc=Люк^é=Δι",
        ),
    ] {
        let (values, is_inexact) = read(terms, bytes, Split::Names);
        assert_eq!(values, [name], "{terms:?}");
        assert!(!is_inexact, "{terms:?}");
        assert_eq!(CharacterSets::of(terms).note, None, "{terms:?}");
    }
}

#[test]
fn what_can_only_mean_one_thing_is_read_and_marked() {
    struct Case(&'static [&'static str], &'static [u8], &'static str);
    for Case(terms, bytes, name) in [
        // The escape stands at the first delimiter only.
        Case(
            &["", "ISO 2022 IR 149"],
            b"Hong=\x1b$)C\xfb\xf3^\xd1\xce\xd4\xd7",
            "Hong=洪^吉洞",
        ),
        // No escape at all, and one set that it could be.
        Case(
            &["ISO 2022 IR 6", "ISO 2022 IR 100"],
            b"M\xfcller",
            "Müller",
        ),
        Case(
            &["", "ISO 2022 IR 149"],
            b"\xc8\xab^\xb1\xe6\xb5\xbf",
            "홍^길동",
        ),
        // An escape that the object does not announce.
        Case(&["ISO_IR 100"], b"Y=\x1b$B;3\x1b(B", "Y=山"),
        Case(&[], b"Y=\x1b$B;3\x1b(B", "Y=山"),
        // Shift-JIS where only katakana are allowed; the second half of the first is a backslash.
        Case(&["ISO_IR 13"], b"\x95\x5c^\x8e\x52=\x83\x5c", "表^山=ソ"),
    ] {
        let (values, is_inexact) = read(terms, bytes, Split::Names);
        assert_eq!(values, [name], "{terms:?}");
        assert!(is_inexact, "{terms:?}");
    }
}

#[test]
fn what_is_no_text_is_left_out_and_never_read_by_another_set() {
    struct Case(&'static [&'static str], &'static [u8], &'static str);
    for Case(terms, bytes, name) in [
        Case(&[], b"M\xfcller^J\xf6rg", "?"),
        Case(&["ISO_IR 6"], "Müller".as_bytes(), "?"),
        Case(&["ISO_IR 192"], b"M\xfcller", "?"),
        Case(&["ISO_IR 192"], b"Wang=\xcd\xf5=ok", "Wang=?=ok"),
        Case(&["ISO_IR 192"], b"Y=\x1b$B;3\x1b(B", "Y=?"),
        Case(&["GB18030"], b"Wang=\xcd", "Wang=?"),
        // Windows has a quotation mark there; the set has nothing.
        Case(&["ISO_IR 100"], b"O\x92Brien", "?"),
        Case(&["ISO_IR 127"], b"\xa1", "?"),
        Case(&["ISO_IR 166"], b"\xfe", "?"),
        Case(&["ISO 2022 IR 999"], b"M\xfcller", "?"),
        Case(&["ISO 2022 IR 999"], b"Miller", "Miller"),
        Case(&["", "ISO 2022 IR 100", "ISO 2022 IR 144"], b"M\xfc", "?"),
        Case(&["", "ISO 2022 IR 87"], b"Y=\x1b$B;\x1b(B=Z", "Y=?=Z"),
        Case(&["", "ISO 2022 IR 87"], b"Y=\x1b$X;3", "Y=?"),
    ] {
        assert_eq!(read(terms, bytes, Split::Names).0, [name], "{terms:?}");
    }
}

#[test]
fn misspelt_terms_are_what_they_can_only_mean() {
    for (term, bytes, text) in [
        ("ISO IR 192", "Jörg".as_bytes(), "Jörg"),
        ("ISO_IR_192", "Jörg".as_bytes(), "Jörg"),
        ("iso_ir 192", "Jörg".as_bytes(), "Jörg"),
        ("ISO-IR 192", "Jörg".as_bytes(), "Jörg"),
        ("ISO_IR192", "Jörg".as_bytes(), "Jörg"),
        ("ISO 2022 IR 192", "Jörg".as_bytes(), "Jörg"),
        ("UTF-8", "Jörg".as_bytes(), "Jörg"),
        ("ISO IR 100", b"J\xf6rg", "Jörg"),
        ("iso_ir_100", b"J\xf6rg", "Jörg"),
        ("IR 100", b"J\xf6rg", "Jörg"),
        ("ISO 8859-1", b"J\xf6rg", "Jörg"),
        ("ISO_8859-5", b"\xbb\xee\xda", "Люк"),
        ("ISO_IR 149", b"\xc8\xab", "홍"),
        ("ISO_IR 87", b"\x1b$B;3\x1b(B", "山"),
        ("ISO_IR 58", b"\xd0\xa1", "小"),
        ("GB2312", b"\xd0\xa1", "小"),
        ("gb 18030", b"\xd0\xa1", "小"),
    ] {
        let sets = CharacterSets::of(&[term]);
        assert_eq!(read(&[term], bytes, Split::Values).0, [text], "{term}");
        let note = sets.note.unwrap_or_default();
        assert!(
            note.starts_with("character_set_misspelt: "),
            "{term}: {note}"
        );
    }
    for terms in [
        &["ISO_IR 100", "ISO_IR 144"][..],
        &["", "ISO_IR 192"],
        &["ISO_IR 192", "ISO 2022 IR 87"],
    ] {
        assert!(CharacterSets::of(terms).note.is_some(), "{terms:?}");
    }
    for terms in [
        &["ISO_IR 192 "][..],
        &[" ISO_IR 100"],
        &["", "ISO 2022 IR 87 "],
    ] {
        assert_eq!(
            CharacterSets::of(terms).note,
            None,
            "blanks count for nothing: {terms:?}"
        );
    }
    for term in ["ISO_IR 999", "WINDOWS-1251", "ISO 8859-99", "Юникод"] {
        let note = CharacterSets::of(&[term]).note.unwrap_or_default();
        assert!(note.starts_with("character_set_unknown: "), "{term}");
    }
}

#[test]
fn values_are_parted_behind_reading() {
    let (values, _) = read(&["GB18030"], b"\x81\x5c\\\xd0\xa1", Split::Values);
    assert_eq!(values, ["乗", "小"]);
    let (values, _) = read(
        &["", "ISO 2022 IR 87"],
        b"\x1b$B;3K\\\x1b(B\\A=B",
        Split::Values,
    );
    assert_eq!(values, ["山本", "A=B"]);
}

#[test]
fn whatever_the_bytes_are_there_is_an_end() {
    let sets: [&[&str]; 6] = [
        &["", "ISO 2022 IR 87", "ISO 2022 IR 159"],
        &["ISO_IR 13"],
        &["", "ISO 2022 IR 149"],
        &["GB18030"],
        &["ISO_IR 192"],
        &["ISO 2022 IR 100", "ISO 2022 IR 144"],
    ];
    let alphabet = b"\x1b\x1b$()-BJCDIAL\\^=\r\x00\x7f\x80\xa1\xb0\xdf\xfe\xff!~";
    // Knuth's 64-bit linear congruential generator.
    let mut state = 1_u64;
    for round in 0..6_000_usize {
        let bytes: Vec<u8> = (0..round % 41)
            .map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                alphabet[(state >> 33) as usize % alphabet.len()]
            })
            .collect();
        for terms in sets {
            let read = CharacterSets::of(terms).read(&bytes, Split::Names);
            let texts = read.values.iter().flatten().flatten();
            assert!(texts.into_iter().all(|text| !text.contains('\u{1b}')));
        }
    }
}
