//! Inputs for a graph that is only timed, or compared with itself: the same at every run.

use medfocus::engine::{Graph, Tensor};

/// Inputs for a graph whose open axes are this long.
pub fn made_up_inputs(graph: &Graph, open: usize) -> Vec<Tensor> {
    let inputs = graph.inputs(open).into_iter();
    inputs.map(|(name, shape)| made_up(&name, &shape)).collect()
}

/// Values without a pattern, the same at every run; labels are those of a box's corners.
fn made_up(name: &str, shape: &[usize]) -> Tensor {
    let count = shape.iter().product();
    if name == "labels" {
        return Tensor::new(shape, (0..count).map(|i| 2.0 + (i % 2) as f32).collect());
    }
    let scale = if name == "points" { 64.0 } else { 1.0 };
    let mut state = 1_u32;
    let mut next = || {
        // Numerical Recipes' generator: enough to keep branches and codes from repeating.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 * 2.0 - 1.0
    };
    Tensor::new(
        shape,
        (0..count).map(|_| (next() + 1.0) * scale - 1.0).collect(),
    )
}
