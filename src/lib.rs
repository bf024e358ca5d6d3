//! medfocus: an image in, a finding out, with no network.
//!
//! The method is MedFocusCLIP (Arora & Namboodiri, ICASSP 2025, arXiv 2501.03839):
//! SAM2 segments zero-shot, the segmentation steers CLIP's image encoder to the
//! region of interest, and a fusion head joins the region-aware embedding with
//! text prototypes.
//!
//! The modules, lowest first; arrows only ever point up this list:
//!
//! | module | what it is for |
//! |---|---|
//! | [`sha256`] | what content is known by |
//! | [`clock`] | what time it is, and waiting: a value that is handed down |
//! | [`hex`] | bytes as text |
//! | [`files`] | every file that is made, read by a given name, moved or deleted: in held folders, never through a link |
//! | [`storage`] | the state folder as the device's core uses it: a value that is handed down |
//! | [`device_key`] | the device's own key: signatures, derived secrets |
//! | [`shown`] | foreign text, as people are shown it |
//! | [`patient`] | age and sex, as far as an exam may ask for them |
//! | `child` | child processes of this program: how both ends speak, and end |
//! | [`sandbox`] | what a child process gives up before it reads what others sent |
//! | [`case`] | one case, typed: what it is asked, its finding or refusal, the record of it |
//! | [`image`] | a file becomes pixels, or a refusal |
//! | [`engine`] | graphs in, numbers out: int8 operators, planned and run |
//! | [`focus`] | prompts, mask choice and cleaning, focus styles |
//! | [`gate`] | which images an exam is shown at all |
//! | [`triage`] | fusion head, calibration, triage level |
//! | [`bundle`] | manifest, hashes, graphs and heads of one model bundle |
//! | [`pipeline`] | the whole method on one page |
//! | [`enroll`] | a clinic's own labelled cases, and what a bundle becomes with them |
//! | [`self_test`] | the bundle's known answers, reproduced or not |
//! | [`report`] | text, JSON, pictures, PDF, DICOM and HL7 |
//! | [`journal`] | every case, durable before anyone is told |
//! | [`control`] | what is said on a device's control socket |
//! | [`client`] | `link`, `submit`: who sends images to a device and takes its answers |
//! | [`device`] | `serve`: consoles, and the cases they ask for |
//!
//! [`engine`] is a crate of its own, `medfocus-engine` in `src/engine`, so that it can name
//! nothing else here. `image`, `engine`, `triage` and `journal` never name each other. What both ends of a
//! serial line share lies in the crate `firmware-host`.

// A library has no terminal: what is said leaves by a return value or the log.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

pub mod bundle;
pub mod case;
mod child;
pub mod client;
pub mod clock;
mod coded;
pub mod control;
pub mod device;
pub mod device_key;
pub mod enroll;
pub mod files;
pub mod focus;
pub mod gate;
pub mod hex;
mod identity;
pub mod image;
pub mod journal;
pub mod patient;
pub mod pipeline;
mod port;
pub mod report;
pub mod sandbox;
pub mod self_test;
pub mod sha256;
pub mod shown;
pub mod storage;
pub mod triage;

pub use coded::Coded;
pub use medfocus_engine as engine;
