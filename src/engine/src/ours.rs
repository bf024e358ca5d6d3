//! A graph of our nodes alone, with a plan for each set of input shapes that it has met.
//!
//! [`Graph`](crate::Graph) runs it where every node is ours.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use super::Arithmetic;
use super::kernels::Cpu;
use super::plan::{self, Plan};
use super::prepared;
use super::refused::Refused;
use super::typed::{Constant, Input};
use super::weighed::Weighed;

/// A graph of our nodes alone.
pub(super) struct Ours {
    pub weighed: Weighed,
    plans: Mutex<HashMap<Vec<Vec<usize>>, Arc<Plan>>>,
}

impl Ours {
    pub fn new(weighed: Weighed) -> Self {
        Self {
            weighed,
            plans: Mutex::default(),
        }
    }

    pub fn plan(
        &self,
        cpu: &Cpu,
        arithmetic: Arithmetic,
        shapes: Vec<Vec<usize>>,
    ) -> Result<Arc<Plan>, Refused> {
        // A plan is only ever inserted whole, so a poisoned lock still guards good ones.
        let mut plans = self.plans.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(plan) = plans.get(&shapes) {
            return Ok(plan.clone());
        }
        let Weighed { source, weights } = &self.weighed;
        let plan = Arc::new(Plan::new(source, weights, cpu, arithmetic, &shapes)?);
        plans.insert(shapes, plan.clone());
        Ok(plan)
    }

    /// Whether an axis of an input has no length yet.
    pub fn is_open(&self) -> bool {
        let mut sides = self.weighed.source.inputs.iter().flat_map(|i| &i.axes);
        sides.any(Option::is_none)
    }

    /// The inputs' shapes, open axes filled with `open`.
    pub fn shapes(&self, open: usize) -> Vec<Vec<usize>> {
        let inputs = self.weighed.source.inputs.iter();
        let shape = |input: &Input| input.axes.iter().map(|side| side.unwrap_or(open)).collect();
        inputs.map(shape).collect()
    }

    /// What the graph makes of its constants alone; nothing where its inputs' shapes are open,
    /// on which that may depend, or do not fit: a run will say so.
    pub fn folded(&self, cpu: &Cpu, arithmetic: Arithmetic) -> Vec<(String, Constant)> {
        if self.is_open() {
            return Vec::new();
        }
        let shapes = self.shapes(0);
        let Weighed { source, weights } = &self.weighed;
        plan::folded(source, weights, cpu, arithmetic, &shapes, prepared::LARGE).unwrap_or_default()
    }
}
