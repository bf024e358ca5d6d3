//! One ONNX graph: loaded once, planned once for each set of input shapes.
//!
//! In go the bytes of an ONNX file or of a prepared one, then input tensors; out come output
//! tensors, all of them finite. Inputs are checked before anything runs, and a run that would
//! not fit into memory is refused before it begins.

use std::collections::HashMap;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use super::audit::{self, Product, Profile};
use super::digest::{self, ProductDigest};
use super::engine::{Arena, Engine};
use super::error::EngineError;
use super::kernels::{Cpu, Kernel, PackError, PackedLinear};
use super::onnx::{self, Input, Matrix, MatrixValues, Refused, Source};
use super::plan::{self, Plan, Weights};
use super::prepared::{self, Origin, PreparedFile, PreparedKey};
use super::tensor::{Expected, Tensor};

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
    engine: Engine,
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
    /// What it runs on.
    #[must_use]
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Reads a graph from ONNX bytes, to run on this engine.
    ///
    /// # Errors
    /// [`EngineError::Load`] or [`EngineError::Kernel`].
    pub fn read(
        engine: &Engine,
        path: &Path,
        bytes: &[u8],
        arithmetic: Arithmetic,
    ) -> Result<Self, EngineError> {
        let name = file_name(path);
        let kernel = engine.kernel()?;
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
            engine: engine.clone(),
            name,
            arithmetic,
            source,
            weights,
            plans: Mutex::default(),
        })
    }

    /// The name of the prepared file of the graph in this ONNX file, which is told by its hash
    /// and length, for this CPU.
    ///
    /// # Errors
    /// [`EngineError::Kernel`].
    pub fn prepared_name(
        engine: &Engine,
        path: &Path,
        origin: &Origin,
    ) -> Result<String, EngineError> {
        let kernel = engine.kernel()?;
        Ok(prepared::name(&file_name(path), origin, kernel))
    }

    /// Takes a graph from the `length` bytes of its prepared file, in place of its ONNX file at
    /// `path`. The bytes are read into memory of this process, and nothing is read later.
    ///
    /// # Errors
    /// [`EngineError::Prepared`]: the file is broken; [`EngineError::Kernel`].
    pub fn read_prepared(
        engine: &Engine,
        path: &Path,
        origin: &Origin,
        key: &PreparedKey,
        file: &mut dyn Read,
        length: u64,
    ) -> Result<Self, EngineError> {
        let name = file_name(path);
        let kernel = engine.kernel()?;
        let read = prepared::read(file, length, origin, kernel, key);
        let (source, weights) = read.map_err(|why| EngineError::Prepared {
            file: prepared::name(&name, origin, kernel),
            why,
        })?;
        Ok(Self {
            engine: engine.clone(),
            name,
            arithmetic: Arithmetic::AsWritten,
            source,
            weights,
            plans: Mutex::default(),
        })
    }

    /// This graph's prepared file, whose bytes [`Graph::read_prepared`] takes.
    ///
    /// # Errors
    /// [`EngineError::Prepared`]: it has what cannot be written; [`EngineError::Kernel`].
    pub fn prepare(&self, origin: &Origin, key: &PreparedKey) -> Result<PreparedFile, EngineError> {
        let cpu = self.engine.cpu()?;
        let source = self.source.clone().with(self.folded(cpu));
        let name = prepared::name(&self.name, origin, cpu.kernel());
        match prepared::write(origin, cpu.kernel(), &source, &self.weights, key) {
            Ok(bytes) => Ok(PreparedFile { name, bytes }),
            Err(why) => Err(EngineError::Prepared { file: name, why }),
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
        let cpu = self.engine.cpu()?;
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape.clone()).collect();
        let plan = self.plan(cpu, shapes)?;
        let mut arena = self.arena(&plan)?;
        let data: Vec<&[f32]> = inputs.iter().map(|t| t.data.as_slice()).collect();
        let outputs = plan
            .run(cpu, &self.weights, &data, arena.floats(), None)
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
        let cpu = self.engine.cpu()?;
        let plan = self.plan(cpu, shapes)?;
        Ok(audit::products(&plan, &self.weights, cpu.kernel().name()))
    }

    /// What every int8 product of a run with these input shapes comes to, on made-up rows.
    ///
    /// # Errors
    /// [`EngineError::Run`]: shapes that do not fit.
    pub fn digests(&self, shapes: Vec<Vec<usize>>) -> Result<Vec<ProductDigest>, EngineError> {
        let cpu = self.engine.cpu()?;
        let plan = self.plan(cpu, shapes)?;
        digest::digests(&plan, &self.weights, cpu).map_err(|error| self.failed(error.to_string()))
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
        let cpu = self.engine.cpu()?;
        let shapes = inputs.iter().map(|t| t.shape.clone()).collect();
        let since = Instant::now();
        let plan = self.plan(cpu, shapes)?;
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
                cpu,
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

    /// The outputs' names, in the order of [`Graph::run`].
    #[must_use]
    pub fn outputs(&self) -> &[String] {
        &self.source.outputs
    }

    /// Memory for one run, unless it would need more than the budget allows.
    fn arena(&self, plan: &Plan) -> Result<Arena<'_>, EngineError> {
        let arena = self.engine.arena(plan.arena_floats(), plan.bytes());
        arena.map_err(|lacking| EngineError::Budget {
            graph: self.name.clone(),
            needed: lacking.needed.div_ceil(1 << 20),
            allowed: lacking.allowed >> 20,
        })
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
        let expected: Vec<String> = inputs.iter().map(describe_input).collect();
        Err(self.failed(format!(
            "inputs are {shapes:?}; expected {}",
            expected.join(", ")
        )))
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
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
