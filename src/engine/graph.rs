//! One ONNX graph: loaded once, planned once for each set of input shapes.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;

use super::weights;

type Plan = Arc<TypedSimplePlan>;

/// A float tensor at the border of this room, row-major.
#[derive(Debug, Clone, PartialEq)]
pub struct Tensor {
    /// Length of each axis.
    pub shape: Vec<usize>,
    /// `shape`'s product of values.
    pub data: Vec<f32>,
}

impl Tensor {
    /// A tensor of this shape.
    ///
    /// # Panics
    /// Where `data` has another length than the shape says: a fault of the caller's.
    pub fn new(shape: &[usize], data: Vec<f32>) -> Self {
        assert_eq!(
            shape.iter().product::<usize>(),
            data.len(),
            "shape {shape:?}"
        );
        Self {
            shape: shape.to_vec(),
            data,
        }
    }
}

/// One axis of an input that a caller expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// This length and no other.
    Is(usize),
    /// Any length; the graph leaves the axis open.
    Open,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Is(length) => write!(f, "{length}"),
            Self::Open => f.write_str("?"),
        }
    }
}

/// Name and axes of one expected input.
pub type Expected<'a> = (&'a str, &'a [Side]);

/// What can be wrong with a graph.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The file is no ONNX graph that can be run.
    #[error("{graph}: not a graph that can be run: {why}")]
    Load {
        /// File name of the graph.
        graph: String,
        /// What the runtime said.
        why: String,
    },
    /// The graph's inputs are not those of its place in the method.
    #[error("{graph}: inputs are {found}; expected {expected}")]
    Inputs {
        /// File name of the graph.
        graph: String,
        /// The inputs it has.
        found: String,
        /// The inputs it should have.
        expected: String,
    },
    /// The graph gives another number of outputs than its place in the method needs.
    #[error("{graph}: gives {found} outputs; expected {expected}")]
    Outputs {
        /// File name of the graph.
        graph: String,
        /// Outputs it has.
        found: usize,
        /// Outputs it should have.
        expected: usize,
    },
    /// The graph failed while running.
    #[error("{graph}: failed while running: {why}")]
    Run {
        /// File name of the graph.
        graph: String,
        /// What the runtime said.
        why: String,
    },
    /// An output holds a value that is no number.
    #[error("{graph}: output {output} holds a value that is not finite")]
    NotFinite {
        /// File name of the graph.
        graph: String,
        /// Index of the output.
        output: usize,
    },
}

/// A loaded graph.
pub struct Graph {
    name: String,
    model: InferenceModel,
    plans: Mutex<HashMap<Vec<Vec<usize>>, Plan>>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Graph {
    /// Reads a graph from ONNX bytes and checks its inputs, by name and shape, and the
    /// number of its outputs.
    ///
    /// # Errors
    /// [`EngineError::Load`], [`EngineError::Inputs`] or [`EngineError::Outputs`].
    pub fn load(
        path: &Path,
        bytes: &[u8],
        inputs: &[Expected<'_>],
        outputs: usize,
    ) -> Result<Self, EngineError> {
        let name = path
            .file_name()
            .unwrap_or(path.as_os_str())
            .to_string_lossy()
            .into_owned();
        let model = read(bytes).map_err(|error| EngineError::Load {
            graph: name.clone(),
            why: format!("{error:#}"),
        })?;
        let found = describe_inputs(&model);
        let expected = inputs.iter().map(describe_expected).collect::<Vec<_>>();
        if found != expected {
            let list = |parts: Vec<String>| parts.join(", ");
            return Err(EngineError::Inputs {
                graph: name,
                found: list(found),
                expected: list(expected),
            });
        }
        let found = model.outputs.len();
        if found != outputs {
            return Err(EngineError::Outputs {
                graph: name,
                found,
                expected: outputs,
            });
        }
        Ok(Self {
            name,
            model,
            plans: Mutex::default(),
        })
    }

    /// Runs the graph. Inputs come in the graph's order; so do the outputs.
    ///
    /// # Errors
    /// [`EngineError::Run`] or [`EngineError::NotFinite`].
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let failed = |error: TractError| EngineError::Run {
            graph: self.name.clone(),
            why: format!("{error:#}"),
        };
        let plan = self.plan(inputs).map_err(failed)?;
        let values = inputs
            .iter()
            .map(|t| tract_onnx::prelude::Tensor::from_shape(&t.shape, &t.data).map(Into::into))
            .collect::<TractResult<TVec<TValue>>>()
            .map_err(failed)?;
        let outputs = plan.run(values).map_err(failed)?;
        outputs
            .iter()
            .enumerate()
            .map(|(i, value)| self.checked(i, value))
            .collect()
    }

    fn checked(&self, output: usize, value: &TValue) -> Result<Tensor, EngineError> {
        let failed = |error: TractError| EngineError::Run {
            graph: self.name.clone(),
            why: format!("{error:#}"),
        };
        let view = value.to_plain_array_view::<f32>().map_err(failed)?;
        let data: Vec<f32> = view.iter().copied().collect();
        if data.iter().any(|v| !v.is_finite()) {
            return Err(EngineError::NotFinite {
                graph: self.name.clone(),
                output,
            });
        }
        Ok(Tensor {
            shape: view.shape().to_vec(),
            data,
        })
    }

    fn plan(&self, inputs: &[Tensor]) -> TractResult<Plan> {
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape.clone()).collect();
        // A plan is only ever inserted whole, so a poisoned lock still guards good ones.
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&shapes) {
            return Ok(plan.clone());
        }
        let mut model = self.model.clone();
        for (i, shape) in shapes.iter().enumerate() {
            model.set_input_fact(i, InferenceFact::dt_shape(f32::datum_type(), shape))?;
        }
        let plan = model.into_optimized()?.into_runnable()?;
        plans.insert(shapes, plan.clone());
        Ok(plan)
    }
}

fn read(bytes: &[u8]) -> TractResult<InferenceModel> {
    let framework = tract_onnx::onnx();
    let mut proto = framework.proto_model_for_read(&mut &*bytes)?;
    if let Some(graph) = &mut proto.graph {
        weights::read_back(graph);
    }
    framework.model_for_proto_model(&proto)
}

fn describe_inputs(model: &InferenceModel) -> Vec<String> {
    let describe = |outlet: &OutletId| {
        let name = &model.nodes[outlet.node].name;
        let fact = &model.nodes[outlet.node].outputs[outlet.slot].fact;
        let axes: Vec<String> = fact
            .shape
            .dims()
            .map(|dim| match dim.concretize().and_then(|d| d.to_i64().ok()) {
                Some(length) => length.to_string(),
                None => "?".to_owned(),
            })
            .collect();
        format!("{name} [{}]", axes.join(", "))
    };
    model.inputs.iter().map(describe).collect()
}

fn describe_expected((name, axes): &Expected<'_>) -> String {
    let axes: Vec<String> = axes.iter().map(ToString::to_string).collect();
    format!("{name} [{}]", axes.join(", "))
}
