//! What a caller asks the products of a graph to run in.

/// What the products of a graph run in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arithmetic {
    /// As the file has it: int8 where the weights are; and attention over many keys, which
    /// no file can ask for.
    AsWritten,
    /// In int8, float weights too.
    Int8,
    /// In float, int8 weights as the floats that they stand for. No device runs so: it shows
    /// what int8 changes.
    Float,
}
