//! Which fragments of compressed pixel data are one frame (PS3.5, A.4): fragments, the offset
//! table, how many frames there are and which is wanted come in, the bytes of one frame come out.
//!
//! Called for compressed pixel data. Never gives a frame where the fragments are not as many
//! frames as the header says: which of the two is wrong nobody knows.

use super::layout::NoValues;

/// Joins the fragments of frame `frame`, counted from 0.
pub(super) fn of(
    fragments: &[&[u8]],
    offsets: &[u32],
    frames: usize,
    frame: usize,
) -> Result<Vec<u8>, NoValues> {
    let starts = starts(fragments, offsets, frames)?;
    let start = *starts.get(frame).ok_or_else(|| missing(frame))?;
    let end = starts.get(frame + 1).copied().unwrap_or(fragments.len());
    Ok(fragments[start..end].concat())
}

/// The first fragment of each frame.
fn starts(fragments: &[&[u8]], offsets: &[u32], frames: usize) -> Result<Vec<usize>, NoValues> {
    let by_codestream = codestreams(fragments);
    // A fragment each, and no codestream that goes on in the next: run lengths have no marker.
    if fragments.len() == frames && by_codestream.is_none_or(|starts| starts.len() == frames) {
        return Ok((0..frames).collect());
    }
    let starts = codestreams(fragments)
        .or_else(|| by_offsets(fragments, offsets))
        .or_else(|| (frames == 1 && !fragments.is_empty()).then(|| vec![0]))
        .ok_or_else(|| missing(0))?;
    if starts.len() == frames {
        return Ok(starts);
    }
    Err(NoValues::Contradicted(format!(
        "the pixel data holds {} frames; the header says {frames}",
        starts.len()
    )))
}

fn missing(frame: usize) -> NoValues {
    NoValues::Broken(format!("the pixel data ends before frame {}", frame + 1))
}

/// Where codestreams begin: by their first marker, behind one that has ended. `None` where
/// fragments are none.
fn codestreams(fragments: &[&[u8]]) -> Option<Vec<usize>> {
    let mut starts = Vec::new();
    let mut has_ended = true;
    for (index, fragment) in fragments.iter().enumerate() {
        if has_ended && begins(fragment) {
            starts.push(index);
        }
        has_ended = ends(fragment);
    }
    (starts.first() == Some(&0)).then_some(starts)
}

/// JPEG and JPEG-LS, JPEG 2000 bare and in its file format.
fn begins(fragment: &[u8]) -> bool {
    const BOX: &[u8] = b"\0\0\0\x0cjP  ";
    [&[0xff, 0xd8, 0xff][..], &[0xff, 0x4f, 0xff, 0x51], BOX]
        .iter()
        .any(|start| fragment.starts_with(start))
}

/// The end marker is the same in all of them; some writers fill up behind it.
fn ends(fragment: &[u8]) -> bool {
    let filled = fragment.iter().rev().take_while(|byte| **byte == 0).count();
    fragment[..fragment.len() - filled].ends_with(&[0xff, 0xd9])
}

/// Where frames begin by the offset table, which counts from the first fragment's head.
fn by_offsets(fragments: &[&[u8]], offsets: &[u32]) -> Option<Vec<usize>> {
    let mut places = Vec::new();
    let mut at = 0;
    for fragment in fragments {
        places.push(at);
        // Each has the head of an item before it.
        at += fragment.len() + 8;
    }
    let index = |offset: &u32| places.iter().position(|place| *place == *offset as usize);
    let starts: Vec<usize> = offsets.iter().map(index).collect::<Option<_>>()?;
    let rises = starts.windows(2).all(|pair| pair[0] < pair[1]);
    (starts.first() == Some(&0) && rises).then_some(starts)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Parts of two codestreams, of a stream of run lengths, and one filled up.
    const A: &[u8] = &[0xff, 0xd8, 0xff, 0xe0, 1];
    const B: &[u8] = &[2, 3];
    const END: &[u8] = &[4, 0xff, 0xd9];
    const FILLED: &[u8] = &[5, 0xff, 0xd9, 0];
    const RUNS: &[u8] = &[1, 0, 0, 0];

    #[test]
    fn frames_are_found_by_codestreams_then_by_the_table() {
        type Case<'a> = (&'a [&'a [u8]], &'a [u32], usize, Option<&'a [usize]>);
        let cases: &[Case<'_>] = &[
            (&[A], &[], 1, Some(&[0])),
            (&[A, B, END], &[], 1, Some(&[0])),
            (&[A, B, END, A, FILLED], &[], 2, Some(&[0, 3])),
            (&[A, B, END, A, FILLED], &[0, 34], 2, Some(&[0, 3])),
            // A table that is wrong, or of another number of frames.
            (&[A, B, END, A, FILLED], &[0, 13], 2, Some(&[0, 3])),
            (&[A, B, END, A, FILLED], &[0], 2, Some(&[0, 3])),
            (&[A, END, A, END], &[], 3, None),
            (&[A, END, A, END], &[], 1, None),
            (&[A, END, A, END], &[], 4, None),
            // What looks like a start within a codestream is none.
            (&[A, A, END], &[], 1, Some(&[0])),
            (&[RUNS, RUNS], &[], 2, Some(&[0, 1])),
            (&[RUNS, RUNS], &[], 1, Some(&[0])),
            (&[RUNS, RUNS, RUNS], &[0, 24], 2, Some(&[0, 2])),
            (&[RUNS, RUNS, RUNS], &[0, 25], 2, None),
            (&[RUNS, RUNS, RUNS], &[], 2, None),
            (&[], &[], 1, None),
        ];
        for (fragments, offsets, frames, found) in cases {
            let starts = starts(fragments, offsets, *frames).ok();
            assert_eq!(
                starts.as_deref(),
                *found,
                "{fragments:?} {offsets:?} {frames}"
            );
        }
        assert_eq!(of(&[A, END, A, END], &[], 2, 1).unwrap(), [A, END].concat());
    }
}
