//! What the walk writes: steps, buffers, copies, and constants that are computed at once.
//!
//! A step that reads nothing but constants is run here and becomes a constant; it is never left
//! to a run.

use super::elementwise::{Shared, Unary};
use super::lower::{Lower, Lowering};
use super::step::{Place, Step, Work};
use super::tensor::{Layout, Tensor, Value};
use super::view::View;

impl Lowering<'_> {
    /// Pushes a step that makes a new buffer of `length`; runs it at once where it reads
    /// nothing but constants.
    pub fn push(
        &mut self,
        node: &str,
        work: Work,
        reads: Vec<Place>,
        length: usize,
    ) -> Lower<Place> {
        let step = Step {
            node: node.to_owned(),
            work,
            reads,
            writes: self.buffers.len(),
        };
        if step.reads.iter().all(|p| matches!(p, Place::Constant(_))) {
            return self.run_now(&step, length);
        }
        self.buffers.push(length);
        self.makers.push(Some(self.steps.len()));
        let place = Place::Buffer(step.writes);
        self.steps.push(Some(step));
        Ok(place)
    }

    fn run_now(&mut self, step: &Step, length: usize) -> Lower<Place> {
        let mut out = vec![0.0; length];
        let reads: Vec<&[f32]> = step
            .reads
            .iter()
            .map(|place| match place {
                Place::Constant(id) => &*self.constants[*id],
                Place::Input(_) | Place::Buffer(_) => &[],
            })
            .collect();
        step.run(self.cpu, self.weights, &reads, &mut out)
            .map_err(|error| error.to_string())?;
        self.constants.push(out.into());
        Ok(Place::Constant(self.constants.len() - 1))
    }

    /// Pushes a step that writes (part of) a buffer that is there already.
    pub fn push_into(&mut self, node: &str, work: Work, reads: Vec<Place>, buffer: usize) {
        self.makers[buffer] = Some(self.steps.len());
        self.steps.push(Some(Step {
            node: node.to_owned(),
            work,
            reads,
            writes: buffer,
        }));
    }

    /// A new buffer that nothing has written yet.
    pub fn buffer(&mut self, length: usize) -> usize {
        self.buffers.push(length);
        self.makers.push(None);
        self.buffers.len() - 1
    }

    /// The step that makes all of this tensor's buffer.
    pub fn maker(&self, tensor: &Tensor) -> Option<&Step> {
        let Place::Buffer(buffer) = tensor.place else {
            return None;
        };
        self.steps[self.makers[buffer]?].as_ref()
    }

    /// Takes that step out, to become part of another.
    pub fn take_maker(&mut self, tensor: &Tensor) -> Option<Step> {
        let Place::Buffer(buffer) = tensor.place else {
            return None;
        };
        self.steps[self.makers[buffer].take()?].take()
    }

    /// A new contiguous tensor.
    pub fn fresh(place: Place, shape: &[usize]) -> Tensor {
        Self::fresh_view(place, View::contiguous(shape))
    }

    /// A new tensor, seen so.
    pub fn fresh_view(place: Place, view: View) -> Tensor {
        Tensor {
            place,
            layout: Layout::View(view),
            factor: 1.0,
            sole: true,
        }
    }

    /// The tensor in logical order, copied if it does not lie so.
    pub fn dense(&mut self, tensor: Tensor) -> Lower<Tensor> {
        let whole = |view: &View| view.is_contiguous() && view.offset == 0;
        if let Layout::View(view) = &tensor.layout
            && whole(view)
            && view.len() == self.length(tensor.place)
        {
            return Ok(tensor);
        }
        self.copied("copy", &tensor, Unary::Copy)
    }

    /// The tensor as a view, copied if it is rows.
    pub fn viewed(&mut self, tensor: Tensor) -> Lower<Tensor> {
        match tensor.layout {
            Layout::View(_) => Ok(tensor),
            Layout::Rows { .. } => self.dense(tensor),
        }
    }

    /// A copy of this view that was made for an earlier node.
    pub fn earlier_copy(&self, place: Place, view: &View) -> Option<&Tensor> {
        let of_it = |copy: &&(Place, View, Tensor)| copy.0 == place && copy.1 == *view;
        self.copies.iter().find(of_it).map(|copy| &copy.2)
    }

    /// `op` of the tensor as a new one in logical order.
    pub fn copied(&mut self, node: &str, tensor: &Tensor, op: Unary) -> Lower<Tensor> {
        if let (Unary::Copy, Layout::View(view)) = (op, &tensor.layout) {
            if let Some(copy) = self.earlier_copy(tensor.place, view) {
                return Ok(copy.clone());
            }
            let mut copy = self.new_copy(node, tensor, op)?;
            // Others may come to read it.
            copy.sole = false;
            self.copies.push((tensor.place, view.clone(), copy.clone()));
            return Ok(copy);
        }
        self.new_copy(node, tensor, op)
    }

    fn new_copy(&mut self, node: &str, tensor: &Tensor, op: Unary) -> Lower<Tensor> {
        let shape = tensor.shape();
        let length = shape.iter().product();
        let work = match &tensor.layout {
            Layout::View(view) => {
                let shared = Shared::of([&View::contiguous(&shape), view]);
                Work::Unary(op, shared.ok_or("has a layout that cannot be copied")?)
            }
            Layout::Rows { rows, .. } => {
                let width = shape.last().copied().unwrap_or(1);
                Work::Rows {
                    op,
                    width,
                    rows: rows.clone(),
                }
            }
        };
        let place = self.push(node, work, vec![tensor.place], length)?;
        Ok(Self::fresh(place, &shape))
    }

    /// Floats in a place.
    pub fn length(&self, place: Place) -> usize {
        match place {
            Place::Constant(id) => self.constants[id].len(),
            Place::Buffer(buffer) => self.buffers[buffer],
            Place::Input(i) => match self.values.get(self.source.inputs[i].name.as_str()) {
                Some(Value::Tensor(tensor)) => tensor.shape().iter().product(),
                _ => 0,
            },
        }
    }

    /// The index of `place` among the reads, put there if it is new.
    pub fn read_at(reads: &mut Vec<Place>, place: Place) -> usize {
        reads.push(place);
        reads.len() - 1
    }
}
