//! One ONNX graph: loaded once, planned once for each set of input shapes.
//!
//! In go the bytes of an ONNX file or of a prepared one, then input tensors; out come output
//! tensors, all of them finite. Inputs are checked before anything runs, and a run that would
//! not fit into memory is refused before it begins.

use std::io::Read;
use std::path::Path;
use std::time::{Duration, Instant};

use super::arithmetic::Arithmetic;
use super::audit::{self, Product, Profile};
use super::body::{Body, Planned};
use super::digest::{self, ProductDigest};
use super::engine::{Arena, Engine, Lacking};
use super::error::EngineError;
use super::mixed::{self, TractNode};
use super::ours::Ours;
use super::plan::Plan;
use super::prepared::{self, Origin, PreparedFile, PreparedKey};
use super::refused::Refused;
use super::tensor::{self, ElementType, Expected, Tensor};
use super::typed::Input;
use super::weighed::Weighed;

/// A loaded graph.
pub struct Graph {
    engine: Engine,
    name: String,
    arithmetic: Arithmetic,
    body: Body,
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

    /// Reads a graph from ONNX bytes, to run on this engine: every node of it is ours.
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
        match Weighed::read(engine.kernel()?, bytes, arithmetic) {
            Ok(weighed) => Ok(Self::new(
                engine,
                name,
                arithmetic,
                Body::Ours(Box::new(Ours::new(weighed)), None),
            )),
            Err(refused) => Err(load(name, &refused)),
        }
    }

    /// Reads anybody's graph: what is not ours of it, tract runs in float. What neither runs
    /// rightly is refused by node, and so is an int8 form that is not ours.
    ///
    /// # Errors
    /// [`EngineError::Load`] or [`EngineError::Kernel`].
    pub fn read_mixed(
        engine: &Engine,
        path: &Path,
        bytes: &[u8],
        arithmetic: Arithmetic,
    ) -> Result<Self, EngineError> {
        let name = file_name(path);
        match Body::of_anybody(engine, bytes, arithmetic)? {
            Ok(body) => Ok(Self::new(engine, name, arithmetic, body)),
            Err(refused) => Err(load(name, &refused)),
        }
    }

    fn new(engine: &Engine, name: String, arithmetic: Arithmetic, body: Body) -> Self {
        Self {
            engine: engine.clone(),
            name,
            arithmetic,
            body,
        }
    }

    /// Whether every node is ours, at least where open axes are of lengths that our plan takes.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        matches!(self.body, Body::Ours(..))
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
        let ours = Ours::new(Weighed { source, weights });
        let arithmetic = Arithmetic::AsWritten;
        Ok(Self::new(
            engine,
            name,
            arithmetic,
            Body::Ours(Box::new(ours), None),
        ))
    }

    /// This graph's prepared file, whose bytes [`Graph::read_prepared`] takes.
    ///
    /// # Errors
    /// [`EngineError::Prepared`]: it has what cannot be written; [`EngineError::Kernel`].
    pub fn prepare(&self, origin: &Origin, key: &PreparedKey) -> Result<PreparedFile, EngineError> {
        let cpu = self.engine.cpu()?;
        let name = prepared::name(&self.name, origin, cpu.kernel());
        let Body::Ours(ours, _) = &self.body else {
            let why = "is not this engine's alone, and cannot be prepared".to_owned();
            return Err(EngineError::Prepared { file: name, why });
        };
        let Weighed { source, weights } = &ours.weighed;
        let graph = source.clone().with(ours.folded(cpu, self.arithmetic));
        match prepared::write(origin, cpu.kernel(), graph, weights, key) {
            Ok(bytes) => Ok(PreparedFile { name, bytes }),
            Err(why) => Err(EngineError::Prepared { file: name, why }),
        }
    }

    /// Checks the inputs, by name and shape, and the number of outputs.
    ///
    /// # Errors
    /// [`EngineError::Inputs`] or [`EngineError::Outputs`].
    pub fn check(&self, inputs: &[Expected<'_>], outputs: usize) -> Result<(), EngineError> {
        let found: Vec<String> = self.own_inputs().iter().map(describe_input).collect();
        let expected: Vec<String> = inputs.iter().map(tensor::describe).collect();
        if found != expected {
            return Err(EngineError::Inputs {
                graph: self.name.clone(),
                found: found.join(", "),
                expected: expected.join(", "),
            });
        }
        let found = self.outputs().len();
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
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape.clone()).collect();
        let outputs = match self.plan(shapes)? {
            Planned::Ours(ours, plan) => self.run_ours(ours, &plan, inputs)?,
            Planned::Mixed(mixed, plan) => {
                self.within_budget(&plan)?;
                plan.run(mixed, inputs)
                    .map_err(|error| error.of(&self.name))?
            }
        };
        let numbered = outputs.into_iter().enumerate();
        numbered
            .map(|(i, output)| self.checked(i, output))
            .collect()
    }

    fn run_ours(
        &self,
        ours: &Ours,
        plan: &Plan,
        inputs: &[Tensor],
    ) -> Result<Vec<Tensor>, EngineError> {
        let mut arena = self.arena(plan)?;
        let data: Vec<&[f32]> = inputs.iter().map(|t| t.data.as_slice()).collect();
        let cpu = self.engine.cpu()?;
        let outputs = plan
            .run(cpu, &ours.weighed.weights, &data, arena.floats(), None)
            .map_err(|failed| self.failed(failed.to_string()))?;
        let outputs = outputs.into_iter();
        Ok(outputs
            .map(|(shape, data)| Tensor { shape, data })
            .collect())
    }

    /// Every matrix product of a run with these input shapes, and the arithmetic that it
    /// really runs in.
    ///
    /// # Errors
    /// [`EngineError::Run`]: shapes that do not fit.
    pub fn audit(&self, shapes: Vec<Vec<usize>>) -> Result<Vec<Product>, EngineError> {
        let kernel = self.engine.cpu()?.kernel().name();
        Ok(match self.plan(shapes)? {
            Planned::Ours(ours, plan) => audit::products(&plan, &ours.weighed.weights, kernel),
            Planned::Mixed(_, plan) => plan.products(kernel),
        })
    }

    /// The nodes that are not ours, in a run with these input shapes, and why.
    ///
    /// # Errors
    /// [`EngineError::Run`]: shapes that do not fit.
    pub fn tract_nodes(&self, shapes: Vec<Vec<usize>>) -> Result<Vec<TractNode>, EngineError> {
        Ok(match self.plan(shapes)? {
            Planned::Ours(..) => Vec::new(),
            Planned::Mixed(_, plan) => plan.tracts().to_vec(),
        })
    }

    /// Bytes that a run with these input shapes takes beside its weights: of our nodes, exactly;
    /// of tract's, as estimated.
    ///
    /// # Errors
    /// [`EngineError::Run`]: shapes that do not fit.
    pub fn run_bytes(&self, shapes: Vec<Vec<usize>>) -> Result<(usize, usize), EngineError> {
        Ok(match self.plan(shapes)? {
            Planned::Ours(_, plan) => (plan.bytes(), 0),
            Planned::Mixed(_, plan) => (plan.exact_bytes(), plan.estimated_bytes()),
        })
    }

    /// What every int8 product of a run with these input shapes comes to, on made-up rows.
    ///
    /// # Errors
    /// [`EngineError::Run`]: shapes that do not fit.
    pub fn digests(&self, shapes: Vec<Vec<usize>>) -> Result<Vec<ProductDigest>, EngineError> {
        let cpu = self.engine.cpu()?;
        let digests = match self.plan(shapes)? {
            Planned::Ours(ours, plan) => digest::digests(&plan, &ours.weighed.weights, cpu),
            Planned::Mixed(_, plan) => plan.digests(cpu),
        };
        digests.map_err(|error| self.failed(error.to_string()))
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
        let shapes: Vec<Vec<usize>> = inputs.iter().map(|t| t.shape.clone()).collect();
        let since = Instant::now();
        let planned = self.plan(shapes)?;
        let plan_ms = since.elapsed().as_secs_f64() * 1e3;
        let mut runs_ms = Vec::with_capacity(runs);
        let mut steps = Vec::with_capacity(runs);
        for run in 0..warm_up + runs {
            let since = Instant::now();
            let times = self.timed(&planned, inputs)?;
            if run >= warm_up {
                runs_ms.push(since.elapsed().as_secs_f64() * 1e3);
                steps.push(times);
            }
        }
        Ok(match planned {
            Planned::Ours(ours, plan) => {
                let weights = &ours.weighed.weights;
                Profile {
                    plan_ms,
                    runs_ms,
                    arena_bytes: plan.bytes(),
                    weight_bytes: weights.values().map(|w| w.as_bytes().len()).sum(),
                    steps: audit::step_times(&plan, weights, &steps),
                }
            }
            Planned::Mixed(_, plan) => Profile {
                plan_ms,
                runs_ms,
                arena_bytes: plan.exact_bytes() + plan.estimated_bytes(),
                weight_bytes: plan.weight_bytes(),
                // Tract's steps and ours are not on one clock.
                steps: Vec::new(),
            },
        })
    }

    /// One run, and what each step of ours took.
    fn timed(
        &self,
        planned: &Planned<'_>,
        inputs: &[Tensor],
    ) -> Result<Vec<Duration>, EngineError> {
        let mut times = Vec::new();
        match planned {
            Planned::Ours(ours, plan) => {
                let mut arena = self.arena(plan)?;
                let data: Vec<&[f32]> = inputs.iter().map(|t| t.data.as_slice()).collect();
                let mut observe = |_: usize, time| times.push(time);
                let (cpu, weights) = (self.engine.cpu()?, &ours.weighed.weights);
                plan.run(cpu, weights, &data, arena.floats(), Some(&mut observe))
                    .map_err(|failed| self.failed(failed.to_string()))?;
            }
            Planned::Mixed(mixed, plan) => {
                self.within_budget(plan)?;
                plan.run(mixed, inputs)
                    .map_err(|error| error.of(&self.name))?;
            }
        }
        Ok(times)
    }

    /// The inputs' names and shapes, open axes filled with `open`.
    #[must_use]
    pub fn inputs(&self, open: usize) -> Vec<(String, Vec<usize>)> {
        let shape = |input: &Input| input.axes.iter().map(|a| a.unwrap_or(open)).collect();
        let inputs = self.own_inputs().iter();
        inputs
            .map(|input| (input.name.clone(), shape(input)))
            .collect()
    }

    /// The types of the inputs and of the outputs, in their order.
    #[must_use]
    pub fn element_types(&self) -> (Vec<ElementType>, Vec<ElementType>) {
        let of = |name: &String| match &self.body {
            Body::Ours(..) => ElementType::Float32,
            Body::Mixed(mixed) => mixed.element_type(name),
        };
        let inputs = self.own_inputs().iter().map(|input| of(&input.name));
        (inputs.collect(), self.outputs().iter().map(of).collect())
    }

    /// The outputs' names, in the order of [`Graph::run`].
    #[must_use]
    pub fn outputs(&self) -> &[String] {
        match &self.body {
            Body::Ours(ours, _) => &ours.weighed.source.outputs,
            Body::Mixed(mixed) => mixed.outputs(),
        }
    }

    fn own_inputs(&self) -> &[Input] {
        match &self.body {
            Body::Ours(ours, _) => &ours.weighed.source.inputs,
            Body::Mixed(mixed) => mixed.inputs(),
        }
    }

    /// Refused, where a run would need more than the budget allows, tract's part as estimated.
    fn within_budget(&self, plan: &mixed::Plan) -> Result<(), EngineError> {
        let needed = plan.exact_bytes().saturating_add(plan.estimated_bytes());
        let lacking = self.engine.lacks(needed);
        lacking.map_or(Ok(()), |lacking| Err(self.budget(&lacking)))
    }

    fn budget(&self, lacking: &Lacking) -> EngineError {
        EngineError::Budget {
            graph: self.name.clone(),
            needed: lacking.needed.div_ceil(1 << 20),
            allowed: lacking.allowed >> 20,
        }
    }

    /// Memory for one run, unless it would need more than the budget allows.
    fn arena(&self, plan: &Plan) -> Result<Arena<'_>, EngineError> {
        let arena = self.engine.arena(plan.arena_floats(), plan.bytes());
        arena.map_err(|lacking| self.budget(&lacking))
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

    fn plan(&self, shapes: Vec<Vec<usize>>) -> Result<Planned<'_>, EngineError> {
        self.fits(&shapes)?;
        let plan = self.body.plan(&self.engine, self.arithmetic, shapes);
        plan.map_err(|why| self.failed(why))
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
        let inputs = self.own_inputs();
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

fn load(graph: String, refused: &Refused) -> EngineError {
    EngineError::Load {
        graph,
        why: refused.to_string(),
    }
}

fn file_name(path: &Path) -> String {
    let name = path.file_name().unwrap_or(path.as_os_str());
    name.to_string_lossy().into_owned()
}

fn describe_input(input: &Input) -> String {
    let axes: Vec<String> = input
        .axes
        .iter()
        .map(|axis| axis.map_or_else(|| "?".to_owned(), |side| side.to_string()))
        .collect();
    format!("{} [{}]", input.name, axes.join(", "))
}
