//! A data set that other software reads becomes one that the strict parser reads: bytes come in,
//! the same bytes or mended ones come out. Called where a file is opened, before it is parsed.
//!
//! Mended are, at any depth, elements of VR `UN` and undefined length, whose content is written
//! implicitly whatever the rest is (PS3.5, 6.2.2 note 4; they are private and left out), elements
//! of a VR that is none (`??`, two NULs; read by the dictionary's VR, or left out), and bytes
//! behind the pixel data that are no elements. Never changes a value, and never touches what it
//! cannot follow to its end: that file goes to the parser as it is.

use std::borrow::Cow;

use dicom_core::dictionary::{DataDictionary, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

/// How deep sequences may lie in each other: no picture needs a tenth of it.
const DEEPEST: usize = 32;

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);

/// How a little-endian data set is written (PS3.5, 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Each element names its VR.
    Explicit,
    /// The dictionary knows it.
    Implicit,
}

/// The data set as the parser reads it.
pub(super) fn mended(data: &[u8], form: Form) -> Cow<'_, [u8]> {
    let mut walk = Walk {
        data,
        edits: Vec::new(),
    };
    match walk.data_set(form) {
        Some(()) if !walk.edits.is_empty() => Cow::Owned(walk.apply()),
        _ => Cow::Borrowed(data),
    }
}

/// Bytes from `at` on that give way to others.
#[derive(Debug)]
struct Edit {
    at: usize,
    remove: usize,
    insert: Vec<u8>,
}

/// An element's head.
#[derive(Debug, Clone, Copy)]
struct Head {
    tag: Tag,
    /// `None` in implicit form.
    vr: Option<VR>,
    length: u32,
    /// Where the value begins.
    value: usize,
}

impl Head {
    /// Where the value ends, where its length is said.
    fn end(&self) -> Option<usize> {
        (self.length != UNDEFINED)
            .then(|| self.value.checked_add(self.length as usize))
            .flatten()
    }
}

/// A walk over a data set; every function gives `None` where it cannot follow.
struct Walk<'d> {
    data: &'d [u8],
    edits: Vec<Edit>,
}

impl Walk<'_> {
    /// The whole data set.
    fn data_set(&mut self, form: Form) -> Option<()> {
        let (mut at, mut before, mut has_pixels) = (0, Tag(0, 0), false);
        while at < self.data.len() {
            let follows = |tag: Tag| at == 0 || tag > before;
            let walked = self
                .peek(at, form)
                .filter(|tag| follows(*tag))
                .and_then(|tag| {
                    let made = self.edits.len();
                    let end = self.element(at, form, 0).map(|(end, _)| end);
                    if end.is_none() {
                        self.edits.truncate(made);
                    }
                    Some((tag, end?))
                });
            match walked {
                Some((tag, end)) => {
                    (at, before) = (end, tag);
                    has_pixels |= tag == tags::PIXEL_DATA;
                }
                None if has_pixels => {
                    self.remove(at, self.data.len());
                    return Some(());
                }
                None => return None,
            }
        }
        Some(())
    }

    /// The tag of an element that can stand here.
    fn peek(&self, at: usize, form: Form) -> Option<Tag> {
        let tag = self.tag(at)?;
        let is_item = tag.group() == ITEM.group();
        let has_vr = form == Form::Implicit || self.vr(at).is_some() || self.is_no_vr(at);
        (!is_item && has_vr).then_some(tag)
    }

    /// One element: where it ends, and how many bytes its edits take away.
    fn element(&mut self, at: usize, form: Form, depth: usize) -> Option<(usize, usize)> {
        if form == Form::Explicit && self.vr(at).is_none() {
            return self.without_vr(at);
        }
        let head = self.head(at, form)?;
        if let Some(end) = head.end() {
            self.data.get(head.value..end)?;
            let removed = match head.vr {
                Some(VR::SQ) => self.items(head.value, Some(end), form, depth)?.1,
                _ => 0,
            };
            self.shorten(&head, removed);
            return Some((end, removed));
        }
        match head.vr {
            Some(VR::UN) => {
                let mut inner = Walk {
                    data: self.data,
                    edits: Vec::new(),
                };
                let (end, _) = inner.items(head.value, None, Form::Implicit, depth)?;
                self.remove(at, end);
                Some((end, end - at))
            }
            Some(VR::OB | VR::OW) => Some((self.fragments(head.value)?, 0)),
            None if head.tag == tags::PIXEL_DATA => Some((self.fragments(head.value)?, 0)),
            _ => self.items(head.value, None, form, depth),
        }
    }

    /// The items of a sequence: where it ends, and how many bytes are taken away.
    fn items(
        &mut self,
        mut at: usize,
        end: Option<usize>,
        form: Form,
        depth: usize,
    ) -> Option<(usize, usize)> {
        if depth > DEEPEST {
            return None;
        }
        let mut removed = 0;
        while Some(at) != end {
            let item = self.bare_head(at)?;
            match item.tag {
                SEQUENCE_END if end.is_none() => return Some((item.value, removed)),
                ITEM => {}
                _ => return None,
            }
            let (next, less) = self.item(&item, form, depth)?;
            self.shorten(&item, less);
            (at, removed) = (next, removed + less);
            if end.is_some_and(|end| at > end) {
                return None;
            }
        }
        Some((at, removed))
    }

    /// The elements of an item: where what follows begins, and how many bytes are taken away.
    fn item(&mut self, item: &Head, form: Form, depth: usize) -> Option<(usize, usize)> {
        let (mut at, mut removed) = (item.value, 0);
        loop {
            if item.end() == Some(at) {
                return Some((at, removed));
            }
            if item.end().is_none() && self.tag(at)? == ITEM_END {
                return Some((self.bare_head(at)?.value, removed));
            }
            let (next, less) = self.element(at, form, depth + 1)?;
            (at, removed) = (next, removed + less);
            if item.end().is_some_and(|end| at > end) {
                return None;
            }
        }
    }

    /// The fragments of encapsulated pixel data: where they end.
    fn fragments(&self, mut at: usize) -> Option<usize> {
        loop {
            let item = self.bare_head(at)?;
            match item.tag {
                SEQUENCE_END => return Some(item.value),
                ITEM => at = item.end()?,
                _ => return None,
            }
            self.data.get(..at)?;
        }
    }

    /// An element whose VR is none: with the dictionary's VR, or left out.
    fn without_vr(&mut self, at: usize) -> Option<(usize, usize)> {
        let tag = self.tag(at)?;
        if !self.is_no_vr(at) {
            return None;
        }
        let short = usize::from(self.two(at + 6)?);
        // The length has two bytes, or four behind two that are kept free.
        let ends = [
            Some((8, short)),
            self.four(at + 8).map(|long| (12, long as usize)),
        ];
        for (head, length) in ends.into_iter().flatten() {
            let Some(end) = at.checked_add(head + length) else {
                continue;
            };
            if !self.may_follow(end, tag) {
                continue;
            }
            let known = dictionary_vr(tag).filter(|vr| head == 8 && has_short_length(*vr));
            return Some(match known {
                Some(vr) => {
                    self.edits.push(Edit {
                        at: at + 4,
                        remove: 2,
                        insert: vr.to_bytes().to_vec(),
                    });
                    (end, 0)
                }
                None => {
                    self.remove(at, end);
                    (end, end - at)
                }
            });
        }
        None
    }

    /// Whether an explicit element with a greater tag, the end of an item or of all begins here.
    fn may_follow(&self, at: usize, before: Tag) -> bool {
        if at == self.data.len() {
            return true;
        }
        let Some(tag) = self.tag(at) else {
            return false;
        };
        let is_item = [ITEM, ITEM_END, SEQUENCE_END].contains(&tag);
        is_item || (tag > before && (self.vr(at).is_some() || self.is_no_vr(at)))
    }

    fn head(&self, at: usize, form: Form) -> Option<Head> {
        let vr = match form {
            Form::Implicit => return self.bare_head(at),
            Form::Explicit => self.vr(at)?,
        };
        let (length, value) = if has_short_length(vr) {
            (self.two(at + 6)?.into(), at + 8)
        } else {
            (self.four(at + 8)?, at + 12)
        };
        let (tag, vr) = (self.tag(at)?, Some(vr));
        Some(Head {
            tag,
            vr,
            length,
            value,
        })
    }

    /// Tag and length, as items and implicit elements have them.
    fn bare_head(&self, at: usize) -> Option<Head> {
        Some(Head {
            tag: self.tag(at)?,
            vr: None,
            length: self.four(at + 4)?,
            value: at + 8,
        })
    }

    fn tag(&self, at: usize) -> Option<Tag> {
        Some(Tag(self.two(at)?, self.two(at + 2)?))
    }

    fn vr(&self, at: usize) -> Option<VR> {
        let word = self.data.get(at + 4..at + 6)?;
        VR::from_binary([word[0], word[1]])
    }

    /// Whether what stands for the VR is none that any edition could have.
    fn is_no_vr(&self, at: usize) -> bool {
        let word = self.data.get(at + 4..at + 6);
        word.is_some_and(|word| {
            [*b"??", [0, 0], *b"  ", *b"--"]
                .iter()
                .any(|none| none == word)
        })
    }

    fn two(&self, at: usize) -> Option<u16> {
        let two = self.data.get(at..at.checked_add(2)?)?;
        Some(u16::from_le_bytes(two.try_into().ok()?))
    }

    fn four(&self, at: usize) -> Option<u32> {
        let four = self.data.get(at..at.checked_add(4)?)?;
        Some(u32::from_le_bytes(four.try_into().ok()?))
    }

    fn remove(&mut self, from: usize, to: usize) {
        self.edits.push(Edit {
            at: from,
            remove: to - from,
            insert: Vec::new(),
        });
    }

    /// The said length of what holds removed bytes is less by them.
    fn shorten(&mut self, head: &Head, removed: usize) {
        if removed > 0 && head.length != UNDEFINED {
            let length = head.length - removed as u32;
            self.edits.push(Edit {
                at: head.value - 4,
                remove: 4,
                insert: length.to_le_bytes().to_vec(),
            });
        }
    }

    fn apply(mut self) -> Vec<u8> {
        // The length of a sequence is known only behind it.
        self.edits.sort_by_key(|edit| edit.at);
        let (mut whole, mut at) = (Vec::with_capacity(self.data.len()), 0);
        for edit in &self.edits {
            whole.extend_from_slice(&self.data[at..edit.at]);
            whole.extend_from_slice(&edit.insert);
            at = edit.at + edit.remove;
        }
        whole.extend_from_slice(&self.data[at..]);
        whole
    }
}

/// Whether the length of an explicit element has two bytes (PS3.5, table 7.1-2).
fn has_short_length(vr: VR) -> bool {
    use VR::{OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV};
    ![OB, OD, OF, OL, OV, OW, SQ, SV, UC, UN, UR, UT, UV].contains(&vr)
}

fn dictionary_vr(tag: Tag) -> Option<VR> {
    let entry = StandardDataDictionary.by_tag(tag)?;
    match entry.vr {
        VirtualVr::Exact(vr) => Some(vr),
        VirtualVr::Xs | VirtualVr::Lt => Some(VR::US),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
            assert_eq!(*mended(&before, Form::Explicit), after, "{name}");
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
            let is_as_it_was = *mended(cut, Form::Explicit) == *cut;
            assert!(is_as_it_was || ends_with_unknown, "{length}");
        }
        let deep: Vec<u8> = (0..99_999)
            .flat_map(|_| {
                let item = bare(ITEM, UNDEFINED, b"");
                [long((0x18, 1), b"SQ", UNDEFINED, b""), item].concat()
            })
            .collect();
        assert_eq!(*mended(&deep, Form::Explicit), deep);
    }

    #[test]
    fn implicit_data_sets_lose_what_is_no_element() {
        let whole = [
            bare(Tag(8, 0x60), 2, b"DX"),
            bare(Tag(0x7fe0, 0x10), 4, &[1, 2, 3, 4]),
        ]
        .concat();
        let more = [&whole[..], &[0; 5]].concat();
        assert_eq!(*mended(&more, Form::Implicit), whole);
        assert_eq!(*mended(&whole, Form::Implicit), whole);
    }
}
