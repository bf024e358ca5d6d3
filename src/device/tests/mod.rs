//! Simulations of the whole core, on one thread.

mod simulation;
