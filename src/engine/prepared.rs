//! A graph made ready for one kernel, in one file that is mapped and used where it lies.
//!
//! It holds the rewritten nodes, the constants and the packed weights; what the graph makes
//! of constants alone, as SAM2's position embedding at its size, is a constant here. A cold
//! start from it neither decodes nor packs nor computes anything, and its pages are the file's
//! own: the system may drop and read them again.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `medfocus` |
//! | 8..12 | version of this format |
//! | 16..32 | XXH3-128 of everything from byte 128 on |
//! | 32..64 | SHA-256 of the ONNX file that it was made from |
//! | 64..96 | lengths: of the ONNX file, the nodes, the index, this file |
//! | 96..128 | name of the kernel's layout |
//! | 128.. | the nodes (an ONNX model with the small constants), the index (JSON), the large constants and the weights, each on a multiple of 64 |
//!
//! A file that was made from another graph, for another kernel or by another version is
//! never opened: its name says so. One that is cut or altered is found by its hash and
//! made anew. The hash finds accidents; who may write the folder may write the bundle too.

use std::collections::BTreeMap;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::Mmap;
use prost::Message;
use serde::{Deserialize, Serialize};
use twox_hash::XxHash3_128;

use super::floats::{File, Floats};
use super::kernels::{Kernel, PackedLinear};
use super::onnx::{Constant, Source, Values};
use super::plan::Weights;

/// Raised whenever the bytes or the rewriting change.
const VERSION: u32 = 2;
const MAGIC: &[u8; 8] = b"medfocus";
const HEADER: usize = 128;
const LINE: usize = 64;

/// Floats from which on a constant lies apart from the nodes, to be used where it lies.
pub(super) const LARGE: usize = 1 << 12;

/// What lies behind the nodes, and where, in bytes from the file's start.
#[derive(Default, Serialize, Deserialize)]
struct Index {
    constants: Vec<Entry>,
    weights: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    /// Of a constant.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    shape: Vec<usize>,
    start: usize,
    length: usize,
}

impl Entry {
    fn range(&self) -> Range<usize> {
        self.start..self.start.saturating_add(self.length)
    }
}

/// The ONNX file that a prepared one stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// How many they are.
    pub length: u64,
}

impl Origin {
    /// From a hash as it is written, and a length; `None` where it is no such hash.
    #[must_use]
    pub fn new(sha256: &str, length: u64) -> Option<Self> {
        let mut bytes = [0; 32];
        if sha256.len() != 64 || !sha256.is_ascii() {
            return None;
        }
        for (to, digits) in bytes.iter_mut().zip(sha256.as_bytes().chunks_exact(2)) {
            *to = u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()?;
        }
        Some(Self {
            sha256: bytes,
            length,
        })
    }
}

/// Where a graph's prepared file lies in `folder`.
pub(super) fn path(folder: &Path, graph: &str, origin: &Origin, kernel: Kernel) -> PathBuf {
    let digest: String = origin.sha256[..8]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let layout = PackedLinear::layout_name(kernel).replace('/', "-");
    folder.join(format!("{graph}.{digest}.{layout}-{VERSION}"))
}

/// Writes a prepared file; whoever opens it meanwhile sees the old one or the new one.
///
/// # Errors
/// What the system says.
pub(super) fn write(
    path: &Path,
    origin: &Origin,
    kernel: Kernel,
    source: &Source,
    weights: &Weights,
) -> std::io::Result<u64> {
    let (small, large) = apart(source);
    let nodes = small.to_model().encode_to_vec();
    let first = |index: usize| (HEADER + nodes.len() + index).next_multiple_of(LINE);
    // The index holds absolute places, whose digits decide its length: it is filled up
    // with spaces, which JSON allows, to what the largest places could need.
    let room = room_for(&large, weights);
    let mut start = first(room);
    let mut place = |name: &str, shape: &[usize], length: usize| {
        let entry = Entry {
            name: name.to_owned(),
            shape: shape.to_vec(),
            start,
            length,
        };
        start = (start + length).next_multiple_of(LINE);
        entry
    };
    let bytes_of = |floats: &Floats| floats.len() * size_of::<f32>();
    let index = Index {
        constants: large
            .iter()
            .map(|(name, shape, floats)| place(name, shape, bytes_of(floats)))
            .collect(),
        weights: weights
            .iter()
            .map(|(name, weight)| place(name, &[], weight.as_bytes().len()))
            .collect(),
    };
    let mut index = serde_json::to_vec(&index)?;
    if index.len() > room {
        return Err(std::io::Error::other(
            "a weight's name that cannot be written",
        ));
    }
    index.resize(room, b' ');
    let mut body = nodes.clone();
    body.extend(&index);
    body.resize(first(room) - HEADER, 0);
    for (_, _, floats) in &large {
        body.extend(floats.iter().flat_map(|float| float.to_ne_bytes()));
        body.resize(body.len().next_multiple_of(LINE), 0);
    }
    for weight in weights.values() {
        body.extend(weight.as_bytes());
    }
    let mut header = [0; HEADER];
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[16..32].copy_from_slice(&XxHash3_128::oneshot(&body).to_le_bytes());
    header[32..64].copy_from_slice(&origin.sha256);
    let lengths = [
        origin.length,
        nodes.len() as u64,
        index.len() as u64,
        (HEADER + body.len()) as u64,
    ];
    for (to, length) in header[64..96].chunks_exact_mut(8).zip(lengths) {
        to.copy_from_slice(&length.to_le_bytes());
    }
    header[96..].copy_from_slice(&layout_bytes(kernel));
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    let unfinished = path.with_extension("unfinished");
    let mut file = std::fs::File::create(&unfinished)?;
    file.write_all(&header)?;
    file.write_all(&body)?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    Ok((HEADER + body.len()) as u64)
}

/// A name, a shape and the values.
type Large<'a> = (&'a str, &'a [usize], &'a Floats);

/// The graph without its large float constants, and those.
fn apart(source: &Source) -> (Source, Vec<Large<'_>>) {
    let mut large = Vec::new();
    for (name, constant) in &source.constants {
        if let Some(floats) = constant.floats().filter(|floats| floats.len() >= LARGE) {
            large.push((name.as_str(), constant.shape.as_slice(), floats));
        }
    }
    let mut small = source.clone();
    small
        .constants
        .retain(|name, _| large.iter().all(|(other, _, _)| other != name));
    (small, large)
}

/// Bytes that the index may take: more than its longest numbers need.
fn room_for(large: &[Large<'_>], weights: &Weights) -> usize {
    let entry = |name: &str, axes: usize| 6 * name.len() + 24 * axes + 96;
    let constants = large
        .iter()
        .map(|(name, shape, _)| entry(name, shape.len()));
    let weights = weights.keys().map(|name| entry(name, 0));
    constants.chain(weights).sum::<usize>() + 64
}

/// Opens a prepared file; `None` where there is none.
///
/// # Errors
/// A sentence that says what is broken.
pub(super) fn open(
    path: &Path,
    origin: &Origin,
    kernel: Kernel,
) -> Result<Option<(Source, Weights)>, String> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot be read: {error}")),
    };
    // SAFETY: the file is only ever replaced by `rename`, never written in place, so the
    // mapped bytes do not change; who alters them all the same can alter the program too.
    #[allow(unsafe_code)]
    let map = unsafe { Mmap::map(&file) }.map_err(|error| format!("cannot be mapped: {error}"))?;
    let [nodes, index] = check(&map, origin, kernel)?;
    let index: Index = serde_json::from_slice(&map[index]).map_err(|error| error.to_string())?;
    let map: File = Arc::new(map);
    let mut constants = BTreeMap::new();
    for entry in index.constants {
        let floats = Floats::mapped(map.clone(), entry.range());
        let values = floats.ok_or("has a constant that lies outside")?;
        let constant = Constant {
            shape: entry.shape,
            values: Values::F32(values),
        };
        constants.insert(entry.name, constant);
    }
    let source = Source::read_beside(&(*map).as_ref()[nodes], constants);
    let source = source.map_err(|error| error.to_string())?;
    let mut weights = Weights::new();
    for entry in index.weights {
        let packed = PackedLinear::from_shared(kernel, map.clone(), entry.range());
        weights.insert(entry.name, packed.map_err(|error| error.to_string())?);
    }
    Ok(Some((source, weights)))
}

/// The places of nodes and index, if every byte is as it was written.
fn check(bytes: &[u8], origin: &Origin, kernel: Kernel) -> Result<[Range<usize>; 2], String> {
    let header = bytes.get(..HEADER).ok_or("is cut short")?;
    let number = |at: usize| {
        let mut word = [0; 8];
        word.copy_from_slice(&header[at..at + 8]);
        u64::from_le_bytes(word)
    };
    let known = header[..8] == *MAGIC
        && header[8..12] == VERSION.to_le_bytes()
        && header[96..] == layout_bytes(kernel);
    if !known {
        return Err("was written by another version or for another kernel".to_owned());
    }
    if header[32..64] != origin.sha256 || number(64) != origin.length {
        return Err("was made from another graph".to_owned());
    }
    if number(88) != bytes.len() as u64 {
        return Err(format!(
            "holds {} bytes; {} were written",
            bytes.len(),
            number(88)
        ));
    }
    if header[16..32] != XxHash3_128::oneshot(&bytes[HEADER..]).to_le_bytes() {
        return Err("was altered after it was written".to_owned());
    }
    let end = |start: usize, length: u64| {
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| start.checked_add(length));
        end.filter(|end| *end <= bytes.len())
            .ok_or("has a part that lies outside")
    };
    let nodes = HEADER..end(HEADER, number(72))?;
    let index = nodes.end..end(nodes.end, number(80))?;
    Ok([nodes, index])
}

fn layout_bytes(kernel: Kernel) -> [u8; 32] {
    let mut bytes = [0; 32];
    let name = PackedLinear::layout_name(kernel);
    let length = name.len().min(32);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}
