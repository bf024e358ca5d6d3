//! A data set that other software reads becomes one that the strict parser reads: bytes come in,
//! the same bytes or mended ones come out. Called where a file is opened, before it is parsed.
//!
//! Mended are, at any depth, elements of VR `UN` and undefined length, whose content is written
//! implicitly whatever the rest is (PS3.5, 6.2.2 note 4; they are private and left out), elements
//! of a VR that is none (`??`, two NULs; read by the dictionary's VR, or left out), and bytes
//! behind the pixel data that are no elements. Names of character sets are hidden, so that the
//! parser leaves texts as they are for [`legible`](super::legible). Never changes another value, and
//! never touches what it cannot follow to its end: that file goes to the parser as it is.

use std::borrow::Cow;
use std::ops::Range;

use dicom_core::dictionary::{DataDictionary, VirtualVr};
use dicom_core::{Tag, VR};
use dicom_dictionary_std::{StandardDataDictionary, tags};

use super::legible::HIDDEN;

/// How deep sequences may lie in each other: no picture needs a tenth of it.
const DEEPEST: usize = 32;

const UNDEFINED: u32 = u32::MAX;
const ITEM: Tag = Tag(0xfffe, 0xe000);
const ITEM_END: Tag = Tag(0xfffe, 0xe00d);
const SEQUENCE_END: Tag = Tag(0xfffe, 0xe0dd);

/// How a data set is written (PS3.5, 7.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// Each element names its VR.
    Explicit,
    /// The same, big-endian.
    ExplicitBig,
    /// The dictionary knows it.
    Implicit,
}

/// The data set as the parser reads it, and whether it could be followed to its end: then its
/// texts are left as they are.
pub(super) fn mended(data: &[u8], form: Form) -> (Cow<'_, [u8]>, bool) {
    let mut walk = Walk {
        data,
        is_big: form == Form::ExplicitBig,
        edits: Vec::new(),
    };
    match walk.data_set(form) {
        Some(()) if !walk.edits.is_empty() => (Cow::Owned(walk.apply()), true),
        followed => (Cow::Borrowed(data), followed.is_some()),
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
    is_big: bool,
    edits: Vec<Edit>,
}

impl Walk<'_> {
    /// The whole data set.
    fn data_set(&mut self, form: Form) -> Option<()> {
        let (mut at, mut before, mut has_pixels) = (0, Tag(0, 0), false);
        while at < self.data.len() {
            // What follows the pixels may be no elements.
            let follows = |tag: Tag| !has_pixels || tag > before;
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
        if form != Form::Implicit && self.vr(at).is_none() {
            return self.without_vr(at);
        }
        let head = self.head(at, form)?;
        if let Some(end) = head.end() {
            self.data.get(head.value..end)?;
            let removed = match head.vr.or_else(|| dictionary_vr(head.tag)) {
                Some(VR::SQ) => self.items(head.value, Some(end), form, depth)?.1,
                _ => 0,
            };
            if head.tag == tags::SPECIFIC_CHARACTER_SET {
                self.hide(head.value..end);
            }
            self.shorten(&head, removed);
            return Some((end, removed));
        }
        match head.vr {
            Some(VR::UN) => {
                let mut inner = Walk {
                    data: self.data,
                    is_big: false,
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
            Form::Explicit | Form::ExplicitBig => self.vr(at)?,
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
        let two = u16::from_le_bytes(two.try_into().ok()?);
        Some(if self.is_big { two.swap_bytes() } else { two })
    }

    fn four(&self, at: usize) -> Option<u32> {
        let four = self.data.get(at..at.checked_add(4)?)?;
        let four = u32::from_le_bytes(four.try_into().ok()?);
        Some(if self.is_big { four.swap_bytes() } else { four })
    }

    /// The first letter of a character set's name gets a bit that no letter has.
    fn hide(&mut self, name: Range<usize>) {
        if let Some(&first) = self.data.get(name.clone()).and_then(<[u8]>::first)
            && first.is_ascii()
            && first != b'\\'
        {
            self.edits.push(Edit {
                at: name.start,
                remove: 1,
                insert: vec![first | HIDDEN],
            });
        }
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
            let length = if self.is_big {
                length.swap_bytes()
            } else {
                length
            };
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
mod tests;
