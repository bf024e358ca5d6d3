//! From nodes to steps, once the input shapes are known.
//!
//! Node by node, in order: shapes are worked out, whole numbers fold away, moves of data
//! become views, and what is left becomes steps. What only depends on constants is run
//! at once. Operators that fold into a neighbour (a norm into the product behind it, a
//! sum into the product before it) do so here, where shapes and readers are known.

use std::collections::{BTreeMap, HashMap};

use super::elementwise::Unary;
use super::known::{Known, LARGEST, clamped};
use super::step::{Place, Step, Weights};
use super::tensor::{Kind, Layout, Scores, Tensor, Value};
use super::view::View;
use crate::Arithmetic;
use crate::floats::Floats;
use crate::kernels::Cpu;
use crate::refused::Refused;
use crate::typed::{Binary, Node, Operator, Over, TypedGraph, Values};

/// What lowering gives: steps in order, and where the outputs are.
pub(super) struct Lowered {
    pub steps: Vec<Step>,
    pub constants: Vec<Floats>,
    /// Floats of each buffer.
    pub buffers: Vec<usize>,
    /// Constants that were made here, with the last name and shape that a node gave them.
    pub folded: BTreeMap<usize, (String, Vec<usize>)>,
    /// Each output's place, contiguous, and its shape.
    pub outputs: Vec<(Place, Vec<usize>)>,
}

/// The walk's state.
pub(super) struct Lowering<'a> {
    pub source: &'a TypedGraph,
    pub weights: &'a Weights,
    pub cpu: &'a Cpu,
    pub arithmetic: Arithmetic,
    uses: HashMap<&'a str, usize>,
    pub(super) values: HashMap<&'a str, Value>,
    /// Of values that hold no floats.
    pub(super) kinds: HashMap<&'a str, Kind>,
    pub(super) constants: Vec<Floats>,
    named: BTreeMap<&'a str, usize>,
    folded: BTreeMap<usize, (String, Vec<usize>)>,
    /// `None` for a step that has become part of another.
    pub(super) steps: Vec<Option<Step>>,
    pub(super) buffers: Vec<usize>,
    /// The step that wrote each buffer last.
    pub(super) makers: Vec<Option<usize>>,
    /// Copies in another order that were made, by what they are of.
    pub(super) copies: Vec<(Place, View, Tensor)>,
}

/// Whether a value of this shape is no larger than any that is planned: 2^28 elements, 1 GiB.
pub(super) fn is_held(shape: &[usize]) -> bool {
    let count = shape
        .iter()
        .try_fold(1_usize, |n, side| n.checked_mul(*side));
    count.is_some_and(|count| count <= 1 << 28)
}

/// Why a node cannot become steps, without the node's name.
pub(super) type Lower<T> = Result<T, String>;

/// Plans `source` for inputs of these shapes.
///
/// # Errors
/// [`Refused`], with the node that has no operator here or whose shapes do not fit.
pub(super) fn lower(
    source: &TypedGraph,
    weights: &Weights,
    cpu: &Cpu,
    arithmetic: Arithmetic,
    inputs: &[Vec<usize>],
) -> Result<Lowered, Refused> {
    let mut lowering = Lowering {
        source,
        weights,
        cpu,
        arithmetic,
        uses: source.uses(),
        values: HashMap::new(),
        kinds: HashMap::new(),
        constants: Vec::new(),
        named: BTreeMap::new(),
        folded: BTreeMap::new(),
        steps: Vec::new(),
        buffers: Vec::new(),
        makers: Vec::new(),
        copies: Vec::new(),
    };
    for (i, (input, shape)) in source.inputs.iter().zip(inputs).enumerate() {
        let tensor = Tensor {
            place: Place::Input(i),
            layout: Layout::View(View::contiguous(shape)),
            factor: 1.0,
            sole: false,
        };
        lowering.values.insert(&input.name, Value::Tensor(tensor));
    }
    for node in &source.nodes {
        lowering
            .node(node)
            .map_err(|why| Refused::node(node, why))?;
    }
    let mut outputs = Vec::new();
    for name in &source.outputs {
        let output = lowering.value(name).and_then(|value| {
            if lowering.kind(name) != Kind::Float {
                return Err("an output that holds no floats".to_owned());
            }
            let tensor = lowering.settled(value)?;
            lowering.dense(tensor)
        });
        let output = output.map_err(|why| Refused::value(name, why))?;
        let shape = output.shape();
        outputs.push((output.place, shape));
    }
    Ok(Lowered {
        steps: lowering.steps.into_iter().flatten().collect(),
        constants: lowering.constants,
        folded: lowering.folded,
        buffers: lowering.buffers,
        outputs,
    })
}

impl<'a> Lowering<'a> {
    fn node(&mut self, node: &'a Node) -> Lower<()> {
        if let Some(known) = self.known(node) {
            self.bind_known(node.made(), known);
            return Ok(());
        }
        self.reads_what_can_be_walked(node)?;
        let kind = self.kind_made(node)?;
        if kind != Kind::Float {
            let outputs = node.outputs.iter();
            self.kinds
                .extend(outputs.map(|output| (output.as_str(), kind)));
        }
        let made = match &node.operator {
            Operator::Product(product) => match product.over {
                Over::Rows => self.linear(node, product)?,
                Over::Patches {
                    kernel,
                    stride,
                    padding,
                    order,
                } => self.convolution(node, product, order, [kernel, stride], padding)?,
                Over::Pixels { kernel } => self.transposed_convolution(node, product, kernel)?,
            },
            Operator::MatMul => return self.matmul(node),
            Operator::Softmax { axis, joins } => return self.softmax(node, *axis, *joins),
            Operator::Split(axis, sizes) => return self.split(node, *axis, sizes),
            Operator::Cast(to) => return self.cast(node, *to),
            Operator::Binary(by @ (Binary::Mul | Binary::Div)) => return self.scale(node, *by),
            Operator::Binary(Binary::Add) => self.add(node)?,
            Operator::Binary(by) => self.pointwise(node, *by)?,
            Operator::Sum => self.pointwise(node, Binary::Add)?,
            Operator::Function(of) => self.one_of_one(node, Unary::Function(*of))?,
            Operator::TanhGelu => self.one_of_one(node, Unary::TanhGelu)?,
            Operator::Requantise(codes) => self.one_of_one(node, Unary::Requantise(*codes))?,
            Operator::Activation(activation) => self.activation(node, *activation)?,
            Operator::Clip { least, most } => self.clip(node, *least, *most)?,
            Operator::Where => self.choose(node)?,
            Operator::LayerNormalization(axis, epsilon) => {
                self.layer_norm(node, *axis, *epsilon)?
            }
            Operator::ReduceMean(reduction) => self.mean(node, reduction)?,
            Operator::MaxPool => self.max_pool(node)?,
            Operator::Resize(by) => self.resize(node, *by)?,
            Operator::Concat(axis) => self.concat(node, *axis)?,
            Operator::ConstantOfShape(fill) => self.constant_of_shape(node, *fill)?,
            Operator::Identity => self.tensor(node, 0)?,
            Operator::Transpose(order) => self.transpose(node, order)?,
            Operator::Slice => self.slice(node)?,
            Operator::Gather(axis) => self.gather(node, *axis)?,
            Operator::Expand => self.expand(node)?,
            Operator::Pad => self.pad(node)?,
            Operator::Reshape(_)
            | Operator::Flatten(_)
            | Operator::Squeeze(_)
            | Operator::Unsqueeze(_) => self.in_new_shape(node)?,
            Operator::Gemm(_) | Operator::Conv(_) | Operator::ConvTranspose(_) => {
                return Err("has weights that are not known here".to_owned());
            }
            Operator::Shape(..) | Operator::Range | Operator::ReduceProd(_) => {
                return Err("is not known beforehand".to_owned());
            }
        };
        self.bind(node.made(), made);
        Ok(())
    }

    /// Steps divide by the lengths of what they read, and planning them takes a place for each row.
    fn reads_what_can_be_walked(&self, node: &Node) -> Lower<()> {
        for name in &node.inputs {
            let shape = match self.values.get(name.as_str()) {
                Some(Value::Tensor(tensor)) => tensor.shape(),
                Some(_) => continue,
                None => match self.source.constants.get(name) {
                    Some(constant) if constant.floats().is_some() => constant.shape.clone(),
                    _ => continue,
                },
            };
            if shape.contains(&0) {
                return Err(format!("reads `{name}`, which has no elements"));
            }
            if !is_held(&shape) {
                return Err(format!("reads `{name}`, which no machine here could hold"));
            }
        }
        Ok(())
    }

    /// Names whole numbers that are known.
    pub fn bind_known(&mut self, name: &'a str, known: Known) {
        self.kinds.insert(name, Kind::Whole);
        self.values.insert(name, Value::Known(known));
    }

    /// Names a value; it stays the sole way to its buffer only if one node reads it.
    pub fn bind(&mut self, name: &'a str, mut tensor: Tensor) {
        tensor.sole &= self.read_once(name);
        self.note_folded(name, &tensor);
        self.values.insert(name, Value::Tensor(tensor));
    }

    fn note_folded(&mut self, name: &str, tensor: &Tensor) {
        let Place::Constant(id) = tensor.place else {
            return;
        };
        let whole = tensor.view().is_some_and(|view| {
            view.is_contiguous() && view.offset == 0 && view.len() == self.constants[id].len()
        });
        let is_given = self.named.values().any(|given| *given == id);
        if whole && tensor.factor == 1.0 && !is_given {
            let named = (name.to_owned(), tensor.shape());
            self.folded.insert(id, named);
        }
    }

    pub fn bind_scores(&mut self, name: &'a str, scores: Scores) {
        self.values.insert(name, Value::Scores(Box::new(scores)));
    }

    /// Whether just one node, and no output, reads this value.
    pub fn read_once(&self, name: &str) -> bool {
        self.uses.get(name) == Some(&1) && !self.source.outputs.iter().any(|o| o == name)
    }

    /// What a shape node gives, where all that it reads is known.
    fn known(&self, node: &Node) -> Option<Known> {
        if let Operator::Shape(start, end) = node.operator {
            let Value::Tensor(tensor) = self.value(node.input(0)?).ok()? else {
                return None;
            };
            let shape: Vec<i64> = tensor.shape().iter().map(|side| *side as i64).collect();
            let range = clamped(start, end, shape.len());
            return Some(Known::vector(shape[range].to_vec()));
        }
        let inputs: Vec<Option<Known>> = node
            .inputs
            .iter()
            .map(|name| match self.value(name) {
                Ok(Value::Known(known)) => Some(known),
                _ => None,
            })
            .collect();
        let inputs: Vec<Option<&Known>> = inputs.iter().map(Option::as_ref).collect();
        inputs.first()?.as_ref()?;
        Known::of(node, &inputs)
    }

    /// A value by name, made of a constant where it is one.
    pub fn value(&self, name: &str) -> Lower<Value> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        let constant = self.source.constants.get(name);
        let constant = constant.ok_or_else(|| format!("reads `{name}`, which is not there"))?;
        match &constant.values {
            Values::F32(_) => Err(format!("`{name}` is a float constant")),
            values => Ok(Value::Known(Known {
                shape: constant.shape.clone(),
                values: constant.ints().unwrap_or_default(),
                bytes: matches!(values, Values::I8(_) | Values::U8(_)),
            })),
        }
    }

    /// Input `i` of a node as known whole numbers.
    pub fn numbers(&self, node: &Node, i: usize) -> Option<Vec<i64>> {
        match self.value(node.input(i)?) {
            Ok(Value::Known(known)) => Some(known.values),
            _ => None,
        }
    }

    /// The same of an input that may be left out.
    pub fn numbers_if_any(&self, node: &Node, i: usize) -> Lower<Option<Vec<i64>>> {
        match node.input(i) {
            None => Ok(None),
            Some(name) => match self.numbers(node, i) {
                Some(numbers) => Ok(Some(numbers)),
                None => Err(format!("reads `{name}`, which is not known beforehand")),
            },
        }
    }

    /// Input `i` of a node as floats, whatever its factor.
    pub fn tensor(&mut self, node: &'a Node, i: usize) -> Lower<Tensor> {
        let name = node.input(i).ok_or_else(|| format!("has no input {i}"))?;
        self.tensor_named(name)
    }

    /// The same for any name.
    pub fn tensor_named(&mut self, name: &'a str) -> Lower<Tensor> {
        if !self.values.contains_key(name)
            && let Some(constant) = self.source.constants.get(name)
            && let Some(floats) = constant.floats()
        {
            let id = *self.named.entry(name).or_insert_with(|| {
                self.constants.push(floats.clone());
                self.constants.len() - 1
            });
            return Ok(Self::constant(id, &constant.shape));
        }
        match self.value(name)? {
            Value::Tensor(tensor) => Ok(tensor),
            Value::Scores(scores) => self.materialise(*scores),
            Value::Known(known) => {
                if known
                    .values
                    .iter()
                    .any(|v| v.unsigned_abs() > LARGEST as u64)
                {
                    return Err(format!(
                        "`{name}` holds whole numbers that no float can hold"
                    ));
                }
                let floats: Vec<f32> = known.values.iter().map(|v| *v as f32).collect();
                Ok(self.new_constant(floats, &known.shape))
            }
        }
    }

    /// Input `i` of a node with its factor multiplied in.
    pub fn input(&mut self, node: &'a Node, i: usize) -> Lower<Tensor> {
        let tensor = self.tensor(node, i)?;
        self.settled(Value::Tensor(tensor))
    }

    pub fn settled(&mut self, value: Value) -> Lower<Tensor> {
        let tensor = match value {
            Value::Tensor(tensor) => tensor,
            Value::Scores(scores) => self.materialise(*scores)?,
            Value::Known(_) => return Err("is whole numbers, not floats".to_owned()),
        };
        if tensor.factor == 1.0 {
            return Ok(tensor);
        }
        self.copied("scale", &tensor, Unary::Scale(tensor.factor))
    }

    fn constant(id: usize, shape: &[usize]) -> Tensor {
        Tensor {
            place: Place::Constant(id),
            layout: Layout::View(View::contiguous(shape)),
            factor: 1.0,
            sole: false,
        }
    }

    pub fn new_constant(&mut self, values: Vec<f32>, shape: &[usize]) -> Tensor {
        self.constants.push(values.into());
        Self::constant(self.constants.len() - 1, shape)
    }

    /// The only value of a constant.
    pub fn scalar(&self, name: &str) -> Option<f32> {
        if self.values.contains_key(name) {
            return None;
        }
        self.source.constants.get(name)?.scalar()
    }
}
