//! A graph that is ours in part: what is ours runs as a program of ours inside of tract's model, and
//! everything about the rest is told.

use std::path::{Path, PathBuf};

use medfocus_engine::{
    Arithmetic, ElementType, Engine, EngineError, Graph, Origin, PreparedKey, Settings, Tensor,
};

fn case(name: &str) -> (PathBuf, Vec<u8>) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases");
    let path = folder.join(format!("{name}.onnx"));
    let bytes = std::fs::read(&path).unwrap();
    (path, bytes)
}

fn mixed(engine: &Engine, name: &str) -> Graph {
    let (path, bytes) = case(name);
    Graph::read_mixed(engine, &path, &bytes, Arithmetic::AsWritten).unwrap()
}

#[test]
fn our_products_stay_ours_on_both_sides_of_what_is_not() {
    let engine = Engine::default();
    let graph = mixed(&engine, "beside_elu");
    assert!(!graph.is_ours());
    let products = graph.audit(vec![vec![4, 5]]).unwrap();
    let shapes: Vec<&[usize]> = products.iter().map(|p| p.shape.as_slice()).collect();
    assert_eq!(shapes, [[4, 5, 6], [4, 6, 3]]);
    let kernel = engine.kernel().unwrap().name();
    assert!(products.iter().all(|product| product.kernel == kernel));
    let tracts = graph.tract_nodes(vec![vec![4, 5]]).unwrap();
    let [elu] = tracts.as_slice() else {
        panic!("{tracts:?}");
    };
    assert_eq!(elu.operator, "Elu");
    assert_eq!(elu.why, "is an operator that is not known here");
    let (exact, estimated) = graph.run_bytes(vec![vec![4, 5]]).unwrap();
    assert!(exact > 0 && estimated > 0, "{exact} and {estimated} bytes");
}

#[test]
fn a_value_that_meets_what_tract_made_of_it_runs_in_two_programs() {
    let graph = mixed(&Engine::default(), "beside_twice");
    let products = graph.audit(vec![vec![4, 5]]).unwrap();
    assert_eq!(products.len(), 2);
    let tracts = graph.tract_nodes(vec![vec![4, 5]]).unwrap();
    assert_eq!(tracts.len(), 1, "{tracts:?}");
}

#[test]
fn products_that_are_not_ours_tell_their_work() {
    let graph = mixed(&Engine::default(), "beside_conv_group_4");
    let shapes = vec![vec![1, 4, 6, 5]];
    assert_eq!(graph.audit(shapes.clone()).unwrap().len(), 1);
    let tracts = graph.tract_nodes(shapes).unwrap();
    // 8 channels of 6 x 5 pixels, each of 2 channels of 3 x 3.
    assert_eq!(tracts[0].macs, 8 * 6 * 5 * 2 * 9, "{tracts:?}");
}

#[test]
fn a_graph_that_is_ours_alone_is_read_as_that() {
    let graph = mixed(&Engine::default(), "split_uneven");
    assert!(graph.is_ours());
    assert!(graph.tract_nodes(vec![vec![2, 7]]).unwrap().is_empty());
}

#[test]
fn who_asks_for_ours_alone_is_refused_by_node() {
    let (path, bytes) = case("beside_elu");
    let read = Graph::read(&Engine::default(), &path, &bytes, Arithmetic::AsWritten);
    let error = read.unwrap_err().to_string();
    assert!(
        error.contains("Elu `v1_0`: is an operator that is not known here"),
        "{error}"
    );
}

#[test]
fn a_mixed_graph_has_no_prepared_file() {
    let graph = mixed(&Engine::default(), "beside_elu");
    let origin = Origin::new(&"0".repeat(64), 1).unwrap();
    let prepared = graph.prepare(&origin, &PreparedKey::new([1; PreparedKey::BYTES]));
    assert!(
        matches!(prepared, Err(EngineError::Prepared { .. })),
        "{prepared:?}"
    );
}

#[test]
fn a_run_beyond_the_budget_is_refused_before_it_begins() {
    let engine = Engine::new(&Settings {
        memory: Some(1),
        ..Settings::default()
    });
    let graph = mixed(&engine, "beside_elu");
    let inputs = [Tensor::new(&[4, 5], vec![0.5; 20])];
    let found = graph.run(&inputs);
    assert!(
        matches!(found, Err(EngineError::Budget { .. })),
        "{found:?}"
    );
}

#[test]
fn whole_numbers_cross_the_border_exactly_or_not_at_all() {
    let graph = mixed(&Engine::default(), "beside_indices");
    assert_eq!(
        graph.element_types(),
        (vec![ElementType::Int64], vec![ElementType::Float32])
    );
    let rows = graph
        .run(&[Tensor::new(&[3], vec![2.0, 0.0, 2.0])])
        .unwrap()
        .remove(0);
    assert_eq!(rows.shape, [3, 3]);
    assert_eq!(rows.data[..3], rows.data[6..]);
    for wrong in [0.5, f32::NAN, 3e7] {
        let found = graph.run(&[Tensor::new(&[3], vec![wrong, 0.0, 1.0])]);
        let error = found.unwrap_err().to_string();
        assert!(
            error.contains("`x`: holds what is no whole number"),
            "{error}"
        );
    }
}
