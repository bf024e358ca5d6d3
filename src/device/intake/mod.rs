//! Where cases come from and are asked after: lines, the control socket, watched folders and
//! DICOM senders. Each source takes its images into the cases' store and asks for their cases;
//! none of them knows another, or what becomes of a case.
//!
//! | module | what it is for |
//! |---|---|
//! | [`serial`] | a port's bytes, in and out |
//! | [`line`] | bytes become lines for the console and frames for the link |
//! | [`console`] | a line is answered by a line |
//! | [`link`] | images, progress and answers in frames |
//! | [`scpi`] | errors of the device as numbers on a line |
//! | [`socket`] | programs on this computer |
//! | [`folder`] | files that are put into a folder |
//! | [`dicom`] | images by C-STORE |
//! | [`seats`] | how many connections there may be, and whose |

pub(super) mod console;
pub mod dicom;
pub(super) mod folder;
pub(super) mod line;
pub(super) mod link;
pub(super) mod scpi;
pub(super) mod seats;
pub(super) mod serial;
pub(super) mod socket;
