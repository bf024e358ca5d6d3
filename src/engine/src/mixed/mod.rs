//! A graph that is ours in part: tract reads and runs the rest, in float.
//!
//! In go the bytes of an ONNX file of anybody's and input tensors; out come output tensors.
//! [`Graph`](crate::Graph) calls it where a caller allows it; a bundle of the product does not.
//! It must never leave an int8 form to tract, nor an operator that tract is not known to run rightly
//! ([`operators`]): both are refused by node.
//!
//! | file | what for |
//! |---|---|
//! | `operators.rs` | what tract may run |
//! | `types.rs` | the type of each value, and what tract may compute in it |
//! | `split.rs` | which nodes are ours, in which groups |
//! | `program.rs` | a group as an operator of tract |
//! | `model.rs` | all of it as a model of tract |
//! | `values.rs` | tensors on the way in and out |
//!
//! Which nodes are ours shows only when the shapes are known: what our plan refuses then is tract's
//! from there on, and the nodes are shared out anew.

mod model;
mod operators;
mod program;
mod split;
mod types;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::tract_hir::internal::*;

use super::Arithmetic;
use super::audit::{self, Product};
use super::digest::{self, ProductDigest};
use super::engine::Engine;
use super::error::EngineError;
use super::kernels::{Cpu, ShapeError};
use super::onnx::{self, Input, NodeProto, Opened, Refused, Rest};
use super::tensor::{ElementType, Tensor as Given};
use model::Failed;
use program::Part;
use tract_onnx::prelude::TypedRunnableModel;
use types::Types;

/// How often the nodes of a file may be shared out: each time more of them are tract's.
const MOST_SPLITS: usize = 64;

/// A node that tract runs.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct TractNode {
    /// The node's first output.
    pub node: String,
    /// ONNX's name of the operator.
    pub operator: String,
    /// Why it is not ours.
    pub why: String,
    /// Multiplications with an addition, as tract counts them; 0 where it has none.
    pub macs: u64,
}

/// A file, ready to be planned.
pub(super) struct Mixed {
    engine: Engine,
    arithmetic: Arithmetic,
    opened: Arc<Opened>,
    plans: Mutex<HashMap<Vec<Vec<usize>>, Arc<Plan>>>,
}

/// A model for inputs of certain shapes.
pub(super) struct Plan {
    runnable: Arc<TypedRunnableModel>,
    parts: Vec<Arc<Part>>,
    tracts: Vec<TractNode>,
    /// The most bytes that tract's values take at one time, as estimated.
    estimated: usize,
}

impl Mixed {
    /// Reads a file.
    ///
    /// # Errors
    /// [`Refused`], with the node or value to blame.
    pub fn read(engine: &Engine, bytes: &[u8], arithmetic: Arithmetic) -> Result<Self, Refused> {
        let opened = onnx::open(bytes, &Rest::Tracts(operators::can))?;
        Ok(Self {
            engine: engine.clone(),
            arithmetic,
            opened: Arc::new(opened),
            plans: Mutex::default(),
        })
    }

    pub fn inputs(&self) -> &[Input] {
        &self.opened.source.inputs
    }

    pub fn outputs(&self) -> &[String] {
        &self.opened.source.outputs
    }

    /// The type of an input or output, as the file says.
    pub fn element_type(&self, name: &str) -> ElementType {
        match self.opened.types.get(name) {
            Some(6) => ElementType::Int32,
            Some(7) => ElementType::Int64,
            Some(9) => ElementType::Bool,
            _ => ElementType::Float32,
        }
    }

    /// Plans it for inputs of these shapes, once.
    ///
    /// # Errors
    /// A sentence, with the node to blame.
    pub fn plan(&self, shapes: &[Vec<usize>]) -> Result<Arc<Plan>, String> {
        // A plan is only ever inserted whole, so a poisoned lock still guards good ones.
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(shapes) {
            return Ok(plan.clone());
        }
        let plan = Arc::new(self.planned(shapes)?);
        plans.insert(shapes.to_vec(), plan.clone());
        Ok(plan)
    }

    fn planned(&self, shapes: &[Vec<usize>]) -> Result<Plan, String> {
        let opened = &self.opened;
        let mut foreign = opened.foreign.clone();
        let types = Types::of(opened);
        let can = |node: &NodeProto| {
            operators::can(node, opened.opset)?;
            types.allow(node)
        };
        for _ in 0..MOST_SPLITS {
            let split = split::split(opened, &types, &mut foreign, |node| can(node).is_ok());
            for place in &split.tracts {
                let node = &opened.source.nodes[*place];
                let int8 = node
                    .input
                    .get(1)
                    .is_some_and(|name| opened.quantised.contains_key(name));
                if int8 && split::is_product(node) {
                    let why = foreign.get(&node.output[0]).map_or("", String::as_str);
                    return Err(Refused::node(node, why).to_string());
                }
                self.whole_steps(node)
                    .and_then(|()| can(node))
                    .map_err(|why| {
                        let ours = foreign.get(&node.output[0]).map_or("", String::as_str);
                        Refused::node(node, format!("{ours}; {why}")).to_string()
                    })?;
            }
            let parts: Vec<Arc<Part>> = split
                .groups
                .into_iter()
                .map(|group| Arc::new(Part::new(&self.engine, self.arithmetic, opened, group)))
                .collect();
            let made = model::runnable(&self.engine, opened, &split.tracts, &parts, shapes);
            let refused: Vec<Refused> = parts.iter().filter_map(|part| part.refused()).collect();
            match made {
                Ok(runnable) if refused.is_empty() => {
                    let tracts = tract_nodes(opened, &split.tracts, &foreign, &runnable.macs);
                    return Ok(Plan {
                        estimated: runnable.estimated,
                        runnable: runnable.plan,
                        parts,
                        tracts,
                    });
                }
                Err(failed)
                    if refused.is_empty() && parts.iter().all(|p| p.planned().is_some()) =>
                {
                    return Err(place(opened, &failed));
                }
                _ => self.hand_over(&types, &parts, &refused, &mut foreign)?,
            }
        }
        Err("its nodes could not be shared out between this engine and tract".to_owned())
    }

    /// Tract 0.23.9 does not cut what it slices in steps to the axis' length: such steps go from a place
    /// on to the end, or all the way back.
    fn whole_steps(&self, node: &NodeProto) -> Result<(), String> {
        let given = |i: usize| node.input.get(i).filter(|name| !name.is_empty());
        let (true, Some(steps)) = (node.op_type == "Slice", given(4)) else {
            return Ok(());
        };
        let numbers = |name: &String| self.opened.source.constants.get(name)?.ints();
        let bounds = [given(1), given(2)].map(|name| name.and_then(numbers));
        let (Some(steps), [Some(starts), Some(ends)]) = (numbers(steps), bounds) else {
            return Err("slices in steps that are no constants".to_owned());
        };
        let far = i64::from(i32::MAX);
        let fits = |((start, end), step): ((&i64, &i64), &i64)| {
            *step == 1
                || (*step > 1 && *start >= 0 && [far, i64::MAX].contains(end))
                || (*step == -1 && *start == -1 && *end <= i64::MIN + 1)
        };
        if starts.iter().zip(&ends).zip(&steps).all(fits) {
            return Ok(());
        }
        Err("slices in steps between two places".to_owned())
    }

    /// What our plan refused is tract's, and so is its like elsewhere in the file.
    fn hand_over(
        &self,
        types: &Types<'_>,
        parts: &[Arc<Part>],
        refused: &[Refused],
        foreign: &mut BTreeMap<String, String>,
    ) -> Result<(), String> {
        let nodes = &self.opened.source.nodes;
        let before = foreign.len();
        for refused in refused {
            let node = refused
                .output()
                .and_then(|made| nodes.iter().find(|node| node.output[0] == made));
            let node = node.ok_or_else(|| refused.to_string())?;
            let alike = nodes.iter().filter(|other| {
                other.op_type == node.op_type
                    && other.attribute == node.attribute
                    && other.input.len() == node.input.len()
            });
            for like in alike {
                let own = foreign.entry(like.output[0].clone());
                own.or_insert_with(|| refused.why().to_owned());
            }
        }
        if refused.is_empty() {
            // Groups that wait for what is known only while it runs: its readers are tract's. What
            // waits for another group's floats waits no longer then.
            let waiting: Vec<String> = parts
                .iter()
                .filter(|part| part.planned().is_none())
                .flat_map(|part| part.waiting())
                .collect();
            let whole: Vec<&String> = waiting.iter().filter(|n| !types.is_float(n)).collect();
            let late = if whole.is_empty() {
                waiting.iter().collect()
            } else {
                whole
            };
            let readers = nodes
                .iter()
                .filter(|node| node.input.iter().any(|name| late.contains(&name)));
            for reader in readers {
                let why = || "reads what is known only while it runs".to_owned();
                foreign.entry(reader.output[0].clone()).or_insert_with(why);
            }
        }
        if foreign.len() > before {
            return Ok(());
        }
        let first = refused.first().map(ToString::to_string);
        let why = "its shapes are not known beforehand".to_owned();
        Err(first.unwrap_or_else(|| place(&self.opened, &Failed(why))))
    }
}

/// Tract's message in a line. It names the node between quotes; where it names none, what the graph
/// makes stands for it.
fn place(opened: &Opened, failed: &Failed) -> String {
    const MOST: usize = 400;
    let said = failed.0.chars().filter(|c| !c.is_control()).take(MOST);
    let said: String = said.map(|c| if c == '"' { '`' } else { c }).collect();
    match opened.source.outputs.first() {
        Some(made) if !said.contains('`') => format!("tract, on the way to `{made}`: {said}"),
        _ => format!("tract: {said}"),
    }
}

fn tract_nodes(
    opened: &Opened,
    places: &[usize],
    foreign: &BTreeMap<String, String>,
    macs: &[(String, u64)],
) -> Vec<TractNode> {
    // Tract calls what it makes of a node by the node's name, a point and a word.
    let of = |name: &str| {
        let own = macs.iter().filter(|(made, _)| {
            let rest = made.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        });
        own.map(|(_, macs)| macs).sum()
    };
    let nodes = places.iter().map(|i| &opened.source.nodes[*i]);
    let nodes = nodes.map(|node| TractNode {
        node: node.output[0].clone(),
        operator: node.op_type.clone(),
        why: foreign.get(&node.output[0]).cloned().unwrap_or_default(),
        macs: of(&node.output[0]),
    });
    nodes.collect()
}

impl Plan {
    /// Runs it.
    ///
    /// # Errors
    /// [`EngineError`], its graph left empty.
    pub fn run(&self, mixed: &Mixed, inputs: &[Given]) -> Result<Vec<Given>, EngineError> {
        let fault = |why: String| EngineError::Run {
            graph: String::new(),
            why,
        };
        let names = mixed.inputs().iter().zip(inputs);
        let given = names.map(|(input, tensor)| {
            let kind = mixed.element_type(&input.name);
            values::into_tract(kind, tensor)
                .map_err(|why| fault(format!("`{}`: {why}", input.name)))
        });
        let given: TVec<TValue> = given.collect::<Result<_, _>>()?;
        let run = model::guarded(|| Ok(self.runnable.run(given)));
        let outputs = run.map_err(|failed| fault(place(&mixed.opened, &failed)))?;
        let outputs = outputs.map_err(|error| match error.downcast::<EngineError>() {
            Ok(own) => own,
            Err(error) => fault(place(&mixed.opened, &Failed::from(error))),
        })?;
        let named = mixed.outputs().iter().zip(outputs);
        let outputs = named.map(|(name, value)| {
            values::from_tract(mixed.element_type(name), &value)
                .map_err(|why| fault(format!("`{name}`: {why}")))
        });
        outputs.collect()
    }

    /// The products of our parts.
    pub fn products(&self, kernel: &'static str) -> Vec<Product> {
        let planned = self.parts.iter().filter_map(|part| part.planned());
        planned
            .flat_map(|planned| audit::products(&planned.plan, &planned.weighed.weights, kernel))
            .collect()
    }

    /// Digests of the products of our parts.
    ///
    /// # Errors
    /// [`ShapeError`]: a fault of this program's.
    pub fn digests(&self, cpu: &Cpu) -> Result<Vec<ProductDigest>, ShapeError> {
        let mut digests = Vec::new();
        for planned in self.parts.iter().filter_map(|part| part.planned()) {
            let weights = &planned.weighed.weights;
            digests.extend(digest::digests(&planned.plan, weights, cpu)?);
        }
        Ok(digests)
    }

    /// Bytes of our parts' packed weights.
    pub fn weight_bytes(&self) -> usize {
        let planned = self.parts.iter().filter_map(|part| part.planned());
        let bytes = planned.map(|planned| {
            let weights = planned.weighed.weights.values();
            weights.map(|weight| weight.as_bytes().len()).sum::<usize>()
        });
        bytes.sum()
    }

    /// What tract runs.
    pub fn tracts(&self) -> &[TractNode] {
        &self.tracts
    }

    /// Bytes that our parts need, exactly: one runs after the other.
    pub fn exact_bytes(&self) -> usize {
        let planned = self.parts.iter().filter_map(|part| part.planned());
        planned
            .map(|planned| planned.plan.bytes())
            .max()
            .unwrap_or(0)
    }

    /// Bytes that tract's values take, as estimated.
    pub fn estimated_bytes(&self) -> usize {
        self.estimated
    }
}
