//! A file's own functions, each call replaced by the function's nodes.
//!
//! In goes the model as it was decoded, with the bytes that it was decoded from; out it comes without
//! functions, before anything else looks at its nodes. What calls itself, or grows beyond bounds, is
//! refused by node.

use std::collections::HashMap;

use prost::Message;

use super::allowed::plain_domain;
use super::int8::plain;
use super::proto::{AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto};
use super::{MICROSOFT, Refused, versions};

/// Nodes that a file may come to: small files can ask for more than anybody holds.
const MOST_NODES: usize = 1 << 17;
/// Functions that may stand in each other.
const MOST_DEEP: usize = 64;

/// What tract's messages have no field for.
#[derive(Clone, PartialEq, Message)]
struct More {
    #[prost(message, repeated, tag = "25")]
    functions: Vec<MoreOfFunction>,
}

#[derive(Clone, PartialEq, Message)]
struct MoreOfFunction {
    /// Attributes with the values that hold where a call gives none.
    #[prost(message, repeated, tag = "11")]
    defaults: Vec<AttributeProto>,
    #[prost(string, tag = "13")]
    overload: String,
}

/// A function, by what a call of it says.
type Key = (String, String);

struct Function {
    key: Key,
    inputs: Vec<String>,
    outputs: Vec<String>,
    /// Attributes without a default.
    attributes: Vec<String>,
    defaults: Vec<AttributeProto>,
    nodes: Vec<NodeProto>,
    /// Of the plain operators in it.
    opset: Option<i64>,
}

/// Replaces every call of a function by the function's nodes.
///
/// # Errors
/// [`Refused`], with the node that calls it.
pub(super) fn inline(model: &mut ModelProto, bytes: &[u8]) -> Result<(), Refused> {
    if model.functions.is_empty() {
        return model.graph.iter().try_for_each(no_reference);
    }
    let functions = functions(model, bytes)?;
    let opset = opset(&model.opset_import);
    let Some(graph) = &mut model.graph else {
        return Ok(());
    };
    let mut inlined = Inlined {
        functions,
        opset,
        nodes: Vec::with_capacity(graph.node.len()),
        calls: 0,
    };
    for node in std::mem::take(&mut graph.node) {
        inlined.node(node, &mut Vec::new())?;
    }
    graph.node = inlined.nodes;
    no_reference(graph)?;
    if let (None, Some(version)) = (opset, inlined.opset) {
        model.opset_import.push(OperatorSetIdProto {
            domain: String::new(),
            version,
        });
    }
    Ok(())
}

/// Outside of functions there is nothing that an attribute could stand for: its value would be none.
fn no_reference(graph: &GraphProto) -> Result<(), Refused> {
    let refers = |node: &&NodeProto| node.attribute.iter().any(|a| !a.ref_attr_name.is_empty());
    let node = graph.node.iter().find(refers);
    node.map_or(Ok(()), |node| {
        let why = "has an attribute that names one of a function, and stands in none";
        Err(Refused::node(node, why))
    })
}

fn functions(model: &mut ModelProto, bytes: &[u8]) -> Result<HashMap<Key, Function>, Refused> {
    let more = More::decode(bytes);
    let more = more.map_err(|error| Refused::file(format!("no ONNX file: {error}")))?;
    let mut functions = HashMap::new();
    for (function, more) in std::mem::take(&mut model.functions)
        .into_iter()
        .zip(more.functions)
    {
        let name = function.name.unwrap_or_default();
        let domain = function.domain.unwrap_or_default();
        let domain = if domain == "ai.onnx" { "" } else { &domain };
        if !more.overload.is_empty() {
            let why = "is a function in several forms, which are not told apart here";
            return Err(Refused::value(&name, why));
        }
        // Which of both is meant, each runtime says otherwise.
        if domain.is_empty() || domain == MICROSOFT {
            let why = "is a function where operators have their names";
            return Err(Refused::value(&name, why));
        }
        let key = (domain.to_owned(), name.clone());
        let function = Function {
            key: key.clone(),
            inputs: function.input,
            outputs: function.output,
            attributes: function.attribute,
            defaults: more.defaults,
            nodes: function.node,
            opset: opset(&function.opset_import),
        };
        if functions.insert(key, function).is_some() {
            return Err(Refused::value(&name, "is a function that is there twice"));
        }
    }
    Ok(functions)
}

fn opset(imports: &[OperatorSetIdProto]) -> Option<i64> {
    let is_plain = |domain: &str| domain.is_empty() || domain == "ai.onnx";
    let own = imports.iter().find(|set| is_plain(&set.domain));
    own.map(|set| set.version)
}

fn key(node: &NodeProto) -> Key {
    (plain_domain(node).to_owned(), node.op_type.clone())
}

/// The nodes of a file, as far as they are there.
struct Inlined {
    functions: HashMap<Key, Function>,
    /// Of the file's plain operators; of the first function's, where the file names none.
    opset: Option<i64>,
    nodes: Vec<NodeProto>,
    calls: usize,
}

impl Inlined {
    /// A node of the file, or of the functions that are open.
    fn node(&mut self, node: NodeProto, open: &mut Vec<Key>) -> Result<(), Refused> {
        let key = key(&node);
        if !self.functions.contains_key(&key) {
            self.nodes.push(node);
            return Ok(());
        }
        if open.contains(&key) {
            return Err(Refused::node(&node, "is a function that calls itself"));
        }
        if open.len() >= MOST_DEEP {
            let why = format!("is a function within {MOST_DEEP} others");
            return Err(Refused::node(&node, why));
        }
        let body = self.called(&node, &key)?;
        if self.nodes.len() + body.len() > MOST_NODES {
            let why = format!("is a function that makes more than {MOST_NODES} nodes of the file");
            return Err(Refused::node(&node, why));
        }
        open.push(key);
        for inner in body {
            self.node(inner, open)?;
        }
        open.pop();
        Ok(())
    }

    /// A function's nodes, as this call has them.
    fn called(&mut self, call: &NodeProto, key: &Key) -> Result<Vec<NodeProto>, Refused> {
        self.calls += 1;
        let function = &self.functions[key];
        let refused = |why: String| Refused::node(call, why);
        let (given, made) = (call.input.len(), call.output.len());
        if given > function.inputs.len() || made > function.outputs.len() {
            let why = format!("calls its function with {given} inputs for {made} outputs");
            return Err(refused(why));
        }
        let opset = *self.opset.get_or_insert(function.opset.unwrap_or_default());
        function.is_of(opset, &self.functions).map_err(refused)?;
        function.takes(call).map_err(refused)?;
        let own = call.output.iter().find(|name| !name.is_empty());
        let own = own.map_or("", String::as_str);
        let within = |name: &str| format!("{own}.{}.{name}", self.calls);
        let mut names: HashMap<&str, String> = HashMap::new();
        for (i, name) in function.inputs.iter().enumerate() {
            names.insert(name, call.input.get(i).cloned().unwrap_or_default());
        }
        // An input that comes out as it is.
        let mut passed = Vec::new();
        for (i, name) in function.outputs.iter().enumerate() {
            let made = call.output.get(i).filter(|made| !made.is_empty());
            match (made, names.get(name.as_str())) {
                (Some(made), Some(input)) => passed.push(plain("Identity", &[input], made)),
                (Some(made), None) => _ = names.insert(name, made.clone()),
                (None, _) => {}
            }
        }
        let renamed = |name: &String| match names.get(name.as_str()) {
            _ if name.is_empty() => String::new(),
            Some(outer) => outer.clone(),
            None => within(name),
        };
        let nodes = function.nodes.iter().map(|node| NodeProto {
            input: node.input.iter().map(renamed).collect(),
            output: node.output.iter().map(renamed).collect(),
            attribute: function.attributes_of(node, call),
            ..node.clone()
        });
        Ok(nodes.chain(passed).collect())
    }
}

impl Function {
    /// Whether its operators are the same ones in the file's opset.
    fn is_of(&self, opset: i64, functions: &HashMap<Key, Self>) -> Result<(), String> {
        let own = self.opset.unwrap_or(opset);
        let mut nodes = self.nodes.iter();
        let changed = nodes.find(|node| {
            let is_plain = plain_domain(node).is_empty() && !functions.contains_key(&key(node));
            is_plain && !versions::alike(&node.op_type, own, opset)
        });
        changed.map_or(Ok(()), |node| {
            let operator = &node.op_type;
            Err(format!(
                "is a function of opset {own} in a file of opset {opset}, which may differ in {operator}"
            ))
        })
    }

    /// Whether it has every attribute that a call gives.
    fn takes(&self, call: &NodeProto) -> Result<(), String> {
        let known = |name: &String| {
            self.attributes.contains(name) || self.defaults.iter().any(|own| own.name == *name)
        };
        let mut given = call.attribute.iter().map(|attribute| &attribute.name);
        given.find(|name| !known(name)).map_or(Ok(()), |name| {
            let function = &self.key.1;
            Err(format!(
                "gives {name}, which its function {function} does not know"
            ))
        })
    }

    /// The attributes of one of its nodes, where they name one of the call's: the value of that, or
    /// its default, or none, as ONNX has it.
    fn attributes_of(&self, node: &NodeProto, call: &NodeProto) -> Vec<AttributeProto> {
        let value = |attribute: &AttributeProto| {
            let name = &attribute.ref_attr_name;
            if name.is_empty() {
                return Some(attribute.clone());
            }
            let default = || self.defaults.iter().find(|own| own.name == *name);
            let mut of_call = call.attribute.iter();
            let given = of_call.find(|own| own.name == *name).or_else(default)?;
            Some(AttributeProto {
                name: attribute.name.clone(),
                ..given.clone()
            })
        };
        node.attribute.iter().filter_map(value).collect()
    }
}
