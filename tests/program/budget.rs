//! A run that would not fit is refused beforehand, by name and with both figures.

use crate::common::starter;
use medfocus::bundle;
use medfocus::engine::{Engine, EngineError, Settings, Tensor};

#[test]
fn a_run_that_would_not_fit_is_refused_before_it_starts() {
    let input = [Tensor::new(&[1, 3, 128, 128], vec![0.5; 3 * 128 * 128])];
    let run = |memory: Option<u64>| {
        let settings = Settings {
            memory,
            ..Settings::default()
        };
        let engine = Engine::new(&settings);
        let graph = bundle::graph(&starter(), "image_encoder.onnx", None, &engine).unwrap();
        graph.run(&input)
    };
    let refused = run(Some(1)).unwrap_err();
    assert!(
        matches!(&refused, EngineError::Budget { graph, .. } if graph == "image_encoder.onnx"),
        "{refused}"
    );
    assert_eq!(run(Some(64 << 20)).unwrap(), run(None).unwrap());
}
