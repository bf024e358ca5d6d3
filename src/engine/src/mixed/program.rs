//! A group of our nodes as one operator of tract: planned once its inputs' shapes are known, run by
//! our plan, in our arena, on our threads.
//!
//! Tract makes one [`Program`] a group while it works out a graph's shapes, and runs it. It must
//! never compute anything itself: what it cannot plan it leaves as a [`Refused`], for the group to be
//! shared out anew.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use tract_onnx::tract_core::op_as_typed_op;
use tract_onnx::tract_hir::infer::{
    Factoid, InferenceFact, InferenceModel, InferenceNode, InferenceOp,
};
use tract_onnx::tract_hir::internal::*;

use super::split::Group;
use crate::Arithmetic;
use crate::engine::Engine;
use crate::error::EngineError;
use crate::onnx::{self, Constant, Input, Opened, Refused, Source, Values};
use crate::plan::{self, Plan};
use crate::weighed::Weighed;

/// A group, as it stands in its file.
#[derive(Debug)]
pub(super) struct Part {
    pub engine: Engine,
    pub arithmetic: Arithmetic,
    pub opened: Arc<Opened>,
    pub group: Group,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    planned: Option<(Key, Arc<Planned>)>,
    refused: Option<Refused>,
    /// Inputs whose shape or values were not known when tract asked last.
    waiting: Vec<String>,
}

/// What a plan is made for: each input's shape, and its values where they are known.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Key(Vec<(Vec<usize>, Option<Arc<Tensor>>)>);

/// A group that can run.
pub(super) struct Planned {
    pub weighed: Weighed,
    pub plan: Plan,
    /// The inputs that it reads while it runs, by their place among the group's.
    pub read: Vec<usize>,
    pub outputs: Vec<Vec<usize>>,
}

impl fmt::Debug for Planned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Planned")
            .field("outputs", &self.outputs)
            .finish_non_exhaustive()
    }
}

impl Part {
    pub fn new(
        engine: &Engine,
        arithmetic: Arithmetic,
        opened: &Arc<Opened>,
        group: Group,
    ) -> Self {
        Self {
            engine: engine.clone(),
            arithmetic,
            opened: opened.clone(),
            group,
            state: Mutex::default(),
        }
    }

    /// The plan that was made last.
    pub fn planned(&self) -> Option<Arc<Planned>> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.planned.as_ref().map(|(_, planned)| planned.clone())
    }

    /// Why it could not be planned.
    pub fn refused(&self) -> Option<Refused> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.refused.clone()
    }

    /// Inputs that it still waits for.
    pub fn waiting(&self) -> Vec<String> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting.clone()
    }

    fn waits_for(&self, inputs: &[&InferenceFact]) {
        let named = self.group.inputs.iter().zip(inputs);
        let unknown = named.filter(|(_, fact)| known(fact).is_none());
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.waiting = unknown.map(|(name, _)| name.clone()).collect();
    }

    /// The plan for these inputs; `None` where it is refused.
    fn plan(&self, key: Key) -> Option<Arc<Planned>> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((known, planned)) = &state.planned
            && *known == key
        {
            return Some(planned.clone());
        }
        match self.planned_for(&key) {
            Ok(planned) => {
                let planned = Arc::new(planned);
                state.planned = Some((key, planned.clone()));
                Some(planned)
            }
            Err(refused) => {
                state.refused = Some(refused);
                None
            }
        }
    }

    fn planned_for(&self, key: &Key) -> Result<Planned, Refused> {
        let Opened {
            source, quantised, ..
        } = &*self.opened;
        let nodes: Vec<_> = self
            .group
            .nodes
            .iter()
            .map(|i| source.nodes[*i].clone())
            .collect();
        let mut constants = BTreeMap::new();
        let mut codes = HashMap::new();
        for name in nodes.iter().flat_map(|node| &node.input) {
            if let Some(constant) = source.constants.get(name) {
                constants.insert(name.clone(), constant.clone());
            }
            if let Some(of) = quantised.get(name) {
                codes.insert(name.clone(), of.clone());
            }
        }
        let (mut inputs, mut read, mut shapes) = (Vec::new(), Vec::new(), Vec::new());
        for (i, (name, (shape, values))) in self.group.inputs.iter().zip(&key.0).enumerate() {
            if let Some(values) = values {
                constants.insert(name.clone(), constant(name, values)?);
                continue;
            }
            inputs.push(Input {
                name: name.clone(),
                axes: shape.iter().map(|side| Some(*side)).collect(),
            });
            shapes.push(shape.clone());
            read.push(i);
        }
        let group = Source {
            inputs,
            outputs: self.group.outputs.clone(),
            nodes,
            constants,
        };
        let cpu = self.engine.cpu();
        let cpu = cpu.map_err(|error| Refused::file(error.to_string()))?;
        let (group, matrices) = onnx::ours(group, self.opened.opset, codes, self.arithmetic)?;
        let weighed = Weighed::new(cpu.kernel(), group, matrices)?;
        let plan = Plan::new(
            &weighed.source,
            &weighed.weights,
            cpu,
            self.arithmetic,
            &shapes,
        )?;
        let outputs = plan.output_shapes().map(<[usize]>::to_vec).collect();
        Ok(Planned {
            weighed,
            plan,
            read,
            outputs,
        })
    }
}

/// Values that tract has worked out, as a constant of ours.
fn constant(name: &str, tensor: &Tensor) -> Result<Constant, Refused> {
    let fault = |error: TractError| Refused::value(name, error.to_string());
    let values = if tensor.datum_type() == f32::datum_type() {
        let plain = tensor.try_as_plain_ram().map_err(fault)?;
        Values::F32(plain.as_slice::<f32>().map_err(fault)?.to_vec().into())
    } else {
        let whole = tensor.cast_to::<i64>().map_err(fault)?;
        let plain = whole.try_as_plain_ram().map_err(fault)?;
        Values::Int(plain.as_slice::<i64>().map_err(fault)?.to_vec())
    };
    Ok(Constant {
        shape: tensor.shape().to_vec(),
        values,
    })
}

/// A group as an operator of tract.
#[derive(Debug, Clone)]
pub(super) struct Program(pub Arc<Part>);

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Program {}

impl Op for Program {
    fn name(&self) -> StaticName {
        "Program".into()
    }

    op_as_typed_op!();
}

impl EvalOp for Program {
    not_out_of_plan!();

    fn eval(&self, _context: &EvalContext, inputs: TVec<TValue>) -> TractResult<TVec<TValue>> {
        let planned = self.0.planned().context("a program that was not planned")?;
        let read = planned.read.iter().map(|i| {
            let plain = inputs[*i].try_as_plain_ram()?;
            plain.as_slice::<f32>()
        });
        let read: Vec<&[f32]> = read.collect::<TractResult<_>>()?;
        let outputs = self.0.run(&planned, &read)?;
        let outputs = outputs.into_iter().map(|(shape, values)| {
            let tensor = Tensor::from_shape(&shape, &values)?;
            Ok(tensor.into_tvalue())
        });
        outputs.collect()
    }
}

impl Part {
    fn run(&self, planned: &Planned, inputs: &[&[f32]]) -> Result<Vec<plan::Output>, EngineError> {
        let cpu = self.engine.cpu()?;
        let plan = &planned.plan;
        let arena = self.engine.arena(plan.arena_floats(), plan.bytes());
        let mut arena = arena.map_err(|lacking| EngineError::Budget {
            graph: String::new(),
            needed: lacking.needed.div_ceil(1 << 20),
            allowed: lacking.allowed >> 20,
        })?;
        let run = plan.run(cpu, &planned.weighed.weights, inputs, arena.floats(), None);
        run.map_err(|failed| EngineError::Run {
            graph: String::new(),
            why: failed.to_string(),
        })
    }
}

impl TypedOp for Program {
    as_op!();

    fn output_facts(&self, _inputs: &[&TypedFact]) -> TractResult<TVec<TypedFact>> {
        let planned = self.0.planned().context("a program that was not planned")?;
        let facts = planned.outputs.iter().map(f32::fact);
        Ok(facts.collect())
    }
}

/// What tract knows of a value: its shape, its type and, of a constant, its values.
fn known(fact: &InferenceFact) -> Option<(Vec<usize>, Option<Arc<Tensor>>)> {
    let sides = fact.shape.concretize()?;
    let sides = sides.iter().map(|side| side.to_usize().ok());
    let shape = sides.collect::<Option<Vec<usize>>>()?;
    let values = fact.value.concretize();
    let is_float = fact.datum_type.concretize()? == f32::datum_type();
    (is_float || values.is_some()).then_some((shape, values))
}

impl InferenceOp for Program {
    fn infer_facts(
        &mut self,
        inputs: TVec<&InferenceFact>,
        outputs: TVec<&InferenceFact>,
        observed: TVec<&InferenceFact>,
    ) -> TractResult<(
        TVec<InferenceFact>,
        TVec<InferenceFact>,
        TVec<InferenceFact>,
    )> {
        let own = |facts: TVec<&InferenceFact>| facts.into_iter().cloned().collect();
        let key: Option<Vec<_>> = inputs.iter().map(|fact| known(fact)).collect();
        let Some(key) = key else {
            self.0.waits_for(&inputs);
            return Ok((own(inputs), own(outputs), own(observed)));
        };
        let planned = self
            .0
            .plan(Key(key))
            .context("a group that cannot be planned")?;
        let facts = planned.outputs.iter();
        let facts = facts.map(|shape| InferenceFact::dt_shape(f32::datum_type(), shape));
        Ok((own(inputs), facts.collect(), own(observed)))
    }

    fn nboutputs(&self) -> TractResult<usize> {
        Ok(self.0.group.outputs.len())
    }

    as_op!();

    fn to_typed(
        &self,
        _source: &InferenceModel,
        node: &InferenceNode,
        target: &mut TypedModel,
        mapping: &HashMap<OutletId, OutletId>,
    ) -> TractResult<TVec<OutletId>> {
        let inputs: TVec<OutletId> = node.inputs.iter().map(|outlet| mapping[outlet]).collect();
        target.wire_node(&*node.name, self.clone(), &inputs)
    }
}
