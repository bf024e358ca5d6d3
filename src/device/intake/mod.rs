//! The sources of cases: lines, the control socket, watched folders and DICOM senders. Lines and
//! socket answer questions about cases, too. Each source puts its images into the image store and
//! has a case made of each. No source knows of another.
//!
//! | module | what it is for |
//! |---|---|
//! | [`serial`] | a serial port: bytes in and out, opened again when it comes back |
//! | [`line`] | splits the bytes of a port into lines for the console and frames for the link |
//! | [`console`] | commands of people, answered in text |
//! | [`link`] | images, progress and answers, in frames |
//! | [`scpi`] | the device's errors as SCPI error numbers |
//! | [`socket`] | programs on this computer |
//! | [`folder`] | files in a watched folder |
//! | [`dicom`] | images by C-STORE |
//! | [`seats`] | limits on connections: in all and for each peer |

pub(super) mod console;
pub mod dicom;
pub(super) mod folder;
pub(super) mod line;
pub(super) mod link;
pub(super) mod scpi;
pub(super) mod seats;
pub(super) mod serial;
pub(super) mod socket;
