//! Plain tract, in whatever arithmetic the graph asks for.

use std::sync::Arc;

use anyhow::{Context, Result};
use tract_linalg::multithread::{Executor, set_default_executor};
use tract_onnx::prelude::*;
use tract_onnx::tract_hir::infer::Factoid;
use tract_onnx::tract_hir::internal::DimLike;

use crate::{Input, Loaded, Side};

pub struct Tract {
    model: InferenceModel,
    plan: Option<Arc<TypedSimplePlan>>,
}

pub fn load(graph: &str, threads: usize) -> Result<Tract> {
    if threads > 1 {
        set_default_executor(Executor::multithread(threads));
    }
    let model = tract_onnx::onnx().model_for_path(graph)?;
    Ok(Tract { model, plan: None })
}

impl Loaded for Tract {
    fn inputs(&self) -> Result<Vec<(String, Vec<Side>)>> {
        let input = |outlet: &OutletId| {
            let node = &self.model.nodes[outlet.node];
            let side = |side: &_| side_of(side);
            let sides = node.outputs[outlet.slot]
                .fact
                .shape
                .dims()
                .map(side)
                .collect();
            (node.name.clone(), sides)
        };
        Ok(self.model.input_outlets()?.iter().map(input).collect())
    }

    fn prepare(&mut self, inputs: &[Input]) -> Result<()> {
        let mut model = std::mem::take(&mut self.model);
        for (i, input) in inputs.iter().enumerate() {
            let fact = InferenceFact::dt_shape(f32::datum_type(), &input.shape);
            model.set_input_fact(i, fact)?;
        }
        self.plan = Some(model.into_optimized()?.into_runnable()?);
        Ok(())
    }

    fn run(&self, inputs: &[Input]) -> Result<()> {
        let value =
            |input: &Input| Tensor::from_shape(&input.shape, &input.values).map(TValue::from);
        let values = inputs.iter().map(value).collect::<TractResult<TVec<_>>>()?;
        self.plan.as_ref().context("not prepared")?.run(values)?;
        Ok(())
    }
}

fn side_of(side: &tract_onnx::tract_hir::infer::DimFact) -> Side {
    match side.concretize() {
        Some(side) => match side.to_usize() {
            Ok(fixed) => Side::Fixed(fixed),
            Err(_) => Side::Open(side.to_string()),
        },
        None => Side::Open(String::new()),
    }
}
