//! Chains of nodes that exporters write for one thing, as one operator: biases,
//! activations by all their forms, layer normalisation by its parts.
//!
//! An operator that takes a bias or an activation as its own spares a pass over its
//! output. Nothing is merged whose inner value anything else reads.

use std::collections::{HashMap, HashSet};
use std::f32::consts::{FRAC_1_SQRT_2, SQRT_2};

use super::read::QUICK;
use crate::kernels::Activation;
use crate::typed::{Binary, Function, Node, Operator, Over, TypedGraph};

const ADD: Operator = Operator::Binary(Binary::Add);
const DIV: Operator = Operator::Binary(Binary::Div);
const MUL: Operator = Operator::Binary(Binary::Mul);

/// Merges every chain that is known.
pub(crate) fn fuse(source: &mut TypedGraph) {
    for step in [activations, norms, biases, into_products] {
        let (merged, replacements) = step(&Graph::of(source));
        apply(source, &merged, replacements);
    }
}

/// Names of nodes (by their output) that go, and what stands in their place: at the
/// position of the node that made the same output.
type Merge = (HashSet<String>, HashMap<String, Node>);

fn apply(
    source: &mut TypedGraph,
    merged: &HashSet<String>,
    mut replacements: HashMap<String, Node>,
) {
    let nodes = std::mem::take(&mut source.nodes);
    for node in nodes {
        let output = node.made();
        if let Some(replacement) = replacements.remove(output) {
            source.nodes.push(replacement);
        } else if !merged.contains(output) {
            source.nodes.push(node);
        }
    }
}

/// Who makes and who reads each value.
struct Graph<'a> {
    source: &'a TypedGraph,
    makers: HashMap<&'a str, &'a Node>,
    uses: HashMap<&'a str, usize>,
}

impl<'a> Graph<'a> {
    fn of(source: &'a TypedGraph) -> Self {
        let makers = source
            .nodes
            .iter()
            .flat_map(|node| node.outputs.iter().map(move |o| (o.as_str(), node)))
            .collect();
        Self {
            source,
            makers,
            uses: source.uses(),
        }
    }

    /// The node that makes this value, which nobody but the caller reads.
    fn alone(&self, value: &str) -> Option<&'a Node> {
        let node = *self.makers.get(value)?;
        (self.uses.get(value) == Some(&1)).then_some(node)
    }

    /// The same, where it is of this operator.
    fn inner(&self, value: &str, operator: &Operator) -> Option<&'a Node> {
        self.alone(value).filter(|node| node.operator == *operator)
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
    fn beside(&self, node: &'a Node, number: f32) -> Option<&'a str> {
        let [a, b] = node.inputs.as_slice() else {
            return None;
        };
        match (self.is(a, number), self.is(b, number)) {
            (false, true) => Some(a),
            (true, false) => Some(b),
            _ => None,
        }
    }

    /// Both orders of a node's two inputs.
    fn orders(node: &'a Node) -> [(&'a str, &'a str); 2] {
        match node.inputs.as_slice() {
            [a, b] => [(a, b), (b, a)],
            _ => [("", ""), ("", "")],
        }
    }
}

/// GELU by `Erf`, and QuickGELU by `Sigmoid`, wherever their factor of one half stands.
fn activations(graph: &Graph<'_>) -> Merge {
    let (mut merged, mut made) = (HashSet::new(), HashMap::new());
    for node in graph.source.nodes.iter().filter(|n| n.operator == MUL) {
        if let Some((activation, x, inner)) = gelu(graph, node).or_else(|| quick_gelu(graph, node))
        {
            merged.extend(inner.into_iter().map(str::to_owned));
            let whole = Node::new(Operator::Activation(activation), &[x], node.made());
            made.insert(node.made().to_owned(), whole);
        }
    }
    (merged, made)
}

type Chain<'a> = Option<(Activation, &'a str, Vec<&'a str>)>;

/// `x * (1 + erf(x / sqrt 2)) * 0.5`, the half on any of the three factors.
fn gelu<'a>(graph: &Graph<'a>, last: &'a Node) -> Chain<'a> {
    for (a, b) in Graph::orders(last) {
        // (x * (1 + erf)) * 0.5
        if graph.is(b, 0.5)
            && let Some(product) = graph.inner(a, &MUL)
        {
            for (x, one_plus) in Graph::orders(product) {
                if let Some(mut chain) = erf(graph, one_plus, x) {
                    chain.push(a);
                    return Some((Activation::Gelu, x, chain));
                }
            }
        }
        // (x * 0.5) * (1 + erf), or x * ((1 + erf) * 0.5)
        let Some(half) = graph.inner(a, &MUL) else {
            continue;
        };
        let Some(scaled) = graph.beside(half, 0.5) else {
            continue;
        };
        for (one_plus, x) in [(b, scaled), (scaled, b)] {
            if let Some(mut chain) = erf(graph, one_plus, x) {
                chain.push(a);
                return Some((Activation::Gelu, x, chain));
            }
        }
    }
    None
}

/// The values of `1 + erf(x / sqrt 2)`, from last to first.
fn erf<'a>(graph: &Graph<'a>, value: &'a str, x: &str) -> Option<Vec<&'a str>> {
    let add = graph.inner(value, &ADD)?;
    let erf_value = graph.beside(add, 1.0)?;
    let erf = graph.inner(erf_value, &Operator::Function(Function::Erf))?;
    let argument = erf.inputs[0].as_str();
    let divided = graph
        .inner(argument, &DIV)
        .filter(|div| div.inputs[0] == x && graph.is(&div.inputs[1], SQRT_2));
    let multiplied = || {
        let mul = graph.inner(argument, &MUL)?;
        (graph.beside(mul, FRAC_1_SQRT_2) == Some(x)).then_some(mul)
    };
    divided.or_else(multiplied)?;
    Some(vec![value, erf_value, argument])
}

/// `x * sigmoid(1.702 x)`.
fn quick_gelu<'a>(graph: &Graph<'a>, last: &'a Node) -> Chain<'a> {
    Graph::orders(last).into_iter().find_map(|(x, gate)| {
        let sigmoid = graph.inner(gate, &Operator::Activation(Activation::Sigmoid))?;
        let scaled = graph.inner(&sigmoid.inputs[0], &MUL)?;
        (graph.beside(scaled, QUICK) == Some(x)).then(|| {
            (
                Activation::QuickGelu,
                x,
                vec![gate, sigmoid.inputs[0].as_str()],
            )
        })
    })
}

/// Layer normalisation by its parts: `(x - mean) / sqrt(mean((x - mean)^2) + eps)`,
/// times a constant, plus a constant.
fn norms(graph: &Graph<'_>) -> Merge {
    let (mut merged, mut made) = (HashSet::new(), HashMap::new());
    for node in &graph.source.nodes {
        if let Some((norm, inner)) = norm(graph, node) {
            merged.extend(inner);
            made.insert(node.made().to_owned(), norm);
        }
    }
    (merged, made)
}

fn norm(graph: &Graph<'_>, last: &Node) -> Option<(Node, Vec<String>)> {
    if last.operator != ADD {
        return None;
    }
    Graph::orders(last).into_iter().find_map(|(scaled, beta)| {
        graph.is_row(beta).then_some(())?;
        let product = graph.inner(scaled, &MUL)?;
        Graph::orders(product)
            .into_iter()
            .find_map(|(unit, gamma)| {
                graph.is_row(gamma).then_some(())?;
                let divide = graph.inner(unit, &DIV)?;
                let [centred, deviation] = divide.inputs.as_slice() else {
                    return None;
                };
                let root = graph.inner(deviation, &Operator::Function(Function::Sqrt))?;
                let sum = graph.inner(&root.inputs[0], &ADD)?;
                let (variance, epsilon) = Graph::orders(sum)
                    .into_iter()
                    .find_map(|(v, e)| Some((v, graph.scalar(e)?)))?;
                let mean_square = last_axis(graph, variance)?;
                let square = square(graph, &mean_square.inputs[0], centred)?;
                let centre = *graph.makers.get(centred.as_str())?;
                let (Operator::Binary(Binary::Sub), [x, mean]) =
                    (&centre.operator, centre.inputs.as_slice())
                else {
                    return None;
                };
                let average = last_axis(graph, mean)?;
                let own_readers = if square.operator == MUL { 3 } else { 2 };
                let alone = graph.uses.get(centred.as_str()) == Some(&own_readers);
                if average.inputs[0] != *x || !alone {
                    return None;
                }
                let norm = Operator::LayerNormalization(-1, epsilon);
                let norm = Node::new(norm, &[x, gamma, beta], last.made());
                let inner = [
                    scaled,
                    unit,
                    deviation,
                    &root.inputs[0],
                    variance,
                    &mean_square.inputs[0],
                    centred,
                    mean,
                ];
                Some((norm, inner.map(str::to_owned).to_vec()))
            })
    })
}

fn square<'a>(graph: &Graph<'a>, value: &str, of: &str) -> Option<&'a Node> {
    let power = graph
        .inner(value, &Operator::Binary(Binary::Pow))
        .filter(|pow| pow.inputs[0] == of && graph.is(&pow.inputs[1], 2.0));
    let product = || {
        graph
            .inner(value, &MUL)
            .filter(|mul| mul.inputs.iter().all(|i| i == of))
    };
    power.or_else(product)
}

/// The node that makes this value alone, where it is a mean over the last axis that keeps it.
fn last_axis<'a>(graph: &Graph<'a>, value: &str) -> Option<&'a Node> {
    let node = graph.alone(value)?;
    let Operator::ReduceMean(reduction) = &node.operator else {
        return None;
    };
    let given = node.input(1);
    let given = given.and_then(|name| graph.source.constants.get(name)?.ints());
    let axes = given.unwrap_or_else(|| reduction.axes.clone());
    (axes == [-1] && reduction.keeps).then_some(node)
}

/// A constant added to a product of ours, one value a channel: its bias.
fn biases(graph: &Graph<'_>) -> Merge {
    let (mut merged, mut made) = (HashSet::new(), HashMap::new());
    for node in graph.source.nodes.iter().filter(|n| n.operator == ADD) {
        for (product, bias) in Graph::orders(node) {
            if let Some(with_bias) = with_bias(graph, product, bias, node.made()) {
                merged.insert(product.to_owned());
                made.insert(node.made().to_owned(), with_bias);
                break;
            }
        }
    }
    (merged, made)
}

fn with_bias(graph: &Graph<'_>, product: &str, bias: &str, output: &str) -> Option<Node> {
    let constant = graph.source.constants.get(bias)?;
    constant.floats()?;
    let node = graph.alone(product)?;
    let Operator::Product(own) = &node.operator else {
        return None;
    };
    // Rows and columns of an image lie behind its channels.
    let behind = if own.over == Over::Rows { 0 } else { 2 };
    let channel = constant.shape.len().checked_sub(1 + behind)?;
    let others = constant.shape.iter().enumerate();
    let one_a_channel = others
        .filter(|(i, _)| *i != channel)
        .all(|(_, side)| *side == 1);
    let broadcast = constant.shape[channel] == 1 || node.input(1).is_some();
    if !one_a_channel || broadcast {
        return None;
    }
    let operator = node.operator.clone();
    Some(Node::new(operator, &[&node.inputs[0], bias], output))
}

/// An activation right after a product of ours: done on the product's way out.
fn into_products(graph: &Graph<'_>) -> Merge {
    let (mut merged, mut made) = (HashSet::new(), HashMap::new());
    for node in &graph.source.nodes {
        let Operator::Activation(
            activation @ (Activation::Gelu | Activation::QuickGelu | Activation::Relu),
        ) = node.operator
        else {
            continue;
        };
        let Some(mut product) = graph.alone(&node.inputs[0]).cloned() else {
            continue;
        };
        if let Operator::Product(own) = &mut product.operator {
            own.activation = activation;
            product.outputs.clone_from(&node.outputs);
            merged.insert(node.inputs[0].clone());
            made.insert(node.made().to_owned(), product);
        }
    }
    (merged, made)
}
