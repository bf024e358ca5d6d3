//! Tests of `medfocus serve`: each starts devices as processes of their own.
//!
//! One binary, as linking the program takes longer than most of its tests:
//! `cargo test --release --test device folder` runs those of `folder.rs`. Nothing here may
//! set what belongs to the process, as `tests/isolated.rs` does.

#[path = "../common/mod.rs"]
mod common;

mod archives;
mod bundle_swap;
mod bundle_trust;
mod config;
mod dicom_network;
mod dicom_replies;
mod display;
mod doctor;
mod folder;
mod guests;
mod health;
mod hostile;
mod identity;
mod identity_model;
mod journal;
mod keeping;
mod link;
mod log;
mod patient;
mod patient_said;
mod planted;
mod planted_model;
mod queue;
mod readers;
mod run_again;
mod scpi;
mod self_test;
mod serve;
mod settled;
mod shown;
mod sinks;
mod socket;
mod status;
mod supervision;
mod upgrade;
mod worker;
mod written_before;
