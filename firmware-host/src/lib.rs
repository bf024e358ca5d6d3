//! What both ends of the serial line share: the protocol that the device and whoever talks to it
//! speak, and the screens that either may show.
//!
//! | module | part | what it is for |
//! |---|---|---|
//! | [`wire`] | protocol | bytes become console lines and frames |
//! | [`link`] | protocol | frames become a reliable stream in each direction |
//! | [`message`] | protocol | what programs say over a link: images in, progress and findings out |
//! | [`console`] | protocol | what a person or a script types: one line in, one line out |
//! | [`fault`] | protocol | every numbered error of the line, and the queue that keeps them |
//! | [`screens`] | screens | what a small display shows, in five languages, on any `DrawTarget` |
//!
//! The same code runs on the board and on a microcontroller: no std, no allocation, no
//! panic on any bytes. It names nothing of medfocus's own. `docs/protocol.md` is the
//! specification; `examples/mcu` is a microcontroller's main loop with a small display.

#![no_std]
#![forbid(unsafe_code)]

#[cfg(test)]
extern crate std;

pub mod console;
pub mod fault;
pub mod link;
pub mod message;
pub mod screens;
pub mod wire;
