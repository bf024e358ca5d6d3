//! int8 weights read back to float before the graph is planned.
//!
//! tract would expand each `DequantizeLinear` of a constant into a chain of nodes and
//! fold them one by one while planning: a sixth of a cold start. One pass here gives
//! the same floats. Only constants are touched; what is not plainly the ONNX form
//! (`DequantizeLinear`, opset 13, int8, one scale or one an output channel) is left to
//! tract, which runs it or refuses the graph by name.

use std::collections::HashMap;

use tract_onnx::pb::{GraphProto, NodeProto, TensorProto, tensor_proto::DataType};

/// Replaces every `DequantizeLinear` whose inputs are constants by its float result.
pub(super) fn read_back(graph: &mut GraphProto) {
    let constants: HashMap<&str, &TensorProto> = graph
        .initializer
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor))
        .collect();
    let floats: Vec<Option<TensorProto>> = graph
        .node
        .iter()
        .map(|node| dequantized(node, &constants))
        .collect();
    let mut done = floats.iter().map(Option::is_some);
    graph.node.retain(|_| !done.next().unwrap_or(false));
    graph.initializer.extend(floats.into_iter().flatten());
}

/// `(code - zero) * scale` of a constant, under the name of the node's output.
fn dequantized(node: &NodeProto, constants: &HashMap<&str, &TensorProto>) -> Option<TensorProto> {
    if node.op_type != "DequantizeLinear" || node.output.len() != 1 {
        return None;
    }
    let input = |i: usize| constants.get(node.input.get(i)?.as_str()).copied();
    let (codes, scale) = (input(0)?, floats(input(1)?)?);
    let zero = match node.input.get(2).map(String::as_str) {
        None | Some("") => vec![0; scale.len()],
        Some(_) => int8s(input(2)?)?,
    };
    let shape: Vec<usize> = sides(codes)?;
    let run = values_a_scale(node, &shape, scale.len())?;
    let values = int8s(codes)?;
    if zero.len() != scale.len() || shape.iter().product::<usize>() != values.len() {
        return None;
    }
    let mut bytes = Vec::with_capacity(values.len() * 4);
    for (i, codes) in values.chunks(run).enumerate() {
        let channel = i % scale.len();
        let (scale, zero) = (scale[channel], i16::from(zero[channel]));
        for &code in codes {
            let value = f32::from(i16::from(code) - zero) * scale;
            bytes.extend_from_slice(&value.to_le_bytes());
        }
    }
    Some(TensorProto {
        name: node.output[0].clone(),
        dims: codes.dims.clone(),
        data_type: DataType::Float as i32,
        raw_data: bytes,
        ..TensorProto::default()
    })
}

/// How many neighbouring values share a scale.
fn values_a_scale(node: &NodeProto, shape: &[usize], scales: usize) -> Option<usize> {
    if scales == 1 {
        return Some(shape.iter().product::<usize>().max(1));
    }
    let axis = node
        .attribute
        .iter()
        .find(|attribute| attribute.name == "axis")
        .map_or(1, |attribute| attribute.i);
    let axis = if axis < 0 {
        shape
            .len()
            .checked_sub(usize::try_from(axis.unsigned_abs()).ok()?)?
    } else {
        usize::try_from(axis).ok()?
    };
    let run = shape.get(axis.checked_add(1)?..)?.iter().product::<usize>();
    (shape.get(axis) == Some(&scales) && run > 0).then_some(run)
}

fn sides(tensor: &TensorProto) -> Option<Vec<usize>> {
    tensor
        .dims
        .iter()
        .map(|&side| usize::try_from(side).ok())
        .collect()
}

fn int8s(tensor: &TensorProto) -> Option<Vec<i8>> {
    let plain = tensor.data_type == DataType::Int8 as i32 && tensor.int32_data.is_empty();
    plain.then(|| tensor.raw_data.iter().map(|b| b.cast_signed()).collect())
}

fn floats(tensor: &TensorProto) -> Option<Vec<f32>> {
    if tensor.data_type != DataType::Float as i32 {
        return None;
    }
    if !tensor.float_data.is_empty() {
        return Some(tensor.float_data.clone());
    }
    let (values, rest) = tensor.raw_data.as_chunks::<4>();
    (rest.is_empty() && !values.is_empty())
        .then(|| values.iter().map(|b| f32::from_le_bytes(*b)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use tract_onnx::pb::AttributeProto;

    fn int8(name: &str, dims: &[i64], values: &[i8]) -> TensorProto {
        TensorProto {
            name: name.to_owned(),
            dims: dims.to_vec(),
            data_type: DataType::Int8 as i32,
            raw_data: values.iter().map(|v| v.cast_unsigned()).collect(),
            ..TensorProto::default()
        }
    }

    fn graph(axis: i64, codes: TensorProto, scale: &[f32], zero: &[i8]) -> GraphProto {
        let scale_tensor = TensorProto {
            name: "scale".to_owned(),
            dims: vec![scale.len() as i64],
            data_type: DataType::Float as i32,
            float_data: scale.to_vec(),
            ..TensorProto::default()
        };
        GraphProto {
            node: vec![NodeProto {
                op_type: "DequantizeLinear".to_owned(),
                input: vec!["codes".to_owned(), "scale".to_owned(), "zero".to_owned()],
                output: vec!["weight".to_owned()],
                attribute: vec![AttributeProto {
                    name: "axis".to_owned(),
                    i: axis,
                    ..AttributeProto::default()
                }],
                ..NodeProto::default()
            }],
            initializer: vec![
                codes,
                scale_tensor,
                int8("zero", &[zero.len() as i64], zero),
            ],
            ..GraphProto::default()
        }
    }

    fn weight(graph: &GraphProto) -> Option<Vec<f32>> {
        floats(graph.initializer.iter().find(|t| t.name == "weight")?)
    }

    #[test]
    fn each_axis_takes_its_own_scale() {
        let codes = || int8("codes", &[2, 3], &[1, 2, 3, -4, -5, -128]);
        let mut rows = graph(0, codes(), &[1.0, 0.5], &[0, 2]);
        read_back(&mut rows);
        assert!(rows.node.is_empty());
        assert_eq!(weight(&rows), Some(vec![1.0, 2.0, 3.0, -3.0, -3.5, -65.0]));
        let mut columns = graph(-1, codes(), &[1.0, 0.5, 2.0], &[0, 0, 0]);
        read_back(&mut columns);
        assert_eq!(
            weight(&columns),
            Some(vec![1.0, 1.0, 6.0, -4.0, -2.5, -256.0])
        );
    }

    #[test]
    fn what_does_not_fit_is_left_to_tract() {
        let short = int8("codes", &[2, 3], &[1, 2, 3]);
        for axis in [0, 1, 2, -3, i64::MIN, i64::MAX] {
            let mut broken = graph(axis, short.clone(), &[1.0, 0.5], &[0, 0]);
            read_back(&mut broken);
            assert_eq!(broken.node.len(), 1, "axis {axis}");
        }
    }
}
