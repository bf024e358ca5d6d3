//! A graph and its input shapes become a plan: steps in order, and one arena for all values between
//! them. The length of the arena is known before anything runs.
//!
//! | file | what for |
//! |---|---|
//! | `lower.rs` | the walk over the nodes |
//! | `products.rs`, `convolutions.rs`, `residual.rs`, `attention.rs`, `resample.rs`, `values.rs`, `moves.rs` | what the walk makes of its operators |
//! | `emit.rs`, `tensor.rs` | how the walk adds steps; what it knows of a value |
//! | `groups.rs` | windowed attention, one group of windows after another |
//! | `known.rs`, `kinds.rs` | integers that are known while planning; which operators may take the others |
//! | `view.rs` | where a value's elements lie |
//! | `step.rs`, `elementwise.rs`, `heads.rs`, `pixels.rs` | what a step does |
//! | `arena.rs` | where each buffer lies |
//!
//! A run allocates only its outputs. Nothing here reads files or knows what a graph is for.

mod arena;
mod attention;
mod convolutions;
mod elementwise;
mod emit;
mod groups;
mod heads;
mod kinds;
mod known;
mod lower;
mod moves;
mod pixels;
mod products;
mod resample;
mod residual;
mod step;
mod tensor;
mod values;
mod view;

use std::ops::Range;
use std::time::{Duration, Instant};

use arena::Arena;
pub(super) use elementwise::Unary;
pub(super) use step::{Layer, Product, RowsRead, Step, Weights, Work};

use step::Place;

use super::Arithmetic;
use super::floats::Floats;
use super::kernels::{Cpu, ShapeError};
use super::refused::Refused;
use super::typed::{Constant, TypedGraph, Values};

/// Floats in a cache line, on which the arena starts.
const LINE: usize = 16;

/// The most buffers of the arena that one step touches: both halves of an MLP read an
/// activation and a residual and write one.
const MOST_BUFFERS: usize = 4;

/// Steps for one set of input shapes.
#[derive(Debug)]
pub(super) struct Plan {
    pub steps: Vec<Step>,
    pub constants: Vec<Floats>,
    arena: Arena,
    outputs: Vec<(Place, Vec<usize>)>,
}

/// A step that failed, which only a fault of this program's can make it.
#[derive(Debug, thiserror::Error)]
#[error("`{node}`: {error}")]
pub(super) struct Failed {
    node: String,
    error: ShapeError,
}

/// An output's shape and values.
pub(super) type Output = (Vec<usize>, Vec<f32>);

/// Called after each step, with the time that it took.
pub(super) type Observer<'a> = dyn FnMut(usize, Duration) + 'a;

impl Plan {
    /// Plans a graph for inputs of these shapes.
    ///
    /// # Errors
    /// [`Refused`], with the node to blame.
    pub fn new(
        source: &TypedGraph,
        weights: &Weights,
        cpu: &Cpu,
        arithmetic: Arithmetic,
        inputs: &[Vec<usize>],
    ) -> Result<Self, Refused> {
        let lowered = groups::cut(lower::lower(source, weights, cpu, arithmetic, inputs)?);
        let kept: Vec<Place> = lowered.outputs.iter().map(|(place, _)| *place).collect();
        let arena = Arena::lay_out(&lowered.buffers, &lowered.steps, &kept);
        Ok(Self {
            arena,
            constants: used(lowered.constants, &lowered.steps, &kept),
            steps: lowered.steps,
            outputs: lowered.outputs,
        })
    }

    /// Floats of arena that a run needs.
    pub fn arena_floats(&self) -> usize {
        self.arena.length + LINE
    }

    /// The outputs' shapes, in order.
    pub fn output_shapes(&self) -> impl Iterator<Item = &[usize]> {
        self.outputs.iter().map(|(_, shape)| shape.as_slice())
    }

    /// Bytes that a run needs beside inputs and weights: arena, constants, outputs.
    pub fn bytes(&self) -> usize {
        let constants: usize = self.constants.iter().map(|c| c.len()).sum();
        let outputs: usize = self
            .outputs
            .iter()
            .map(|(_, s)| s.iter().product::<usize>())
            .sum();
        (self.arena_floats() + constants + outputs) * size_of::<f32>()
    }

    /// Runs all steps; gives the outputs' shapes and values.
    ///
    /// # Errors
    /// [`Failed`], with the step's node.
    ///
    /// # Panics
    /// Where `arena` is shorter than [`Plan::arena_floats`]: a fault of the caller's.
    pub fn run(
        &self,
        cpu: &Cpu,
        weights: &Weights,
        inputs: &[&[f32]],
        arena: &mut [f32],
        mut observer: Option<&mut Observer<'_>>,
    ) -> Result<Vec<Output>, Failed> {
        let start = arena.as_ptr().align_offset(LINE * size_of::<f32>());
        let arena = &mut arena[start.min(LINE)..][..self.arena.length];
        for (i, step) in self.steps.iter().enumerate() {
            let since = Instant::now();
            self.step(step, cpu, weights, inputs, arena)
                .map_err(|error| Failed {
                    node: step.node.clone(),
                    error,
                })?;
            if let Some(observer) = &mut observer {
                observer(i, since.elapsed());
            }
        }
        let values = self.outputs.iter().map(|(place, shape)| {
            let values = match place {
                Place::Input(i) => inputs[*i],
                Place::Constant(i) => &*self.constants[*i],
                Place::Buffer(buffer) => &arena[self.arena.places[*buffer].clone()],
            };
            (shape.clone(), values.to_vec())
        });
        Ok(values.collect())
    }

    fn step(
        &self,
        step: &Step,
        cpu: &Cpu,
        weights: &Weights,
        inputs: &[&[f32]],
        arena: &mut [f32],
    ) -> Result<(), ShapeError> {
        let (buffers, count) = self.buffers_of(step)?;
        let mut ranges: [Range<usize>; MOST_BUFFERS] = std::array::from_fn(|_| 0..0);
        for (range, buffer) in ranges.iter_mut().zip(&buffers[..count]) {
            *range = self.arena.places[*buffer].clone();
        }
        let overlap = |_| ShapeError {
            what: "buffers of one step that overlap",
            found: 1,
            expected: 0,
        };
        let [out, others @ ..] = arena.get_disjoint_mut(ranges).map_err(overlap)?;
        let read = |place: &Place| -> &[f32] {
            match place {
                Place::Input(i) => inputs[*i],
                Place::Constant(i) => &self.constants[*i],
                Place::Buffer(buffer) => {
                    let at = buffers[1..count].iter().position(|b| b == buffer);
                    at.map_or(&[], |at| &*others[at])
                }
            }
        };
        // As many as any step reads: input, bias, gain, shift, second bias, residual.
        let mut reads: [&[f32]; 8] = [&[]; 8];
        for (to, place) in reads.iter_mut().zip(&step.reads) {
            *to = read(place);
        }
        step.run(cpu, weights, &reads[..step.reads.len().min(8)], out)
    }

    /// The buffers that a step touches, its output first, each once.
    fn buffers_of(&self, step: &Step) -> Result<([usize; MOST_BUFFERS], usize), ShapeError> {
        let mut buffers = [step.writes; MOST_BUFFERS];
        let mut count = 1;
        for place in &step.reads {
            let Place::Buffer(buffer) = place else {
                continue;
            };
            if buffers[..count].contains(buffer) {
                continue;
            }
            *buffers.get_mut(count).ok_or(ShapeError {
                what: "buffers that one step touches",
                found: count + 1,
                expected: MOST_BUFFERS,
            })? = *buffer;
            count += 1;
        }
        Ok((buffers, count))
    }
}

/// What a graph makes of its constants alone, where that is `least` floats or more, by the
/// value's name; of inputs of these shapes.
///
/// # Errors
/// [`Refused`], with the node to blame.
pub(super) fn folded(
    source: &TypedGraph,
    weights: &Weights,
    cpu: &Cpu,
    arithmetic: Arithmetic,
    inputs: &[Vec<usize>],
    least: usize,
) -> Result<Vec<(String, Constant)>, Refused> {
    let lowered = lower::lower(source, weights, cpu, arithmetic, inputs)?;
    let made = lowered.folded.into_iter();
    let named = made.filter_map(|(id, (name, shape))| {
        let floats = lowered.constants[id].clone();
        let values = Values::F32(floats);
        (lowered.constants[id].len() >= least).then_some((name, Constant { shape, values }))
    });
    Ok(named.collect())
}

/// The constants, those that no step reads any more left empty.
fn used(constants: Vec<Floats>, steps: &[Step], kept: &[Place]) -> Vec<Floats> {
    let mut read = vec![false; constants.len()];
    let places = steps.iter().flat_map(|step| &step.reads).chain(kept);
    for place in places {
        if let Place::Constant(i) = place {
            read[*i] = true;
        }
    }
    let pairs = constants.into_iter().zip(read);
    pairs
        .map(|(constant, read)| if read { constant } else { Floats::default() })
        .collect()
}
