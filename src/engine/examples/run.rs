//! Runs an ONNX graph on made-up inputs, and says what it gave and what ran in int8:
//!
//! `cargo run --release -p medfocus-engine --example run -- MODEL.onnx [LENGTH OF OPEN AXES]`

use std::error::Error;
use std::path::Path;

use medfocus_engine::{Arithmetic, Engine, Graph, Settings, Tensor};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let model = arguments.next().ok_or("usage: run MODEL.onnx [LENGTH]")?;
    let open = arguments.next().map_or(Ok(1), |length| length.parse())?;

    // All cores, and what memory the system has free.
    let engine = Engine::new(&Settings::default());
    let bytes = std::fs::read(&model)?;
    let graph = Graph::read(&engine, Path::new(&model), &bytes, Arithmetic::AsWritten)?;

    let inputs: Vec<Tensor> = graph.inputs(open).iter().map(made_up).collect();
    for output in graph.run(&inputs)? {
        let largest = output
            .data
            .iter()
            .fold(0.0_f32, |most, v| most.max(v.abs()));
        println!("output {:?}, largest magnitude {largest}", output.shape);
    }
    let shapes = inputs.into_iter().map(|input| input.shape).collect();
    let products = graph.audit(shapes)?;
    let int8 = products.iter().filter(|p| p.arithmetic == "int8").count();
    println!(
        "kernel {}: {} products, {int8} of them in int8",
        engine.kernel()?.name(),
        products.len()
    );
    Ok(())
}

fn made_up((_, shape): &(String, Vec<usize>)) -> Tensor {
    let count = shape.iter().product();
    Tensor::new(shape, (0..count).map(|i| (i % 7) as f32 / 7.0).collect())
}
