//! An ONNX file in plain nodes of float arithmetic, beside its int8 weights: what is ours and what
//! is not can be told apart, and nothing of an int8 form is left.
//!
//! Called for every file; what is done with nodes that are not ours, [`Rest`] says.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::int8::{self, Quantised};
use super::proto::{self, DataType, ModelProto, NodeProto, OperatorSetIdProto, TensorProto};
use super::source::{self, Attributes, Source};
use super::{Refused, check, composed, functions, half};

/// What becomes of nodes that are not ours.
pub(crate) enum Rest {
    /// The file is refused for the first of them.
    Refused,
    /// Tract runs them, where it runs their like rightly; the function says why it cannot.
    Tracts(fn(&NodeProto, opset: i64) -> Result<(), String>),
}

/// An ONNX file, read so far.
#[derive(Debug, Default)]
pub(crate) struct Opened {
    /// Plain nodes and the constants that are read here.
    pub source: Source,
    /// Int8 constants by name.
    pub quantised: HashMap<String, Quantised>,
    /// Of the plain operators.
    pub opset: i64,
    pub imports: Vec<OperatorSetIdProto>,
    /// ONNX's number of the type of each input, output and constant, where the file says it.
    pub types: HashMap<String, i32>,
    /// Constants of types that are not read here.
    pub unread: BTreeMap<String, TensorProto>,
    /// Why nodes are not ours, by what they make first.
    pub foreign: BTreeMap<String, String>,
}

impl Opened {
    /// Leaves a node that is not ours to tract, or refuses the file for it.
    fn leave(&mut self, node: &NodeProto, refused: Refused, rest: &Rest) -> Result<(), Refused> {
        let Rest::Tracts(can) = rest else {
            return Err(refused);
        };
        can(node, self.opset)
            .map_err(|why| Refused::node(node, format!("{}; {why}", refused.why())))?;
        let made = node.output[0].clone();
        self.foreign.insert(made, refused.why().to_owned());
        Ok(())
    }
}

/// Opens a file.
///
/// # Errors
/// [`Refused`], with the node or value to blame.
pub(crate) fn open(bytes: &[u8], rest: &Rest) -> Result<Opened, Refused> {
    let model = unfolded(bytes)?;
    let graph = model.graph.as_ref();
    let graph = graph.ok_or_else(|| Refused::file("holds no graph".to_owned()))?;
    let checked = check::check(&model, graph, matches!(rest, Rest::Tracts(_)))?;
    let mut opened = Opened {
        opset: checked.opset,
        imports: model.opset_import.clone(),
        ..Opened::default()
    };
    for (node, refused) in checked.foreign {
        opened.leave(&graph.node[node], refused, rest)?;
    }
    for value in graph.input.iter().chain(&graph.output) {
        if let Some(tensor) = proto::tensor_type(value) {
            opened.types.insert(value.name.clone(), tensor.elem_type);
        }
    }
    let (types, unread) = (&mut opened.types, &mut opened.unread);
    opened.source = Source::of_model(model, |tensor| {
        let name = tensor.name.clone();
        types.insert(name.clone(), tensor.data_type);
        if !tensor.external_data.is_empty() || is_read(tensor.data_type, rest) {
            let read = source::constant(tensor);
            return read.map(Some).map_err(|why| Refused::value(&name, why));
        }
        unread.insert(name, tensor);
        Ok(None)
    })?;
    widen(&mut opened);
    if let (Rest::Refused, Some((name, tensor))) = (rest, opened.unread.iter().next()) {
        return Err(Refused::value(name, type_not_read(tensor.data_type)));
    }
    let unread = &opened.unread;
    opened
        .source
        .check_order(&|name| unread.contains_key(name))?;
    known_codes(&opened)?;
    opened.quantised = int8::rewrite(&mut opened.source)?;
    Ok(opened)
}

/// What a compressed archive begins with.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The messages of a file whose every node is one operator: functions inlined, and what stands for several
/// taken apart.
fn unfolded(bytes: &[u8]) -> Result<ModelProto, Refused> {
    if bytes.starts_with(&GZIP) {
        let why = "is an archive, as NNEF comes in; ONNX files are read";
        return Err(Refused::file(why.to_owned()));
    }
    let mut model = source::decode(bytes)?;
    functions::inline(&mut model, bytes)?;
    let opset = check::opset(&model)?;
    if let Some(graph) = &mut model.graph {
        composed::take_apart(graph, opset)?;
    }
    Ok(model)
}

/// Whether constants of this type are read here. Those of 64 bits are rounded to 32: not where
/// tract could take them as they are.
fn is_read(number: i32, rest: &Rest) -> bool {
    match DataType::try_from(number) {
        Ok(
            DataType::Float
            | DataType::Int8
            | DataType::Uint8
            | DataType::Int32
            | DataType::Int64
            | DataType::Bool,
        ) => true,
        Ok(DataType::Double) => matches!(rest, Rest::Refused),
        _ => false,
    }
}

/// Codes of 16 or 4 bits, or of small floats, are no int8 form of ours.
fn known_codes(opened: &Opened) -> Result<(), Refused> {
    let is_form = |node: &&NodeProto| {
        let op = node.op_type.as_str();
        op.starts_with('Q')
            || op.ends_with("QuantizeLinear")
            || op.ends_with("Integer")
            || op == "DequantizeLinear"
    };
    for node in opened.source.nodes.iter().filter(is_form) {
        let unread = node.input.iter().find_map(|name| opened.unread.get(name));
        if let Some(tensor) = unread {
            let why = match DataType::try_from(tensor.data_type) {
                Ok(kind) => {
                    format!("has codes or scales of type {kind:?}, which are not known here")
                }
                Err(_) => type_not_read(tensor.data_type),
            };
            return Err(Refused::node(node, why));
        }
    }
    Ok(())
}

fn type_not_read(number: i32) -> String {
    match DataType::try_from(number) {
        Ok(known) => format!("values of type {known:?} are not read"),
        Err(_) => format!("type {number} is none of ONNX's"),
    }
}

/// Weights of 16 bits that the file itself widens, as the floats that they stand for.
fn widen(opened: &mut Opened) {
    const FLOAT: i64 = 1;
    let Opened {
        source,
        unread,
        types,
        foreign,
        ..
    } = opened;
    let constants = &mut source.constants;
    let outputs: HashSet<&String> = source.outputs.iter().collect();
    source.nodes.retain(|node| {
        let is_cast = node.op_type == "Cast" && node.int("to", 0) == FLOAT;
        let (true, [from], [to]) = (is_cast, node.input.as_slice(), node.output.as_slice()) else {
            return true;
        };
        let Some(constant) = unread.get(from).and_then(half::widened) else {
            return true;
        };
        if outputs.contains(to) {
            return true;
        }
        constants.insert(to.clone(), constant);
        types.insert(to.clone(), DataType::Float as i32);
        foreign.remove(to);
        false
    });
    let read: HashSet<&String> = source.nodes.iter().flat_map(|node| &node.input).collect();
    unread.retain(|name, _| read.contains(name) || source.outputs.contains(name));
}
