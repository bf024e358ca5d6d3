//! A graph made ready for one kernel, in one file that is read once and used where it was read.
//!
//! It holds the rewritten nodes, the constants and the packed weights; what the graph makes
//! of constants alone, as SAM2's position embedding at its size, is a constant here. A cold
//! start from it neither decodes nor packs nor computes anything.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `medfocus` |
//! | 8..12 | version of this format |
//! | 16..48 | lengths: of the ONNX file, the nodes, the index, this file |
//! | 48..80 | SHA-256 of the ONNX file that it was made from |
//! | 80..112 | name of the kernel's layout |
//! | 112..144 | HMAC-SHA-256 of all the rest, by the device's key |
//! | 192.. | the nodes (an ONNX model with the small constants), the index (JSON), the large constants and the weights, each on a multiple of 64 |
//!
//! A file that was made from another graph, for another kernel or by another version is
//! never opened: its name says so. One that is cut or altered, or that another device's key
//! made, is found by its HMAC and made anew. The bytes are read into memory that this process
//! alone has, and what was looked at there is what is used: a file that is changed afterwards
//! changes nothing.

use std::collections::BTreeMap;
use std::io::Read;
use std::ops::Range;
use std::sync::Arc;

use hmac::{Hmac, KeyInit, Mac};
use prost::Message;
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::floats::{File, Floats};
use super::kernels::{Kernel, PackedLinear};
use super::onnx::{Constant, Source, Values};
use super::plan::Weights;

/// Raised whenever the bytes or the rewriting change.
const VERSION: u32 = 5;
const MAGIC: &[u8; 8] = b"medfocus";
const LENGTHS: Range<usize> = 16..48;
const ORIGIN: Range<usize> = 48..80;
const LAYOUT: Range<usize> = 80..112;
const CODE: Range<usize> = 112..144;
const HEADER: usize = 192;
const LINE: usize = 64;
/// Bytes of the largest file that is read: a bundle's graphs are smaller.
const MOST: u64 = 4 << 30;

/// Floats from which on a constant lies apart from the nodes, to be used where it lies.
pub(super) const LARGE: usize = 1 << 12;

/// What lies behind the nodes, and where, in bytes from the file's start.
#[derive(Default, Serialize, Deserialize)]
struct Index {
    constants: Vec<Entry>,
    weights: Vec<Entry>,
}

impl Index {
    /// Places one behind the other from `start` on, each on a multiple of [`LINE`].
    fn of(large: &[Large<'_>], weights: &Weights, mut start: usize) -> Self {
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
        let constants = large.iter();
        let constants = constants
            .map(|(name, shape, floats)| place(name, shape, floats.len() * size_of::<f32>()))
            .collect();
        let weights = weights.iter();
        let weights = weights
            .map(|(name, weight)| place(name, &[], weight.as_bytes().len()))
            .collect();
        Self { constants, weights }
    }
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

/// The secret by which a device knows the prepared files that it made.
#[derive(Clone, PartialEq, Eq)]
pub struct PreparedKey([u8; PreparedKey::BYTES]);

impl PreparedKey {
    /// How long it is.
    pub const BYTES: usize = 32;

    /// A key of these bytes, which nobody can guess.
    #[must_use]
    pub fn new(bytes: [u8; Self::BYTES]) -> Self {
        Self(bytes)
    }

    /// Its bytes, for another process of the same device.
    #[must_use]
    pub fn bytes(&self) -> [u8; Self::BYTES] {
        self.0
    }

    /// The code of a file, of everything in it but the code itself.
    fn code(&self, header: &[u8], body: &[u8]) -> Hmac<Sha256> {
        // HMAC fills a key up with zeros to the hash's block.
        let mut block = [0; 64];
        block[..Self::BYTES].copy_from_slice(&self.0);
        let mut code = Hmac::<Sha256>::new(&block.into());
        code.update(&header[..CODE.start]);
        code.update(&header[CODE.end..]);
        code.update(body);
        code
    }
}

impl std::fmt::Debug for PreparedKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PreparedKey")
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

/// A prepared file that is still to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PreparedFile {
    /// Its name, by which [`Graph::prepared_name`](super::Graph::prepared_name) finds it again.
    pub name: String,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// The name of a graph's prepared file: of another graph, kernel or version it is another.
pub(super) fn name(graph: &str, origin: &Origin, kernel: Kernel) -> String {
    let digest: String = origin.sha256[..8]
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    let layout = PackedLinear::layout_name(kernel).replace('/', "-");
    format!("{graph}.{digest}.{layout}-{VERSION}")
}

/// The bytes of a prepared file.
///
/// # Errors
/// A sentence that says what cannot be written.
pub(super) fn write(
    origin: &Origin,
    kernel: Kernel,
    source: &Source,
    weights: &Weights,
    key: &PreparedKey,
) -> Result<Vec<u8>, String> {
    let (small, large) = apart(source);
    let nodes = small.to_model().encode_to_vec();
    // The index holds absolute places, whose digits decide its length: it is filled up
    // with spaces, which JSON allows, to what the largest places could need.
    let index_bytes = longest_index(&large, weights);
    let start = (HEADER + nodes.len() + index_bytes).next_multiple_of(LINE);
    let index = Index::of(&large, weights, start);
    let mut index = serde_json::to_vec(&index).map_err(|error| error.to_string())?;
    if index.len() > index_bytes {
        return Err("has a weight's name that cannot be written".to_owned());
    }
    index.resize(index_bytes, b' ');
    let mut file = vec![0; HEADER];
    file.extend(&nodes);
    file.extend(&index);
    file.resize(start, 0);
    for (_, _, floats) in &large {
        file.extend(floats.iter().flat_map(|float| float.to_ne_bytes()));
        file.resize(file.len().next_multiple_of(LINE), 0);
    }
    for weight in weights.values() {
        file.extend(weight.as_bytes());
    }
    let whole = file.len() as u64;
    let (header, body) = file.split_at_mut(HEADER);
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[ORIGIN].copy_from_slice(&origin.sha256);
    let lengths = [origin.length, nodes.len() as u64, index.len() as u64, whole];
    for (to, length) in header[LENGTHS].chunks_exact_mut(8).zip(lengths) {
        to.copy_from_slice(&length.to_le_bytes());
    }
    header[LAYOUT].copy_from_slice(&layout_bytes(kernel));
    let code = key.code(header, body).finalize().into_bytes();
    header[CODE].copy_from_slice(&code);
    Ok(file)
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
fn longest_index(large: &[Large<'_>], weights: &Weights) -> usize {
    let entry = |name: &str, axes: usize| 6 * name.len() + 24 * axes + 96;
    let constants = large
        .iter()
        .map(|(name, shape, _)| entry(name, shape.len()));
    let weights = weights.keys().map(|name| entry(name, 0));
    constants.chain(weights).sum::<usize>() + 64
}

/// Takes a graph from the `length` bytes of a prepared file.
///
/// # Errors
/// A sentence that says what is broken.
pub(super) fn read(
    file: &mut dyn Read,
    length: u64,
    origin: &Origin,
    kernel: Kernel,
    key: &PreparedKey,
) -> Result<(Source, Weights), String> {
    let held = Held::read(file, length)?;
    let [nodes, index] = check(held.as_ref(), origin, kernel, key)?;
    let index: Index =
        serde_json::from_slice(&held.as_ref()[index]).map_err(|error| error.to_string())?;
    let held: File = Arc::new(held);
    let mut constants = BTreeMap::new();
    for entry in index.constants {
        let floats = Floats::mapped(held.clone(), entry.range());
        let values = floats.ok_or("has a constant that lies outside")?;
        let constant = Constant {
            shape: entry.shape,
            values: Values::F32(values),
        };
        constants.insert(entry.name, constant);
    }
    let model = Source::decode(&(*held).as_ref()[nodes]);
    let source = model.and_then(|model| Source::from_model(model, constants));
    let source = source.map_err(|error| error.to_string())?;
    let mut weights = Weights::new();
    for entry in index.weights {
        let packed = PackedLinear::from_shared(kernel, held.clone(), entry.range());
        weights.insert(entry.name, packed.map_err(|error| error.to_string())?);
    }
    Ok((source, weights))
}

/// A file's bytes in memory of this process alone, from a multiple of 64 on.
struct Held {
    bytes: Vec<u8>,
    start: usize,
}

impl Held {
    fn read(file: &mut dyn Read, length: u64) -> Result<Self, String> {
        if length > MOST {
            return Err("is larger than any graph".to_owned());
        }
        let whole = usize::try_from(length).map_err(|error| error.to_string())?;
        let mut bytes: Vec<u8> = Vec::new();
        let reserved = bytes.try_reserve_exact(whole + LINE);
        reserved.map_err(|error| error.to_string())?;
        let start = bytes.as_ptr().align_offset(LINE).min(LINE);
        bytes.resize(start, 0);
        let read = file.take(length).read_to_end(&mut bytes);
        read.map_err(|error| format!("cannot be read: {error}"))?;
        Ok(Self { bytes, start })
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[self.start..]
    }
}

/// The places of nodes and index, if every byte is as this device wrote it.
fn check(
    bytes: &[u8],
    origin: &Origin,
    kernel: Kernel,
    key: &PreparedKey,
) -> Result<[Range<usize>; 2], String> {
    let (header, body) = bytes.split_at_checked(HEADER).ok_or("is cut short")?;
    let mut numbers = [0; 4];
    for (to, word) in numbers.iter_mut().zip(header[LENGTHS].chunks_exact(8)) {
        *to = u64::from_le_bytes(word.try_into().unwrap_or_default());
    }
    let [of_origin, of_nodes, of_index, whole] = numbers;
    let known = header[..8] == *MAGIC
        && header[8..12] == VERSION.to_le_bytes()
        && header[LAYOUT] == layout_bytes(kernel);
    if !known {
        return Err("was written by another version or for another kernel".to_owned());
    }
    if header[ORIGIN] != origin.sha256 || of_origin != origin.length {
        return Err("was made from another graph".to_owned());
    }
    if whole != bytes.len() as u64 {
        return Err(format!("holds {} bytes; {whole} were written", bytes.len()));
    }
    // Compared in a time that tells nothing of where they differ.
    let code = key.code(header, body).verify_slice(&header[CODE]);
    code.map_err(|_| "was altered after it was written, or not made by this device")?;
    let end = |start: usize, length: u64| {
        let end = usize::try_from(length)
            .ok()
            .and_then(|length| start.checked_add(length));
        end.filter(|end| *end <= bytes.len())
            .ok_or("has a part that lies outside")
    };
    let nodes = HEADER..end(HEADER, of_nodes)?;
    let index = nodes.end..end(nodes.end, of_index)?;
    Ok([nodes, index])
}

fn layout_bytes(kernel: Kernel) -> [u8; 32] {
    let mut bytes = [0; 32];
    let name = PackedLinear::layout_name(kernel);
    let length = name.len().min(32);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}
