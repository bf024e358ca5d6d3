//! ONNX's protobuf messages, as tract has them.
//!
//! What is not read here (training, documentation, functions of a file's own) is passed over or
//! refused where it is met; see `check.rs`.

pub use tract_onnx::pb::attribute_proto::AttributeType;
pub use tract_onnx::pb::tensor_proto::DataType;
pub use tract_onnx::pb::tensor_shape_proto::Dimension as DimensionProto;
pub use tract_onnx::pb::tensor_shape_proto::dimension::Value as Dimension;
pub use tract_onnx::pb::type_proto::{Tensor as TensorTypeProto, Value as TypeValue};
pub use tract_onnx::pb::{
    AttributeProto, GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto,
    TensorShapeProto, TypeProto, ValueInfoProto,
};

/// The type of a value's tensor, where the file says it.
pub fn tensor_type(value: &ValueInfoProto) -> Option<&TensorTypeProto> {
    match &value.r#type.as_ref()?.value {
        Some(TypeValue::TensorType(tensor)) => Some(tensor),
        None => None,
    }
}
