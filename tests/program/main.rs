//! Tests of the commands that end by themselves, and of the library.
//!
//! One binary, as linking the program takes longer than most of its tests:
//! `cargo test --release --test program classify` runs those of `classify.rs`. Nothing here
//! may set what belongs to the process, as `tests/isolated.rs` does.

#[path = "../common/mod.rs"]
mod common;

mod architecture;
mod as_root;
mod bad_images;
mod bounded;
mod budget;
mod bundle;
mod bundle_mutations;
mod calibrate;
mod classify;
mod cli;
mod deidentified;
mod dicom_attributes;
mod dicom_facts;
mod dicom_files;
mod dicom_oracle;
mod dicom_outputs;
mod dicom_pixels;
mod digests;
mod drift;
mod engine_run;
mod enroll;
mod files;
mod focus_styles;
mod forbidden;
mod heads;
mod int8_forms;
mod journal_verify;
mod layouts;
mod package;
mod papers;
mod prepared;
mod reference;
mod signed_bundles;
mod windows;
