//! What both directions of DICOM share: the peers' addresses and the messages of the network.
//! Images come in by `intake::dicom`, reports go out by the archive of `sinks`.

pub(super) mod fault;
pub(super) mod message;
mod peers;
pub(super) mod pieces;
pub(super) mod requested;

pub use peers::{Deadlines, Pacs, Peer, title_of};
