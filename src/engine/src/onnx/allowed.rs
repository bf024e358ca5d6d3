//! What a node may say: how many inputs it has, and which attributes of it are read.
//!
//! The tables of operators stand elsewhere: ours in `check.rs`, those that tract runs in
//! `mixed/operators.rs`. Whatever a table does not list is refused, not passed over.

use std::collections::HashSet;
use std::ops::RangeInclusive;

use super::proto::{AttributeProto, NodeProto};

/// As many inputs as there may be.
pub(crate) const MANY: usize = usize::MAX;

/// What may stand in an attribute.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Allowed {
    Float,
    Int,
    Word,
    Tensor,
    Ints,
    /// This number and no other: nothing reads it.
    OnlyInt(i64),
}

/// Every attribute that an operator may have.
pub(crate) type Attributes = &'static [(&'static str, Allowed)];

/// No attribute.
pub(crate) const NONE: Attributes = &[];

/// Along which axis.
pub(crate) const AXIS: Attributes = &[("axis", Allowed::Int)];

/// Of a convolution.
pub(crate) const CONVOLUTION: Attributes = &[
    ("kernel_shape", Allowed::Ints),
    ("strides", Allowed::Ints),
    ("pads", Allowed::Ints),
    ("dilations", Allowed::Ints),
    ("group", Allowed::Int),
    ("auto_pad", Allowed::Word),
];

/// ONNX's own domain has two names.
pub(crate) fn plain_domain(node: &NodeProto) -> &str {
    match node.domain.as_str() {
        "ai.onnx" => "",
        domain => domain,
    }
}

/// Whether a node has so many inputs.
///
/// # Errors
/// A sentence.
pub(crate) fn inputs(node: &NodeProto, allowed: &RangeInclusive<usize>) -> Result<(), String> {
    let given = node.input.len();
    if allowed.contains(&given) {
        return Ok(());
    }
    let (least, most) = (allowed.start(), allowed.end());
    Err(match *most {
        MANY => format!("has {given} inputs; expected {least} or more"),
        most => format!("has {given} inputs; expected {least} to {most}"),
    })
}

/// Whether every attribute of a node is one of these, once and in its form.
///
/// # Errors
/// A sentence.
pub(crate) fn attributes(node: &NodeProto, allowed: Attributes) -> Result<(), String> {
    let mut seen = HashSet::new();
    for attribute in &node.attribute {
        let name = &attribute.name;
        if !seen.insert(name) {
            return Err(format!("has the attribute {name} twice"));
        }
        let found = allowed.iter().find(|(known, _)| known == name);
        let (_, allowed) =
            found.ok_or_else(|| format!("has the attribute {name}, which is not read"))?;
        attribute_is(attribute, *allowed)?;
    }
    Ok(())
}

fn attribute_is(attribute: &AttributeProto, allowed: Allowed) -> Result<(), String> {
    use Allowed::{Float, Int, Ints, OnlyInt, Tensor, Word};
    let name = &attribute.name;
    let form = match allowed {
        Float => 1,
        Int | OnlyInt(_) => 2,
        Word => 3,
        Tensor => 4,
        Ints => 7,
    };
    // Files of old do not say which form an attribute has.
    if attribute.r#type != 0 && attribute.r#type != form {
        return Err(format!(
            "has the attribute {name} in another form than ONNX's"
        ));
    }
    match allowed {
        OnlyInt(only) if attribute.i != only => {
            let found = attribute.i;
            Err(format!("has {name} {found}; only {only} is known here"))
        }
        _ => Ok(()),
    }
}
