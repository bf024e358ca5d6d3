//! The running device: cases come in on a serial line, are run one after the other, and
//! their answers can be asked for.
//!
//! `serial -> console -> cases -> pipeline -> journal -> cases -> console -> serial`. A
//! finding is durable before anyone can see it, and a case that was accepted is answered,
//! whatever happens in between.

mod cases;
mod console;
mod serial;

pub use cases::{Cases, State, Summary};
pub use console::Console;
pub use serial::{Port, talk};
