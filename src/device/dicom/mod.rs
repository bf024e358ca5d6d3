//! What both directions of DICOM share: who is at the other end, and the messages of the network.
//! Images come in by `intake::dicom`, reports go out by the archive of `delivery`.

pub(super) mod message;
mod peers;

pub use peers::{Deadlines, Pacs, Peer, title_of};
