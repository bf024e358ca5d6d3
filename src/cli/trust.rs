//! Whose bundles may be used: the same options for every command that uses one.

use std::path::PathBuf;

use clap::Args;
use medfocus::bundle::{Key, Trust};

use super::Failure;

#[derive(Debug, Clone, Args)]
pub struct TrustArguments {
    /// Public key of a maker whose bundles may be used, or the file that holds it, with
    /// `until 2027-12-31` behind it where it ends; may be given several times. A bundle
    /// without a signature of one of them is then refused
    #[arg(long = "trust", value_name = "KEY", value_parser = clap::builder::ValueParser::new(key))]
    pub keys: Vec<Key>,
    /// Say that a key must be named; a signature is required wherever one is
    #[arg(long)]
    pub require_signature: bool,
    /// File of keys and bundles that are trusted no longer
    #[arg(long, value_name = "FILE")]
    pub revoked: Option<PathBuf>,
}

impl TrustArguments {
    /// Whom the command line alone says to trust.
    pub fn trust(&self) -> Result<Trust, Failure> {
        if self.require_signature && self.keys.is_empty() {
            let what = "--require-signature needs a key: name a maker's with --trust";
            return Err(Failure::Usage(what.to_owned()));
        }
        Ok(Trust {
            keys: self.keys.clone(),
            revoked: self.revoked.clone(),
            ..Trust::default()
        })
    }
}

fn key(text: &str) -> Result<Key, String> {
    text.parse()
}
