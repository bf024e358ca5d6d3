//! What the reader takes, and how it refuses the rest.

use super::*;

/// An operator with inputs, a whole number, whole numbers or a word as attributes.
struct Case {
    node: &'static str,
    inputs: usize,
    attributes: &'static [(&'static str, Said)],
    opset: i64,
    expected: Result<Operator, &'static str>,
}

#[derive(Clone, Copy)]
enum Said {
    Int(i64),
    Ints(&'static [i64]),
    Word(&'static str),
}

fn read(case: &Case) -> Result<Operator, String> {
    let attribute = |(name, said): &(&str, Said)| {
        let mut made = AttributeProto {
            name: (*name).to_owned(),
            ..AttributeProto::default()
        };
        made.r#type = match said {
            Said::Int(value) => {
                made.i = *value;
                AttributeType::Int as i32
            }
            Said::Ints(values) => {
                made.ints = values.to_vec();
                AttributeType::Ints as i32
            }
            Said::Word(word) => {
                made.s = word.as_bytes().to_vec();
                AttributeType::String as i32
            }
        };
        made
    };
    let node = NodeProto {
        op_type: case.node.to_owned(),
        input: vec!["x".to_owned(); case.inputs],
        output: vec!["y".to_owned()],
        attribute: case.attributes.iter().map(attribute).collect(),
        ..NodeProto::default()
    };
    operator(&node, case.opset)
}

#[test]
fn a_node_is_read_in_full_or_refused_by_reason() {
    use Said::{Int, Ints, Word};
    let case = |node, inputs, attributes, opset, expected| Case {
        node,
        inputs,
        attributes,
        opset,
        expected,
    };
    let softmax = |axis, joins| Ok(Operator::Softmax { axis, joins });
    let unread = "has the attribute beta, which is not read";
    let another = "pools by another kernel than 2 x 2 with stride 2";
    let grouped = "is a convolution with groups, dilation or automatic pads";
    let cases = [
        case("Softmax", 1, &[], 12, softmax(1, true)),
        case("Softmax", 1, &[], 13, softmax(-1, false)),
        case(
            "Gather",
            2,
            &[("axis", Int(1))],
            20,
            Ok(Operator::Gather(1)),
        ),
        case("Gather", 2, &[("beta", Int(1))], 20, Err(unread)),
        case(
            "Gather",
            2,
            &[("axis", Int(1)), ("axis", Int(0))],
            20,
            Err("has the attribute axis twice"),
        ),
        case(
            "Gather",
            2,
            &[("axis", Ints(&[1]))],
            20,
            Err("has the attribute axis in another form than ONNX's"),
        ),
        case("Gather", 1, &[], 20, Err("has 1 inputs; expected 2 to 2")),
        case(
            "Gelu",
            1,
            &[("approximate", Word("tanh"))],
            20,
            Ok(Operator::TanhGelu),
        ),
        case(
            "Split",
            1,
            &[("num_outputs", Int(2))],
            20,
            Err("has num_outputs 2; only 1 is known here"),
        ),
        case(
            "MaxPool",
            1,
            &[("kernel_shape", Ints(&[3, 3]))],
            20,
            Err(another),
        ),
        case("Conv", 2, &[("group", Int(2))], 20, Err(grouped)),
        case(
            "Resize",
            3,
            &[("mode", Word("cubic"))],
            20,
            Err("resizes by cubic "),
        ),
        case("Elu", 1, &[], 20, Err(NOT_KNOWN)),
    ];
    for case in &cases {
        let expected = case.expected.clone().map_err(str::to_owned);
        assert_eq!(read(case), expected, "{}", case.node);
    }
}
