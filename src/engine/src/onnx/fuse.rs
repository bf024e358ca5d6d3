//! Chains of nodes that exporters write for one thing, as one operator: biases,
//! activations by all their forms, layer normalisation by its parts.
//!
//! An operator that takes a bias or an activation as its own spares a pass over its
//! output. Nothing is merged whose inner value anything else reads.

use std::collections::{HashMap, HashSet};
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use super::proto::NodeProto;

use super::int8::plain;
use super::{Attributes, DOMAIN, Source, word};

/// Factor of QuickGELU, `x * sigmoid(1.702 x)` (Hendrycks & Gimpel 2016).
const QUICK: f32 = 1.702;

/// Merges every chain that is known.
pub(crate) fn fuse(source: &mut Source) {
    for step in [activations, norms, biases, into_products] {
        let (merged, replacements) = step(&Graph::of(source));
        apply(source, &merged, replacements);
    }
}

/// Names of nodes (by their output) that go, and what stands in their place: at the
/// position of the node that made the same output.
type Merge = (HashSet<String>, HashMap<String, NodeProto>);

fn apply(
    source: &mut Source,
    merged: &HashSet<String>,
    mut replacements: HashMap<String, NodeProto>,
) {
    let nodes = std::mem::take(&mut source.nodes);
    for node in nodes {
        let output = &node.output[0];
        if let Some(replacement) = replacements.remove(output) {
            source.nodes.push(replacement);
        } else if !merged.contains(output) {
            source.nodes.push(node);
        }
    }
}

/// Who makes and who reads each value.
struct Graph<'a> {
    source: &'a Source,
    makers: HashMap<&'a str, &'a NodeProto>,
    uses: HashMap<&'a str, usize>,
}

impl<'a> Graph<'a> {
    fn of(source: &'a Source) -> Self {
        let makers = source
            .nodes
            .iter()
            .flat_map(|node| node.output.iter().map(move |o| (o.as_str(), node)))
            .collect();
        Self {
            source,
            makers,
            uses: source.uses(),
        }
    }

    /// The node that makes this value, where it is of this operator.
    fn maker(&self, value: &str, op: &str) -> Option<&'a NodeProto> {
        let node = *self.makers.get(value)?;
        (node.op_type == op).then_some(node)
    }

    /// The same, where nobody but the caller reads the value.
    fn inner(&self, value: &str, op: &str) -> Option<&'a NodeProto> {
        (self.uses.get(value) == Some(&1))
            .then(|| self.maker(value, op))
            .flatten()
    }

    /// A constant of one value, which gives no other value more axes.
    fn scalar(&self, value: &str) -> Option<f32> {
        let constant = self.source.constants.get(value)?;
        (constant.shape.len() <= 1).then(|| constant.scalar())?
    }

    /// Whether this is a constant of one float for each value of a row.
    fn is_row(&self, value: &str) -> bool {
        let constant = self.source.constants.get(value);
        constant.is_some_and(|c| c.floats().is_some() && c.shape.len() == 1)
    }

    fn is(&self, value: &str, number: f32) -> bool {
        self.scalar(value)
            .is_some_and(|v| (v - number).abs() <= 1e-6 * number.abs())
    }

    /// The other input of a node of two, where one of them is this constant.
    fn beside(&self, node: &'a NodeProto, number: f32) -> Option<&'a str> {
        let [a, b] = node.input.as_slice() else {
            return None;
        };
        match (self.is(a, number), self.is(b, number)) {
            (false, true) => Some(a),
            (true, false) => Some(b),
            _ => None,
        }
    }

    /// Both orders of a node's two inputs.
    fn orders(node: &'a NodeProto) -> [(&'a str, &'a str); 2] {
        match node.input.as_slice() {
            [a, b] => [(a, b), (b, a)],
            _ => [("", ""), ("", "")],
        }
    }
}

fn ours(op: &str, input: &str, output: &str) -> NodeProto {
    let mut node = plain(op, &[input], output);
    DOMAIN.clone_into(&mut node.domain);
    node
}

/// GELU by `Erf`, and QuickGELU by `Sigmoid`, wherever their factor of one half
/// stands; and the operators that already say so.
fn activations(graph: &Graph<'_>) -> Merge {
    let (mut merged, mut made) = (HashSet::new(), HashMap::new());
    for node in &graph.source.nodes {
        let output = &node.output[0];
        let found = match node.op_type.as_str() {
            "Mul" => gelu(graph, node).or_else(|| quick_gelu(graph, node)),
            "Gelu" if matches!(node.text("approximate"), "" | "none") => {
                Some(("Gelu", node.input[0].as_str(), vec![]))
            }
            "QuickGelu" if (node.float("alpha", QUICK) - QUICK).abs() < 1e-6 => {
                Some(("QuickGelu", node.input[0].as_str(), vec![]))
            }
            _ => None,
        };
        if let Some((op, x, inner)) = found {
            merged.extend(inner.into_iter().map(str::to_owned));
            made.insert(output.clone(), ours(op, x, output));
        }
    }
    (merged, made)
}

type Chain<'a> = Option<(&'static str, &'a str, Vec<&'a str>)>;

/// `x * (1 + erf(x / sqrt 2)) * 0.5`, the half on any of the three factors.
fn gelu<'a>(graph: &Graph<'a>, last: &'a NodeProto) -> Chain<'a> {
    for (a, b) in Graph::orders(last) {
        // (x * (1 + erf)) * 0.5
        if graph.is(b, 0.5)
            && let Some(product) = graph.inner(a, "Mul")
        {
            for (x, one_plus) in Graph::orders(product) {
                if let Some(mut chain) = erf(graph, one_plus, x) {
                    chain.push(a);
                    return Some(("Gelu", x, chain));
                }
            }
        }
        // (x * 0.5) * (1 + erf), or x * ((1 + erf) * 0.5)
        let Some(half) = graph.inner(a, "Mul") else {
            continue;
        };
        let Some(scaled) = graph.beside(half, 0.5) else {
            continue;
        };
        if let Some(mut chain) = erf(graph, b, scaled).or_else(|| erf(graph, scaled, b)) {
            let x = if erf(graph, b, scaled).is_some() {
                scaled
            } else {
                b
            };
            chain.push(a);
            return Some(("Gelu", x, chain));
        }
    }
    None
}

/// The values of `1 + erf(x / sqrt 2)`, from last to first.
fn erf<'a>(graph: &Graph<'a>, value: &'a str, x: &str) -> Option<Vec<&'a str>> {
    let add = graph.inner(value, "Add")?;
    let erf_value = graph.beside(add, 1.0)?;
    let erf = graph.inner(erf_value, "Erf")?;
    let argument = erf.input[0].as_str();
    let divided = graph
        .inner(argument, "Div")
        .filter(|div| div.input[0] == x && graph.is(&div.input[1], SQRT_2));
    let multiplied = || {
        let mul = graph.inner(argument, "Mul")?;
        (graph.beside(mul, FRAC_1_SQRT_2) == Some(x)).then_some(mul)
    };
    divided.or_else(multiplied)?;
    Some(vec![value, erf_value, argument])
}

/// `x * sigmoid(1.702 x)`.
fn quick_gelu<'a>(graph: &Graph<'a>, last: &'a NodeProto) -> Chain<'a> {
    Graph::orders(last).into_iter().find_map(|(x, gate)| {
        let sigmoid = graph.inner(gate, "Sigmoid")?;
        let scaled = graph.inner(&sigmoid.input[0], "Mul")?;
        (graph.beside(scaled, QUICK) == Some(x))
            .then(|| ("QuickGelu", x, vec![gate, sigmoid.input[0].as_str()]))
    })
}

/// Layer normalisation by its parts: `(x - mean) / sqrt(mean((x - mean)^2) + eps)`,
/// times a constant, plus a constant.
fn norms(graph: &Graph<'_>) -> Merge {
    let (mut merged, mut made) = (HashSet::new(), HashMap::new());
    for node in &graph.source.nodes {
        if let Some((norm, inner)) = norm(graph, node) {
            merged.extend(inner);
            made.insert(node.output[0].clone(), norm);
        }
    }
    (merged, made)
}

fn norm(graph: &Graph<'_>, last: &NodeProto) -> Option<(NodeProto, Vec<String>)> {
    if last.op_type != "Add" {
        return None;
    }
    Graph::orders(last).into_iter().find_map(|(scaled, beta)| {
        graph.is_row(beta).then_some(())?;
        let product = graph.inner(scaled, "Mul")?;
        Graph::orders(product)
            .into_iter()
            .find_map(|(unit, gamma)| {
                graph.is_row(gamma).then_some(())?;
                let divide = graph.inner(unit, "Div")?;
                let [centred, deviation] = divide.input.as_slice() else {
                    return None;
                };
                let root = graph.inner(deviation, "Sqrt")?;
                let sum = graph.inner(&root.input[0], "Add")?;
                let (variance, epsilon) = Graph::orders(sum)
                    .into_iter()
                    .find_map(|(v, e)| Some((v, graph.scalar(e)?)))?;
                let mean_square = graph.inner(variance, "ReduceMean")?;
                let square = square(graph, &mean_square.input[0], centred)?;
                let centre = graph.maker(centred, "Sub")?;
                let [x, mean] = centre.input.as_slice() else {
                    return None;
                };
                let average = graph.inner(mean, "ReduceMean")?;
                let own_readers = if square.op_type == "Pow" { 2 } else { 3 };
                let alone = graph.uses.get(centred.as_str()) == Some(&own_readers);
                if average.input[0] != *x
                    || !alone
                    || !last_axis(graph, average)
                    || !last_axis(graph, mean_square)
                {
                    return None;
                }
                let mut norm = plain("LayerNormalization", &[x, gamma, beta], &last.output[0]);
                norm.attribute = vec![super::decimal("epsilon", epsilon)];
                let inner = [
                    scaled,
                    unit,
                    deviation,
                    &root.input[0],
                    variance,
                    &mean_square.input[0],
                    centred,
                    mean,
                ];
                Some((norm, inner.map(str::to_owned).to_vec()))
            })
    })
}

fn square<'a>(graph: &Graph<'a>, value: &str, of: &str) -> Option<&'a NodeProto> {
    let power = graph
        .inner(value, "Pow")
        .filter(|pow| pow.input[0] == of && graph.is(&pow.input[1], 2.0));
    let product = || {
        graph
            .inner(value, "Mul")
            .filter(|mul| mul.input.iter().all(|i| i == of))
    };
    power.or_else(product)
}

/// A mean over the last axis that keeps it.
fn last_axis(graph: &Graph<'_>, node: &NodeProto) -> bool {
    let given = node
        .input
        .get(1)
        .and_then(|name| graph.source.constants.get(name)?.ints());
    let axes = given.unwrap_or_else(|| node.ints("axes").to_vec());
    axes == [-1] && node.int("keepdims", 1) == 1
}

/// A constant added to a product of ours, one value a channel: its bias.
fn biases(graph: &Graph<'_>) -> Merge {
    let (mut merged, mut made) = (HashSet::new(), HashMap::new());
    for node in graph.source.nodes.iter().filter(|n| n.op_type == "Add") {
        for (product, bias) in Graph::orders(node) {
            if let Some(with_bias) = with_bias(graph, product, bias, &node.output[0]) {
                merged.insert(product.to_owned());
                made.insert(node.output[0].clone(), with_bias);
                break;
            }
        }
    }
    (merged, made)
}

fn with_bias(graph: &Graph<'_>, product: &str, bias: &str, output: &str) -> Option<NodeProto> {
    let constant = graph.source.constants.get(bias)?;
    constant.floats()?;
    let (node, channel) = if let Some(node) = graph.inner(product, "Linear") {
        (node, constant.shape.len().checked_sub(1)?)
    } else {
        let node = graph
            .inner(product, "Convolution")
            .or_else(|| graph.inner(product, "TransposedConvolution"))?;
        (node, constant.shape.len().checked_sub(3)?)
    };
    let others = constant.shape.iter().enumerate();
    let one_a_channel = others
        .filter(|(i, _)| *i != channel)
        .all(|(_, side)| *side == 1);
    let broadcast = constant.shape[channel] == 1 || !node.input[1].is_empty();
    if !one_a_channel || broadcast {
        return None;
    }
    let mut node = node.clone();
    bias.clone_into(&mut node.input[1]);
    output.clone_into(&mut node.output[0]);
    Some(node)
}

/// An activation right after a product of ours: done on the product's way out.
fn into_products(graph: &Graph<'_>) -> Merge {
    let (mut merged, mut made) = (HashSet::new(), HashMap::new());
    for node in &graph.source.nodes {
        let activation = match (node.domain.as_str(), node.op_type.as_str()) {
            (DOMAIN, "Gelu") => "gelu",
            (DOMAIN, "QuickGelu") => "quick_gelu",
            ("", "Relu") => "relu",
            _ => continue,
        };
        let product = ["Linear", "Convolution", "TransposedConvolution"]
            .iter()
            .find_map(|op| graph.inner(&node.input[0], op));
        if let Some(product) = product {
            let mut product = product.clone();
            merged.insert(node.input[0].clone());
            product.output[0].clone_from(&node.output[0]);
            product.attribute.push(word("activation", activation));
            made.insert(node.output[0].clone(), product);
        }
    }
    (merged, made)
}
