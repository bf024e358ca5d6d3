//! An opened file as tract runs it: tract's nodes as they are, and one [`Program`] for each group
//! of ours.
//!
//! In goes a file's nodes, shared out, and the shapes of its inputs; out comes a model of tract's
//! that is ready to run. Only tract's own part is optimised.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::{Factoid, InferenceFact, InferenceModelExt, InferenceOp};
use tract_onnx::tract_hir::internal::*;

use tract_onnx::tract_core::ops::array::Pad;
use tract_onnx::tract_core::ops::cast::Cast;
use tract_onnx::tract_core::ops::cnn::{Conv, MaxPool, PaddingSpec, PoolSpec, SumPool};
use tract_onnx::tract_core::ops::konst::Const;

use super::program::{Part, Program};
use crate::engine::Engine;
use crate::onnx::{
    DataType, Dimension, DimensionProto, GraphProto, ModelProto, NodeProto, Opened, Refused,
    TensorProto, TensorShapeProto, TensorTypeProto, TypeProto, TypeValue, ValueInfoProto, tensor,
};

/// The operator's name in the model that tract is given.
const PROGRAM: &str = "medfocus.Program";

const PANICKED: &str = "panicked";

/// A model that runs.
pub(super) struct Runnable {
    pub plan: Arc<TypedRunnableModel>,
    /// Multiplications with an addition of each of tract's nodes that has any, by name.
    pub macs: Vec<(String, u64)>,
    /// The most bytes that tract's values take at one time.
    pub estimated: usize,
}

/// Why tract cannot run a model, in its own words.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Failed(pub String);

impl From<TractError> for Failed {
    fn from(error: TractError) -> Self {
        Self(format!("{error:#}"))
    }
}

/// What `work` comes to; a panic of tract's is an error like others.
///
/// # Errors
/// [`Failed`].
pub(super) fn guarded<T>(work: impl FnOnce() -> TractResult<T>) -> Result<T, Failed> {
    match catch_unwind(AssertUnwindSafe(work)) {
        Ok(done) => Ok(done?),
        Err(_) => Err(Failed(PANICKED.to_owned())),
    }
}

/// A model of these parts, ready to run on inputs of these shapes.
///
/// # Errors
/// [`Failed`]: tract cannot, or a part was refused and says why.
pub(super) fn runnable(
    engine: &Engine,
    opened: &Opened,
    tracts: &[usize],
    parts: &[Arc<Part>],
    shapes: &[Vec<usize>],
) -> Result<Runnable, Failed> {
    let proto = model(opened, tracts, parts, shapes);
    let proto = proto.map_err(|refused| Failed(refused.to_string()))?;
    let mut model = guarded(|| parsed(&proto, parts))?;
    drop(proto);
    match guarded(|| model.analyse(false)) {
        Ok(_) => {}
        Err(Failed(why)) if why == PANICKED => return Err(panicked_at(&model)),
        Err(failed) => return Err(failed),
    }
    let made = guarded(|| {
        no_empty(&model)?;
        let model = model.into_typed()?;
        no_known_fault(&model)?;
        let macs = macs(&model)?;
        let plain = model.clone().into_runnable()?;
        let quick = model
            .into_decluttered()?
            .into_optimized()?
            .into_runnable()?;
        Ok((plain, quick, macs))
    });
    let (plain, quick, macs) = made?;
    let most = estimated(&plain).max(estimated(&quick));
    // Where they cannot be compared, the plain one is the one to trust.
    let quick_is_right =
        engine.lacks(most).is_none() && guarded(|| alike(&plain, &quick)).unwrap_or(false);
    let plan = if quick_is_right { quick } else { plain };
    Ok(Runnable {
        estimated: estimated(&plan),
        plan,
        macs,
    })
}

/// The most bytes of tract's values that stand at one time, each from the node that makes it to the
/// last that reads it.
fn estimated(runnable: &TypedRunnableModel) -> usize {
    let model = runnable.model();
    let bytes = |fact: &TypedFact| {
        let sides = fact.shape.as_concrete();
        let count = sides.map_or(0, |sides| {
            sides
                .iter()
                .fold(1_usize, |n, side| n.saturating_mul(*side))
        });
        count.saturating_mul(fact.datum_type.size_of())
    };
    let order = runnable.order_without_consts();
    let mut last: HashMap<OutletId, usize> = HashMap::new();
    for (step, node) in order.iter().enumerate() {
        last.extend(
            model.nodes[*node]
                .inputs
                .iter()
                .map(|outlet| (*outlet, step)),
        );
    }
    let (mut now, mut most) = (0_usize, 0_usize);
    for (step, node) in order.iter().enumerate() {
        let made: usize = model.nodes[*node]
            .outputs
            .iter()
            .map(|o| bytes(&o.fact))
            .fold(0, usize::saturating_add);
        now = now.saturating_add(made);
        most = most.max(now);
        let ended = model.nodes[*node]
            .inputs
            .iter()
            .filter(|outlet| last.get(outlet) == Some(&step));
        let ended: HashSet<_> = ended.collect();
        for outlet in ended {
            if let Ok(fact) = model.outlet_fact(*outlet)
                && !model.nodes[outlet.node].op_is::<Const>()
            {
                now = now.saturating_sub(bytes(fact));
            }
        }
    }
    most
}

/// Whether what tract made of a model comes to what the model says, on made-up inputs. Tract 0.23.9
/// turns some differences around when it joins them with the convolution before.
fn alike(plain: &Arc<TypedRunnableModel>, quick: &Arc<TypedRunnableModel>) -> TractResult<bool> {
    /// Of the largest value: more than another order of sums makes.
    const APART: f32 = 1e-3;
    let model = plain.model();
    let inputs = model.input_outlets()?.iter().enumerate();
    let inputs = inputs.map(|(i, outlet)| made_up(i, model.outlet_fact(*outlet)?));
    let inputs: TVec<TValue> = inputs.collect::<TractResult<_>>()?;
    let outputs = plain
        .run(inputs.clone())?
        .into_iter()
        .zip(quick.run(inputs)?);
    for (a, b) in outputs {
        let (a, b) = (a.cast_to::<f32>()?, b.cast_to::<f32>()?);
        if a.shape() != b.shape() {
            return Ok(false);
        }
        let (a, b) = (a.try_as_plain_ram()?, b.try_as_plain_ram()?);
        let (a, b) = (a.as_slice::<f32>()?, b.as_slice::<f32>()?);
        let finite = a.iter().filter(|v| v.is_finite());
        let largest = finite.fold(1e-6_f32, |most, v| most.max(v.abs()));
        let same = |a: f32, b: f32| {
            a == b || (a.is_nan() && b.is_nan()) || (a - b).abs() <= APART * largest
        };
        if !a.iter().zip(b).all(|(a, b)| same(*a, *b)) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An input of small numbers about zero, the same at every time.
fn made_up(seed: usize, fact: &TypedFact) -> TractResult<TValue> {
    let shape = fact.shape.as_concrete().context("an input of open shape")?;
    let count: usize = shape.iter().product();
    let mut state = seed as u32 + 1;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..count).map(|_| next()).collect();
    let tensor = Tensor::from_shape(shape, &values)?;
    let made = if fact.datum_type.is_float() {
        tensor
    } else {
        // Whole numbers may be places in a table: nought is in each.
        Tensor::zero_dt(fact.datum_type, shape)?
    };
    Ok(made.into_tvalue())
}

fn macs(model: &TypedModel) -> TractResult<Vec<(String, u64)>> {
    let mut macs = Vec::new();
    for node in model.nodes() {
        let costs = node.op.cost(&model.node_input_facts(node.id)?)?;
        let products = costs
            .iter()
            .filter(|(cost, _)| matches!(cost, Cost::FMA(_)));
        let own: i64 = products.filter_map(|(_, count)| count.to_i64().ok()).sum();
        if let Some(own) = u64::try_from(own).ok().filter(|own| *own > 0) {
            macs.push((node.name.clone(), own));
        }
    }
    Ok(macs)
}

/// Tract's model of a file, our parts in their places.
fn parsed(proto: &ModelProto, parts: &[Arc<Part>]) -> TractResult<InferenceModel> {
    let parsed = tract_onnx::onnx().parse(proto, None)?;
    if let Some(missing) = parsed.unresolved_inputs.first() {
        bail!("`{missing}` is made by no node");
    }
    let mut model = parsed.model;
    let programs = parts.iter().enumerate();
    let programs: HashMap<String, &Arc<Part>> = programs.map(|(i, part)| (name(i), part)).collect();
    for node in &mut model.nodes {
        if let Some(part) = programs.get(&node.name) {
            let program: Box<dyn InferenceOp> = Box::new(Program((*part).clone()));
            node.op = program;
        }
    }
    Ok(model)
}

/// The node that tract was at: the first that knows the shapes that it reads, and not what it makes.
fn panicked_at(model: &InferenceModel) -> Failed {
    let known = |fact: &InferenceFact| fact.shape.concretize().is_some();
    let order = model.eval_order().unwrap_or_default();
    let at = order.into_iter().find(|id| {
        let Ok((reads, made)) = model.node_facts(*id) else {
            return false;
        };
        reads.iter().all(|fact| known(fact)) && !made.iter().all(|fact| known(fact))
    });
    let at = at.map_or("", |id| model.node(id).name.as_str());
    Failed(format!("{PANICKED} at `{at}`"))
}

/// Tract divides by the lengths of what it computes with. Whole numbers without elements are harmless: parts
/// of shapes.
fn no_empty(model: &InferenceModel) -> TractResult<()> {
    let zero = TDim::from(0);
    for node in model.nodes().iter().filter(|node| !node.inputs.is_empty()) {
        let empty = node.outputs.iter().any(|output| {
            let kind = output.fact.datum_type.concretize();
            let shape = output.fact.shape.concretize();
            kind.is_none_or(|kind| kind.is_float()) && shape.is_some_and(|s| s.contains(&zero))
        });
        if empty {
            bail!("`{}` has no elements", node.name);
        }
    }
    Ok(())
}

/// What tract would answer wrongly, or not come back from, once the shapes are known: floats that
/// become whole numbers while it runs, since what the type cannot hold has no answer; negative pads;
/// windows that are larger than their image.
fn no_known_fault(model: &TypedModel) -> TractResult<()> {
    for node in model.nodes().iter().filter(|node| !node.op_is::<Const>()) {
        let name = &node.name;
        if let Some(cast) = node.op_as::<Cast>() {
            let from = model.outlet_fact(node.inputs[0])?;
            // Tract has a type of its own for whole numbers of 64 bits that may be sides.
            let to_whole = cast.to.is_integer() || cast.to.is_tdim();
            if to_whole && from.datum_type.is_float() && from.konst.is_none() {
                bail!("`{name}` casts floats to whole numbers while it runs");
            }
        }
        if let Some(pad) = node.op_as::<Pad>() {
            let negative = |pad: &usize| isize::try_from(*pad).is_err();
            if pad.pads.iter().any(|(a, b)| negative(a) || negative(b)) {
                bail!("`{name}` pads by less than nothing");
            }
        }
        let pool = match (
            node.op_as::<SumPool>(),
            node.op_as::<MaxPool>(),
            node.op_as::<Conv>(),
        ) {
            (Some(pool), ..) => Some(&pool.pool_spec),
            (_, Some(pool), _) => Some(&pool.pool_spec),
            (.., Some(conv)) => Some(&conv.pool_spec),
            _ => None,
        };
        if let Some(pool) = pool
            && !fits(pool, model.outlet_fact(node.inputs[0])?)?
        {
            bail!("`{name}` moves a window that is larger than its image");
        }
    }
    Ok(())
}

/// Whether a window fits into its padded image.
fn fits(pool: &PoolSpec, image: &TypedFact) -> TractResult<bool> {
    let Some(shape) = image.shape.as_concrete() else {
        return Ok(true);
    };
    let image = pool.data_format.shape(shape.to_vec())?;
    let (before, after) = match &pool.padding {
        PaddingSpec::Explicit(before, after) | PaddingSpec::ExplicitOnnxPool(before, after, _) => {
            (&**before, &**after)
        }
        PaddingSpec::Valid => (&[][..], &[][..]),
        PaddingSpec::SameUpper | PaddingSpec::SameLower => return Ok(true),
    };
    let at = |sides: &[usize], axis: usize| sides.get(axis).copied().unwrap_or(0);
    let mut axes = image.hw_dims().iter().enumerate();
    Ok(axes.all(|(axis, side)| {
        let apart = pool.dilations.as_ref().map_or(1, |d| at(d, axis));
        let window = (pool.kernel_shape[axis] - 1) * apart + 1;
        side + at(before, axis) + at(after, axis) >= window
    }))
}

fn name(part: usize) -> String {
    format!("{PROGRAM}.{part}")
}

/// The ONNX model of tract's nodes and ours as programs.
fn model(
    opened: &Opened,
    tracts: &[usize],
    parts: &[Arc<Part>],
    shapes: &[Vec<usize>],
) -> Result<ModelProto, Refused> {
    let source = &opened.source;
    let mut nodes: Vec<NodeProto> = tracts.iter().map(|i| in_own_form(opened, *i)).collect();
    nodes.extend(parts.iter().enumerate().map(|(i, part)| NodeProto {
        name: name(i),
        op_type: PROGRAM.to_owned(),
        input: part.group.inputs.clone(),
        output: part.group.outputs.clone(),
        ..NodeProto::default()
    }));
    let read: BTreeSet<&String> = tracts
        .iter()
        .flat_map(|i| &source.nodes[*i].input)
        .chain(&source.outputs)
        .collect();
    let constants = read.into_iter().filter_map(|name| constant(opened, name));
    let inputs = source.inputs.iter().zip(shapes);
    let inputs = inputs.map(|(input, shape)| {
        let number = opened.types.get(&input.name).copied();
        typed(&input.name, number.unwrap_or(DataType::Float as i32), shape)
    });
    let outputs = source.outputs.iter().map(|name| ValueInfoProto {
        name: name.clone(),
        ..ValueInfoProto::default()
    });
    Ok(ModelProto {
        opset_import: opened.imports.clone(),
        graph: Some(GraphProto {
            initializer: constants.collect::<Result<_, _>>()?,
            input: inputs.collect(),
            output: outputs.collect(),
            node: nodes,
            ..GraphProto::default()
        }),
        ..ModelProto::default()
    })
}

/// A node as tract is given it: in its file's own form, called by what it makes.
fn in_own_form(opened: &Opened, place: usize) -> NodeProto {
    let node = &opened.source.nodes[place];
    let mut own = node.clone();
    own.name.clone_from(&node.output[0]);
    own
}

/// A constant in the type that its file gives it.
fn constant(opened: &Opened, name: &String) -> Option<Result<TensorProto, Refused>> {
    if let Some(tensor) = opened.unread.get(name) {
        return Some(Ok(tensor.clone()));
    }
    if let Some(quantised) = opened.quantised.get(name) {
        let floats = crate::onnx::Constant::float(&quantised.shape, quantised.floats());
        return Some(Ok(tensor((name, &floats))));
    }
    let constant = opened.source.constants.get(name)?;
    let mut made = tensor((name, constant));
    let number = opened.types.get(name).copied().unwrap_or(made.data_type);
    if number == made.data_type {
        return Some(Ok(made));
    }
    let whole = constant.ints().unwrap_or_default();
    match DataType::try_from(number) {
        Ok(DataType::Int32) => {
            let narrow = whole.iter().map(|v| i32::try_from(*v));
            let narrow: Result<Vec<i32>, _> = narrow.collect();
            let narrow = match narrow {
                Ok(narrow) => narrow,
                Err(error) => return Some(Err(Refused::value(name, error.to_string()))),
            };
            made.raw_data = narrow.iter().flat_map(|v| v.to_le_bytes()).collect();
        }
        Ok(DataType::Bool) => {
            made.raw_data = whole.iter().map(|v| u8::from(*v != 0)).collect();
        }
        // Codes that became floats: the float is what tract gets.
        _ => return Some(Ok(made)),
    }
    made.data_type = number;
    Some(Ok(made))
}

fn typed(name: &str, number: i32, shape: &[usize]) -> ValueInfoProto {
    let sides = shape.iter().map(|side| DimensionProto {
        value: Some(Dimension::DimValue(*side as i64)),
        ..DimensionProto::default()
    });
    ValueInfoProto {
        name: name.to_owned(),
        r#type: Some(TypeProto {
            value: Some(TypeValue::TensorType(TensorTypeProto {
                elem_type: number,
                shape: Some(TensorShapeProto {
                    dim: sides.collect(),
                }),
            })),
            ..TypeProto::default()
        }),
        ..ValueInfoProto::default()
    }
}
