//! A run that would not fit is refused beforehand, by name and with both figures.

use crate::common::starter;
use medfocus::bundle;
use medfocus::engine::{EngineError, Tensor, set_memory_budget};

#[test]
fn a_run_that_would_not_fit_is_refused_before_it_starts() {
    let graph = bundle::graph(&starter(), "image_encoder.onnx", None).unwrap();
    let input = [Tensor::new(&[1, 3, 128, 128], vec![0.5; 3 * 128 * 128])];
    set_memory_budget(1);
    let refused = graph.run(&input).unwrap_err();
    assert!(
        matches!(&refused, EngineError::Budget { graph, .. } if graph == "image_encoder.onnx"),
        "{refused}"
    );
    set_memory_budget(64 << 20);
    let first = graph.run(&input).unwrap();
    set_memory_budget(0);
    assert_eq!(graph.run(&input).unwrap(), first);
}
