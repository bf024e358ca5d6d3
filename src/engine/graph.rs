//! One ONNX graph: loaded once, planned once for each set of input shapes.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::audit::{self, Product, Profile};
use super::cpu::{Lent, cpu, idle_floats};
use super::digest::{self, ProductDigest};
use super::kernels::{Cpu, Kernel, PackError, PackedLinear};
use super::memory;
use super::onnx::{self, Input, Matrix, MatrixValues, Refused, Source};
use super::plan::{self, Plan, Weights};
use super::prepared::{self, Origin, PreparedKey};

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
        /// What is wrong, and with which node.
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
        /// What is wrong, and with which node.
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
    /// A run would need more memory than there is.
    #[error("{graph}: needs {needed} MiB for a run; {allowed} MiB are allowed")]
    Budget {
        /// File name of the graph.
        graph: String,
        /// MiB that it needs, known before it runs.
        needed: u64,
        /// MiB that are allowed, or free.
        allowed: u64,
    },
    /// A prepared file is not as it was written.
    #[error("{file}: {why}")]
    Prepared {
        /// The file.
        file: String,
        /// What is wrong with it.
        why: String,
    },
    /// This CPU has not the kernel that was asked for.
    #[error("MEDFOCUS_KERNEL: {why}")]
    Kernel {
        /// The names that can be had.
        why: String,
    },
}

/// The way out where memory is wanting.
pub const MORE_MEMORY: &str = "allow more memory, end other programs, or use a smaller bundle";

impl EngineError {
    /// Stable code for scripts.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Kernel { .. } => "kernel",
            Self::Budget { .. } => "budget",
            _ => "engine",
        }
    }

    /// The way out.
    #[must_use]
    pub fn cure(&self) -> &'static str {
        match self {
            Self::Kernel { .. } => "unset MEDFOCUS_KERNEL, or name a kernel that this CPU can run",
            Self::Budget { .. } => MORE_MEMORY,
            _ => "run `medfocus bundle verify`; if it passes, report this with the message",
        }
    }
}

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

/// A loaded graph.
pub struct Graph {
    name: String,
    arithmetic: Arithmetic,
    source: Source,
    weights: Weights,
    plans: Mutex<HashMap<Vec<Vec<usize>>, Arc<Plan>>>,
}

impl std::fmt::Debug for Graph {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Graph")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Graph {
    /// Reads a graph from ONNX bytes.
    ///
    /// # Errors
    /// [`EngineError::Load`] or [`EngineError::Kernel`].
    pub fn read(path: &Path, bytes: &[u8], arithmetic: Arithmetic) -> Result<Self, EngineError> {
        let name = file_name(path);
        let kernel = kernel()?.kernel();
        let load = |why: String| EngineError::Load {
            graph: name.clone(),
            why,
        };
        let (source, matrices) =
            onnx::read(bytes, arithmetic).map_err(|error| load(error.to_string()))?;
        let mut weights = Weights::new();
        for (node, matrix) in matrices {
            let packed =
                pack(kernel, &matrix).map_err(|error| load(format!("`{node}`: {error}")))?;
            weights.insert(node, packed);
        }
        Ok(Self {
            name,
            arithmetic,
            source,
            weights,
            plans: Mutex::default(),
        })
    }

    /// Takes a graph from its prepared file in `folder`; `None` where there is none for
    /// this CPU and this ONNX file, which is told by its hash and length.
    ///
    /// # Errors
    /// [`EngineError::Prepared`]: the file is broken; [`EngineError::Kernel`].
    pub fn open(
        path: &Path,
        origin: &Origin,
        folder: &Path,
        key: &PreparedKey,
    ) -> Result<Option<Self>, EngineError> {
        let name = file_name(path);
        let kernel = kernel()?.kernel();
        let file = prepared::path(folder, &name, origin, kernel);
        let opened = prepared::open(&file, origin, kernel, key);
        let opened = opened.map_err(|why| EngineError::Prepared {
            file: file_name(&file),
            why,
        })?;
        Ok(opened.map(|(source, weights)| Self {
            name,
            arithmetic: Arithmetic::AsWritten,
            source,
            weights,
            plans: Mutex::default(),
        }))
    }

    /// Writes the prepared file of this graph into `folder`; answers its path and length.
    ///
    /// # Errors
    /// The path, and what the system says.
    pub fn prepare(
        &self,
        origin: &Origin,
        folder: &Path,
        key: &PreparedKey,
    ) -> Result<(PathBuf, u64), (PathBuf, std::io::Error)> {
        let failed = |error: EngineError| std::io::Error::other(error.to_string());
        let cpu = kernel().map_err(|error| (folder.to_owned(), failed(error)))?;
        let file = prepared::path(folder, &self.name, origin, cpu.kernel());
        let source = self.source.clone().with(self.folded(&cpu));
        let written = prepared::write(&file, origin, cpu.kernel(), &source, &self.weights, key);
        match written {
            Ok(length) => Ok((file, length)),
            Err(error) => Err((file, error)),
        }
    }

    /// What the graph makes of its constants alone; nothing where its inputs' shapes are open,
    /// on which that may depend, or do not fit: a run will say so.
    fn folded(&self, cpu: &Cpu) -> Vec<(String, onnx::Constant)> {
        let shapes = self.source.inputs.iter();
        let shapes: Option<Vec<Vec<usize>>> = shapes
            .map(|input| input.axes.iter().copied().collect())
            .collect();
        let Some(shapes) = shapes else {
            return Vec::new();
        };
        let (source, weights) = (&self.source, &self.weights);
        plan::folded(
            source,
            weights,
            cpu,
            self.arithmetic,
            &shapes,
            prepared::LARGE,
        )
        .unwrap_or_default()
    }

    /// Checks the inputs, by name and shape, and the number of outputs.
    ///
    /// # Errors
    /// [`EngineError::Inputs`] or [`EngineError::Outputs`].
    pub fn check(&self, inputs: &[Expected<'_>], outputs: usize) -> Result<(), EngineError> {
        let found: Vec<String> = self.source.inputs.iter().map(describe_input).collect();
        let expected: Vec<String> = inputs.iter().map(describe_expected).collect();
        if found != expected {
            return Err(EngineError::Inputs {
                graph: self.name.clone(),
                found: found.join(", "),
                expected: expected.join(", "),
            });
        }
        let found = self.source.outputs.len();
        if found != outputs {
            return Err(EngineError::Outputs {
                graph: self.name.clone(),
                found,
                expected: outputs,
            });
        }
        Ok(())
    }

    /// Runs the graph. Inputs come in the graph's order; so do the outputs.
    ///
    /// # Errors
    /// [`EngineError::Run`], [`EngineError::Budget`] or [`EngineError::NotFinite`].
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, EngineError> {
        let cpu = kernel()?;
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape.clone()).collect();
        let plan = self.plan(&cpu, shapes)?;
        let mut arena = self.arena(&plan)?;
        let data: Vec<&[f32]> = inputs.iter().map(|t| t.data.as_slice()).collect();
        let outputs = plan
            .run(&cpu, &self.weights, &data, arena.floats(), None)
            .map_err(|failed| self.failed(failed.to_string()))?;
        outputs
            .into_iter()
            .enumerate()
            .map(|(i, (shape, data))| self.checked(i, Tensor { shape, data }))
            .collect()
    }

    /// Every matrix product of a run with these input shapes, and the arithmetic that it
    /// really runs in.
    ///
    /// # Errors
    /// [`EngineError::Run`]: shapes that do not fit.
    pub fn audit(&self, shapes: Vec<Vec<usize>>) -> Result<Vec<Product>, EngineError> {
        let cpu = kernel()?;
        let plan = self.plan(&cpu, shapes)?;
        Ok(audit::products(&plan, &self.weights, cpu.kernel().name()))
    }

    /// What every int8 product of a run with these input shapes comes to, on made-up rows.
    ///
    /// # Errors
    /// [`EngineError::Run`]: shapes that do not fit.
    pub fn digests(&self, shapes: Vec<Vec<usize>>) -> Result<Vec<ProductDigest>, EngineError> {
        let cpu = kernel()?;
        let plan = self.plan(&cpu, shapes)?;
        digest::digests(&plan, &self.weights, &cpu).map_err(|error| self.failed(error.to_string()))
    }

    /// Times runs with these inputs, step by step, after `warm_up` more.
    ///
    /// # Errors
    /// [`EngineError::Run`], [`EngineError::Budget`].
    pub fn profile(
        &self,
        inputs: &[Tensor],
        warm_up: usize,
        runs: usize,
    ) -> Result<Profile, EngineError> {
        let cpu = kernel()?;
        let shapes = inputs.iter().map(|t| t.shape.clone()).collect();
        let since = Instant::now();
        let plan = self.plan(&cpu, shapes)?;
        let plan_ms = since.elapsed().as_secs_f64() * 1e3;
        let mut arena = self.arena(&plan)?;
        let data: Vec<&[f32]> = inputs.iter().map(|t| t.data.as_slice()).collect();
        let mut runs_ms = Vec::with_capacity(runs);
        let mut steps = Vec::with_capacity(runs);
        for run in 0..warm_up + runs {
            let mut times = Vec::with_capacity(plan.steps.len());
            let since = Instant::now();
            let mut observe = |_: usize, time| times.push(time);
            plan.run(
                &cpu,
                &self.weights,
                &data,
                arena.floats(),
                Some(&mut observe),
            )
            .map_err(|failed| self.failed(failed.to_string()))?;
            if run >= warm_up {
                runs_ms.push(since.elapsed().as_secs_f64() * 1e3);
                steps.push(times);
            }
        }
        Ok(Profile {
            plan_ms,
            runs_ms,
            arena_bytes: plan.bytes(),
            weight_bytes: self.weights.values().map(|w| w.as_bytes().len()).sum(),
            steps: audit::step_times(&plan, &self.weights, &steps),
        })
    }

    /// The inputs' names and shapes, open axes filled with `open`.
    #[must_use]
    pub fn inputs(&self, open: usize) -> Vec<(String, Vec<usize>)> {
        let shape = |input: &Input| input.axes.iter().map(|a| a.unwrap_or(open)).collect();
        let inputs = self.source.inputs.iter();
        inputs
            .map(|input| (input.name.clone(), shape(input)))
            .collect()
    }

    /// Memory for one run, unless it would need more than the budget allows.
    fn arena(&self, plan: &Plan) -> Result<Lent, EngineError> {
        let held = if idle_floats() < plan.arena_floats() {
            0
        } else {
            plan.arena_floats() * size_of::<f32>()
        };
        let (whole, new) = (plan.bytes() as u64, (plan.bytes() - held) as u64);
        if let Some(lacking) = memory::lacking(whole, new) {
            return Err(EngineError::Budget {
                graph: self.name.clone(),
                needed: lacking.needed.div_ceil(1 << 20),
                allowed: lacking.allowed >> 20,
            });
        }
        Ok(Lent::new(plan.arena_floats()))
    }

    fn failed(&self, why: String) -> EngineError {
        EngineError::Run {
            graph: self.name.clone(),
            why,
        }
    }

    fn checked(&self, output: usize, tensor: Tensor) -> Result<Tensor, EngineError> {
        if tensor.data.iter().all(|v| v.is_finite()) {
            return Ok(tensor);
        }
        Err(EngineError::NotFinite {
            graph: self.name.clone(),
            output,
        })
    }

    fn plan(&self, cpu: &Cpu, shapes: Vec<Vec<usize>>) -> Result<Arc<Plan>, EngineError> {
        self.fits(&shapes)?;
        // A plan is only ever inserted whole, so a poisoned lock still guards good ones.
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&shapes) {
            return Ok(plan.clone());
        }
        let plan = Plan::new(&self.source, &self.weights, cpu, self.arithmetic, &shapes);
        let plan = Arc::new(plan.map_err(|refused: Refused| self.failed(refused.to_string()))?);
        plans.insert(shapes, plan.clone());
        Ok(plan)
    }

    fn fits(&self, shapes: &[Vec<usize>]) -> Result<(), EngineError> {
        let fits = |input: &Input, shape: &Vec<usize>| {
            input.axes.len() == shape.len()
                && input
                    .axes
                    .iter()
                    .zip(shape)
                    .all(|(axis, side)| axis.is_none_or(|a| a == *side))
        };
        let inputs = &self.source.inputs;
        if inputs.len() == shapes.len() && inputs.iter().zip(shapes).all(|(i, s)| fits(i, s)) {
            return Ok(());
        }
        let wanted: Vec<String> = inputs.iter().map(describe_input).collect();
        Err(self.failed(format!(
            "inputs are {shapes:?}; expected {}",
            wanted.join(", ")
        )))
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn kernel() -> Result<Arc<Cpu>, EngineError> {
    cpu().map_err(|error| EngineError::Kernel {
        why: error.to_string(),
    })
}

fn pack(kernel: Kernel, matrix: &Matrix) -> Result<PackedLinear, PackError> {
    let sides = [matrix.channels, matrix.depth];
    match &matrix.values {
        MatrixValues::Int8 { codes, scales } => {
            PackedLinear::int8(kernel, codes, matrix.order, scales, sides)
        }
        MatrixValues::Float(values) => PackedLinear::float(kernel, values, matrix.order, sides),
    }
}

fn describe_input(input: &Input) -> String {
    let axes: Vec<String> = input
        .axes
        .iter()
        .map(|axis| axis.map_or_else(|| "?".to_owned(), |side| side.to_string()))
        .collect();
    format!("{} [{}]", input.name, axes.join(", "))
}

fn describe_expected((name, axes): &Expected<'_>) -> String {
    let axes: Vec<String> = axes.iter().map(ToString::to_string).collect();
    format!("{name} [{}]", axes.join(", "))
}
