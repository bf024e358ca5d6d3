//! Whose bundles may be used: the same options for every command that uses one.

use clap::Args;
use medfocus::bundle::{Key, Trust};

use super::Failure;

#[derive(Debug, Clone, Args)]
pub struct Arguments {
    /// Public key of a maker whose bundles may be used, or the file that holds it; may be
    /// given several times. A bundle with another's signature is then refused
    #[arg(long = "trust", value_name = "KEY", value_parser = clap::builder::ValueParser::new(key))]
    pub keys: Vec<Key>,
    /// Refuse a bundle without a signature, too
    #[arg(long)]
    pub require_signature: bool,
}

impl Arguments {
    /// Whom the command line alone says to trust.
    pub fn trust(&self) -> Result<Trust, Failure> {
        if self.require_signature && self.keys.is_empty() {
            let what = "--require-signature needs a key: name a maker's with --trust";
            return Err(Failure::Usage(what.to_owned()));
        }
        Ok(Trust {
            keys: self.keys.clone(),
            required: self.require_signature,
        })
    }
}

fn key(text: &str) -> Result<Key, String> {
    text.parse()
}
