//! A graph made ready for one kernel, in one file that is read once and used where it was read.
//!
//! It holds the typed graph, the constants and the packed weights; what the graph makes
//! of constants alone, as SAM2's position embedding at its size, is a constant here. A cold
//! start from it neither decodes nor packs nor computes anything.
//!
//! | bytes | what |
//! |---|---|
//! | 0..8 | `medfocus` |
//! | 8..12 | version of this format |
//! | 16..40 | lengths: of the ONNX file, the graph, this file |
//! | 48..80 | SHA-256 of the ONNX file that it was made from |
//! | 80..112 | name of the kernel's layout |
//! | 112..144 | HMAC-SHA-256 of all the rest, by the device's key |
//! | 192.. | the graph, and where its floats and weights lie; then these, each on a multiple of 64 |
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
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use super::floats::{File, Floats};
use super::kernels::{Kernel, PackedLinear};
use super::plan::Weights;
use super::typed::{Constant, TypedGraph, Values};

/// Raised whenever the bytes or the rewriting change.
const VERSION: u32 = 6;
const MAGIC: &[u8; 8] = b"medfocus";
const LENGTHS: Range<usize> = 16..40;
const ORIGIN: Range<usize> = 48..80;
const LAYOUT: Range<usize> = 80..112;
const CODE: Range<usize> = 112..144;
const HEADER: usize = 192;
const LINE: usize = 64;
/// Bytes of the largest file that is read: a bundle's graphs are smaller.
const MOST: u64 = 4 << 30;

/// Floats from which on what a graph makes of its constants is worth a place in the file.
pub(super) const LARGE: usize = 1 << 12;

/// What stands first, and says where the rest lies.
#[derive(Serialize, Deserialize)]
struct Contents {
    /// Without its constants of floats.
    graph: TypedGraph,
    floats: Vec<Entry>,
    weights: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct Entry {
    name: String,
    /// Of a constant.
    shape: Vec<usize>,
    /// In bytes behind the contents.
    start: usize,
    length: usize,
}

impl Entry {
    fn range(&self, from: usize) -> Range<usize> {
        let start = self.start.saturating_add(from);
        start..start.saturating_add(self.length)
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
    mut graph: TypedGraph,
    weights: &Weights,
    key: &PreparedKey,
) -> Result<Vec<u8>, String> {
    let (constants, apart): (BTreeMap<_, _>, BTreeMap<_, _>) = graph
        .constants
        .into_iter()
        .partition(|(_, constant)| constant.floats().is_none());
    graph.constants = constants;
    let mut start = 0;
    let mut place = |name: &str, shape: Vec<usize>, length: usize| {
        let entry = Entry {
            name: name.to_owned(),
            shape,
            start,
            length,
        };
        start = (start + length).next_multiple_of(LINE);
        entry
    };
    let floats = apart.iter().filter_map(|(name, constant)| {
        let length = size_of_val::<[f32]>(constant.floats()?);
        Some(place(name, constant.shape.clone(), length))
    });
    let floats = floats.collect();
    let packed = weights.iter();
    let packed = packed.map(|(name, weight)| place(name, Vec::new(), weight.as_bytes().len()));
    let contents = Contents {
        graph,
        floats,
        weights: packed.collect(),
    };
    let contents = postcard::to_allocvec(&contents).map_err(|error| error.to_string())?;
    let mut file = vec![0; HEADER];
    file.extend(&contents);
    for floats in apart.values().filter_map(Constant::floats) {
        file.resize(file.len().next_multiple_of(LINE), 0);
        file.extend(floats.iter().flat_map(|float| float.to_ne_bytes()));
    }
    for weight in weights.values() {
        file.resize(file.len().next_multiple_of(LINE), 0);
        file.extend(weight.as_bytes());
    }
    let whole = file.len() as u64;
    let (header, body) = file.split_at_mut(HEADER);
    header[..8].copy_from_slice(MAGIC);
    header[8..12].copy_from_slice(&VERSION.to_le_bytes());
    header[ORIGIN].copy_from_slice(&origin.sha256);
    let lengths = [origin.length, contents.len() as u64, whole];
    for (to, length) in header[LENGTHS].chunks_exact_mut(8).zip(lengths) {
        to.copy_from_slice(&length.to_le_bytes());
    }
    header[LAYOUT].copy_from_slice(&layout_bytes(kernel));
    let code = key.code(header, body).finalize().into_bytes();
    header[CODE].copy_from_slice(&code);
    Ok(file)
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
) -> Result<(TypedGraph, Weights), String> {
    let held = Held::read(file, length)?;
    let contents = check(held.as_ref(), origin, kernel, key)?;
    let behind = contents.end.next_multiple_of(LINE);
    let contents: Contents =
        postcard::from_bytes(&held.as_ref()[contents]).map_err(|error| error.to_string())?;
    let held: File = Arc::new(held);
    let mut graph = contents.graph;
    for entry in contents.floats {
        let floats = Floats::mapped(held.clone(), entry.range(behind));
        let values = floats.ok_or("has a constant that lies outside")?;
        let constant = Constant {
            shape: entry.shape,
            values: Values::F32(values),
        };
        graph.constants.insert(entry.name, constant);
    }
    let mut weights = Weights::new();
    for entry in contents.weights {
        let packed = PackedLinear::from_shared(kernel, held.clone(), entry.range(behind));
        weights.insert(entry.name, packed.map_err(|error| error.to_string())?);
    }
    Ok((graph, weights))
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

/// The place of the contents, if every byte is as this device wrote it.
fn check(
    bytes: &[u8],
    origin: &Origin,
    kernel: Kernel,
    key: &PreparedKey,
) -> Result<Range<usize>, String> {
    let (header, body) = bytes.split_at_checked(HEADER).ok_or("is cut short")?;
    let mut numbers = [0; 3];
    for (to, word) in numbers.iter_mut().zip(header[LENGTHS].chunks_exact(8)) {
        *to = u64::from_le_bytes(word.try_into().unwrap_or_default());
    }
    let [of_origin, of_contents, whole] = numbers;
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
    let end = usize::try_from(of_contents).ok();
    let end = end.and_then(|length| length.checked_add(HEADER));
    let end = end.filter(|end| *end <= bytes.len());
    Ok(HEADER..end.ok_or("has contents that lie outside")?)
}

fn layout_bytes(kernel: Kernel) -> [u8; 32] {
    let mut bytes = [0; 32];
    let name = PackedLinear::layout_name(kernel);
    let length = name.len().min(32);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}
