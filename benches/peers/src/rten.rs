//! RTen, in whatever arithmetic the graph asks for.

use std::sync::Arc;

use anyhow::{Context, Result};
use rten::{Dimension, Model, ModelOptions, RunOptions, ThreadPool, ValueView};
use rten_tensor::TensorView;

use crate::{Input, Loaded, Side};

pub struct Rten {
    model: Model,
    options: RunOptions,
}

pub fn load(graph: &str, threads: usize) -> Result<Rten> {
    // Packing the weights beforehand is its quickest way.
    let model = ModelOptions::with_all_ops()
        .prepack_weights(true)
        .load_file(graph)?;
    let pool = Arc::new(ThreadPool::with_num_threads(threads));
    let options = RunOptions::default().with_thread_pool(Some(pool));
    Ok(Rten { model, options })
}

impl Loaded for Rten {
    fn inputs(&self) -> Result<Vec<(String, Vec<Side>)>> {
        let input = |id: &rten::NodeId| {
            let info = self
                .model
                .node_info(*id)
                .context("an input that is not there")?;
            let sides = info
                .shape()
                .context("an input without a shape")?
                .into_iter();
            let sides = sides.map(|side| match side {
                Dimension::Fixed(side) => Side::Fixed(side),
                Dimension::Symbolic(name) => Side::Open(name),
            });
            Ok((info.name().unwrap_or_default().to_owned(), sides.collect()))
        };
        self.model.input_ids().iter().map(input).collect()
    }

    fn prepare(&mut self, _inputs: &[Input]) -> Result<()> {
        Ok(())
    }

    fn run(&self, inputs: &[Input]) -> Result<()> {
        let ids = self.model.input_ids().iter().copied();
        let values = ids.zip(inputs).map(|(id, input)| {
            let view = TensorView::from_data(input.shape.as_slice(), input.values.as_slice());
            (id, ValueView::from(view).into())
        });
        let options = Some(self.options.clone());
        self.model
            .run(values.collect(), self.model.output_ids(), options)?;
        Ok(())
    }
}
