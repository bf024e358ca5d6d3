//! Who runs a graph: this engine alone, or tract beside it.
//!
//! [`Graph`](crate::Graph) asks for a plan for input shapes, and is told whose it is.

use std::sync::{Arc, OnceLock};

use super::Arithmetic;
use super::engine::Engine;
use super::error::EngineError;
use super::mixed::{self, Mixed};
use super::ours::Ours;
use super::plan::Plan;
use super::refused::Refused;
use super::weighed::Weighed;

/// Who runs a graph.
pub(super) enum Body {
    /// This engine, every node; or in part, for inputs of shapes that our plan does not take.
    Ours(Box<Ours>, Option<Otherwise>),
    /// This engine in part; tract the rest.
    Mixed(Mixed),
}

/// A file that is ours as far as its open axes allow, for those lengths where it is not.
pub(super) struct Otherwise {
    bytes: Vec<u8>,
    read: OnceLock<Result<Mixed, Refused>>,
}

/// A graph's plan, with what it runs.
pub(super) enum Planned<'g> {
    Ours(&'g Ours, Arc<Plan>),
    Mixed(&'g Mixed, Arc<mixed::Plan>),
}

impl Body {
    /// Of a file of anybody's; or why it is refused.
    ///
    /// # Errors
    /// [`EngineError::Kernel`].
    pub fn of_anybody(
        engine: &Engine,
        bytes: &[u8],
        arithmetic: Arithmetic,
    ) -> Result<Result<Self, Refused>, EngineError> {
        if let Ok(weighed) = Weighed::read(engine.kernel()?, bytes, arithmetic) {
            let ours = Ours::new(weighed);
            // What the lengths of open axes make of it shows with the first inputs.
            if ours.is_open() {
                let otherwise = Otherwise {
                    bytes: bytes.to_vec(),
                    read: OnceLock::new(),
                };
                return Ok(Ok(Self::Ours(Box::new(ours), Some(otherwise))));
            }
            let planned = ours.plan(engine.cpu()?, arithmetic, ours.shapes(0));
            if planned.is_ok() {
                return Ok(Ok(Self::Ours(Box::new(ours), None)));
            }
        }
        Ok(Mixed::read(engine, bytes, arithmetic).map(Self::Mixed))
    }

    /// Plans it for inputs of these shapes, once.
    ///
    /// # Errors
    /// A sentence, with the node to blame.
    pub fn plan(
        &self,
        engine: &Engine,
        arithmetic: Arithmetic,
        shapes: Vec<Vec<usize>>,
    ) -> Result<Planned<'_>, String> {
        let mixed = |mixed| -> Result<_, String> {
            Ok(Planned::Mixed(mixed, Mixed::plan(mixed, &shapes)?))
        };
        match self {
            Self::Mixed(whole) => mixed(whole),
            Self::Ours(ours, otherwise) => {
                let cpu = engine.cpu().map_err(|error| error.to_string())?;
                let refused = match ours.plan(cpu, arithmetic, shapes.clone()) {
                    Ok(plan) => return Ok(Planned::Ours(ours, plan)),
                    Err(refused) => refused,
                };
                let read = otherwise.as_ref().map(|otherwise| {
                    let read = || Mixed::read(engine, &otherwise.bytes, arithmetic);
                    otherwise.read.get_or_init(read)
                });
                match read {
                    Some(Ok(whole)) => mixed(whole),
                    Some(Err(why)) => Err(why.to_string()),
                    None => Err(refused.to_string()),
                }
            }
        }
    }
}
