//! Weights of a linear layer, laid out for one kernel, in memory or in a mapped file.
//!
//! The bytes are the same in both: a header of one cache line, then (int8 only) one scale
//! an output, then the panels, each part on a line of its own. Numbers are little-endian.
//! A panel holds [`Tile::columns`] outputs: `[unit][output][neighbour]`, codes plus the
//! kernel's offset, or floats with a unit of 1; outputs that fill up the last panel are
//! zeros.
//!
//! What it must never do: take bytes packed for another kernel or by another version.

use std::ops::Range;
use std::sync::Arc;

use super::aligned::{Aligned, LINE, lines_of, view, view_mut};
use super::isa::{Isa, Routine, Tile};
use super::select::Kernel;

/// Raised whenever the bytes of any kernel change.
const VERSION: u32 = 1;
const MAGIC: [u8; 8] = *b"mflinear";

/// The deepest layer whose integer sums fit in 32 bits: `127 * 128 * DEEPEST < 2^31`.
const DEEPEST: usize = 1 << 17;

/// What a layer multiplies in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// int8 codes, 32-bit sums.
    Int8,
    /// Single precision.
    Float,
}

/// The order of unpacked weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// `[output][input]`: ONNX's `Gemm` with `transB`, `Conv`.
    OutputsFirst,
    /// `[input][output]`: ONNX's `MatMul`.
    InputsFirst,
}

/// Weights or bytes that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PackError {
    /// The lengths do not fit the shape.
    #[error("{what} has {found} values; expected {expected}")]
    Length {
        /// Weights or scales.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many the shape asks for.
        expected: usize,
    },
    /// A layer of no inputs or outputs, or so deep that its integer sums could overflow.
    #[error("a layer of {inputs} inputs and {outputs} outputs cannot be computed in int8 or float")]
    Shape {
        /// Values in.
        inputs: usize,
        /// Values out.
        outputs: usize,
    },
    /// The bytes are not what this version packs for this kernel.
    #[error("packed weights: {what} is {found}; expected {expected}")]
    Foreign {
        /// Which part of the header.
        what: &'static str,
        /// What it holds.
        found: String,
        /// What this program packs.
        expected: String,
    },
}

/// The weights of one linear layer, packed for one kernel.
#[derive(Clone)]
pub struct PackedLinear {
    kernel: Kernel,
    shape: Shape,
    memory: Memory,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Shape {
    arithmetic: Arithmetic,
    outputs: usize,
    inputs: usize,
}

#[derive(Clone)]
enum Memory {
    Own(Arc<Aligned>),
    Shared(Arc<dyn AsRef<[u8]> + Send + Sync>, Range<usize>),
}

impl PackedLinear {
    /// Packs int8 weights: `codes` of `outputs * inputs` values in `order`, and one scale
    /// an output.
    ///
    /// # Errors
    /// [`PackError::Length`] or [`PackError::Shape`].
    pub fn int8(
        kernel: Kernel,
        codes: &[i8],
        order: Order,
        scales: &[f32],
        [outputs, inputs]: [usize; 2],
    ) -> Result<Self, PackError> {
        let shape = Shape::new(Arithmetic::Int8, outputs, inputs)?;
        check_length("the weights", codes.len(), outputs.saturating_mul(inputs))?;
        check_length("the scales", scales.len(), outputs)?;
        let mut memory = Aligned::zeroed(shape.bytes(kernel));
        let bytes = memory.bytes_mut();
        bytes[..LINE].copy_from_slice(&shape.header(kernel));
        for (to, scale) in bytes[shape.scales(kernel)].chunks_exact_mut(4).zip(scales) {
            to.copy_from_slice(&scale.to_le_bytes());
        }
        kernel.enter(PackCodes {
            codes,
            order,
            shape,
            panels: &mut bytes[shape.panels(kernel)],
        });
        Ok(Self::own(kernel, shape, memory))
    }

    /// Packs float weights: `outputs * inputs` values in `order`.
    ///
    /// # Errors
    /// [`PackError::Length`] or [`PackError::Shape`].
    pub fn float(
        kernel: Kernel,
        weights: &[f32],
        order: Order,
        [outputs, inputs]: [usize; 2],
    ) -> Result<Self, PackError> {
        let shape = Shape::new(Arithmetic::Float, outputs, inputs)?;
        check_length("the weights", weights.len(), outputs.saturating_mul(inputs))?;
        let mut memory = Aligned::zeroed(shape.bytes(kernel));
        let bytes = memory.bytes_mut();
        bytes[..LINE].copy_from_slice(&shape.header(kernel));
        let columns = kernel.float_tile().columns;
        let panels = view_mut::<f32>(&mut bytes[shape.panels(kernel)]);
        for (p, panel) in panels.chunks_exact_mut(columns * inputs).enumerate() {
            for (input, to) in panel.chunks_exact_mut(columns).enumerate() {
                for (to, output) in to.iter_mut().zip(p * columns..outputs) {
                    *to = weights[order.index(shape, output, input)];
                }
            }
        }
        Ok(Self::own(kernel, shape, memory))
    }

    /// Weights as [`PackedLinear::as_bytes`] gave them, used where they are: nothing is
    /// copied. `range` must start on a multiple of 64 bytes in memory.
    ///
    /// The header is checked, the weights are not: they are the caller's to trust.
    ///
    /// # Errors
    /// [`PackError::Foreign`].
    pub fn from_shared(
        kernel: Kernel,
        bytes: Arc<dyn AsRef<[u8]> + Send + Sync>,
        range: Range<usize>,
    ) -> Result<Self, PackError> {
        let all = (*bytes).as_ref();
        let foreign = |what, found: String, expected: String| PackError::Foreign {
            what,
            found,
            expected,
        };
        let Some(own) = all.get(range.clone()) else {
            let (found, expected) = (all.len().to_string(), range.end.to_string());
            return Err(foreign("the file's length", found, expected));
        };
        let over = own.as_ptr().addr() % LINE;
        if over != 0 {
            let expected = format!("a multiple of {LINE} bytes");
            return Err(foreign("the start", format!("{over} bytes over"), expected));
        }
        let shape = Shape::from_header(kernel, own)?;
        let (found, expected) = (own.len(), shape.bytes(kernel));
        if found != expected {
            return Err(foreign(
                "the length",
                found.to_string(),
                expected.to_string(),
            ));
        }
        Ok(Self {
            kernel,
            shape,
            memory: Memory::Shared(bytes, range),
        })
    }

    /// Header, scales and panels: what [`PackedLinear::from_shared`] takes on the same
    /// kernel. The length is a multiple of 64.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        match &self.memory {
            Memory::Own(memory) => &memory.bytes()[..self.shape.bytes(self.kernel)],
            Memory::Shared(bytes, range) => &(**bytes).as_ref()[range.clone()],
        }
    }

    /// The kernel whose layout this is.
    #[must_use]
    pub fn kernel(&self) -> Kernel {
        self.kernel
    }

    /// What the layer multiplies in.
    #[must_use]
    pub fn arithmetic(&self) -> Arithmetic {
        self.shape.arithmetic
    }

    /// Values in a row out.
    #[must_use]
    pub fn outputs(&self) -> usize {
        self.shape.outputs
    }

    /// Values in a row in.
    #[must_use]
    pub fn inputs(&self) -> usize {
        self.shape.inputs
    }

    /// Names kernel and version: two layouts with the same name are the same bytes.
    #[must_use]
    pub fn layout_name(kernel: Kernel) -> String {
        format!("{}/{VERSION}", kernel.name())
    }

    fn own(kernel: Kernel, shape: Shape, memory: Aligned) -> Self {
        Self {
            kernel,
            shape,
            memory: Memory::Own(Arc::new(memory)),
        }
    }

    pub(super) fn panel_count(&self) -> usize {
        self.outputs()
            .div_ceil(self.shape.tile(self.kernel).columns)
    }

    /// Panel `p`'s bytes.
    pub(super) fn panel(&self, p: usize) -> &[u8] {
        let length = self.shape.panel_bytes(self.kernel);
        &self.as_bytes()[self.shape.panels(self.kernel)][p * length..][..length]
    }

    /// The scales of all panels' outputs; 0 for those that only fill up the last.
    pub(super) fn scales(&self) -> &[f32] {
        view(&self.as_bytes()[self.shape.scales(self.kernel)])
    }
}

impl std::fmt::Debug for PackedLinear {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PackedLinear")
            .field("kernel", &self.kernel)
            .field("shape", &self.shape)
            .finish_non_exhaustive()
    }
}

impl Order {
    fn index(self, shape: Shape, output: usize, input: usize) -> usize {
        match self {
            Self::OutputsFirst => output * shape.inputs + input,
            Self::InputsFirst => input * shape.outputs + output,
        }
    }
}

impl Shape {
    fn new(arithmetic: Arithmetic, outputs: usize, inputs: usize) -> Result<Self, PackError> {
        let shape = Self {
            arithmetic,
            outputs,
            inputs,
        };
        let sound = inputs > 0 && outputs > 0 && inputs < DEEPEST && outputs < 1 << 31;
        sound
            .then_some(shape)
            .ok_or(PackError::Shape { inputs, outputs })
    }

    fn tile(self, kernel: Kernel) -> Tile {
        match self.arithmetic {
            Arithmetic::Int8 => kernel.tile(),
            Arithmetic::Float => kernel.float_tile(),
        }
    }

    fn padded_outputs(self, kernel: Kernel) -> usize {
        self.outputs.next_multiple_of(self.tile(kernel).columns)
    }

    fn panel_bytes(self, kernel: Kernel) -> usize {
        let tile = self.tile(kernel);
        let values = tile.padded_depth(self.inputs) * tile.columns;
        match self.arithmetic {
            Arithmetic::Int8 => values,
            Arithmetic::Float => values * size_of::<f32>(),
        }
    }

    fn scales(self, kernel: Kernel) -> Range<usize> {
        match self.arithmetic {
            Arithmetic::Int8 => LINE..LINE + lines_of::<f32>(self.padded_outputs(kernel)),
            Arithmetic::Float => LINE..LINE,
        }
    }

    fn panels(self, kernel: Kernel) -> Range<usize> {
        let start = self.scales(kernel).end;
        let count = self.padded_outputs(kernel) / self.tile(kernel).columns;
        start..start + count * self.panel_bytes(kernel)
    }

    /// Length of the whole, filled up to a line.
    fn bytes(self, kernel: Kernel) -> usize {
        self.panels(kernel).end.next_multiple_of(LINE)
    }

    fn header(self, kernel: Kernel) -> [u8; LINE] {
        let mut header = [0; LINE];
        header[..8].copy_from_slice(&MAGIC);
        header[8..12].copy_from_slice(&VERSION.to_le_bytes());
        header[12] = self.arithmetic as u8;
        header[16..24].copy_from_slice(&(self.outputs as u64).to_le_bytes());
        header[24..32].copy_from_slice(&(self.inputs as u64).to_le_bytes());
        let name = kernel.name().as_bytes();
        header[32..32 + name.len()].copy_from_slice(name);
        header
    }

    /// The shape that a header tells of, if this program on this kernel would write just
    /// this header.
    fn from_header(kernel: Kernel, bytes: &[u8]) -> Result<Self, PackError> {
        let foreign = |found: &[u8]| PackError::Foreign {
            what: "the header",
            found: String::from_utf8_lossy(found).replace('\0', " "),
            expected: format!("that of {}", Self::layout(kernel)),
        };
        let header = bytes
            .get(..LINE)
            .filter(|header| header.starts_with(&MAGIC));
        let header = header.ok_or_else(|| foreign(&bytes[..bytes.len().min(LINE)]))?;
        let number = |at: usize| {
            let number = header[at..at + 8].try_into().map(u64::from_le_bytes);
            number.ok().and_then(|n| usize::try_from(n).ok())
        };
        let arithmetic = match header[12] {
            0 => Arithmetic::Int8,
            1 => Arithmetic::Float,
            _ => return Err(foreign(header)),
        };
        let (Some(outputs), Some(inputs)) = (number(16), number(24)) else {
            return Err(foreign(header));
        };
        let shape = Self::new(arithmetic, outputs, inputs)?;
        if header != shape.header(kernel) {
            return Err(foreign(header));
        }
        Ok(shape)
    }

    fn layout(kernel: Kernel) -> String {
        PackedLinear::layout_name(kernel)
    }
}

/// Lays codes out in panels.
struct PackCodes<'a> {
    codes: &'a [i8],
    order: Order,
    shape: Shape,
    panels: &'a mut [u8],
}

impl Routine for PackCodes<'_> {
    type Output = ();

    #[inline(always)]
    fn run<I: Isa>(self, _isa: I) {
        let Tile { columns, unit, .. } = I::TILE;
        let depth = I::TILE.padded_depth(self.shape.inputs);
        // The code 0, also where a panel is filled up.
        self.panels.fill(I::OFFSET);
        for (p, panel) in self.panels.chunks_exact_mut(depth * columns).enumerate() {
            let outputs = p * columns..self.shape.outputs.min((p + 1) * columns);
            for input in 0..self.shape.inputs {
                let at = input / unit * columns * unit + input % unit;
                for (c, output) in outputs.clone().enumerate() {
                    let code = self.codes[self.order.index(self.shape, output, input)];
                    panel[at + c * unit] = (code as u8).wrapping_add(I::OFFSET);
                }
            }
        }
    }
}

fn check_length(what: &'static str, found: usize, expected: usize) -> Result<(), PackError> {
    let error = PackError::Length {
        what,
        found,
        expected,
    };
    (found == expected).then_some(()).ok_or(error)
}
