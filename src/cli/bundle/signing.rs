//! `medfocus bundle sign|make-key`: for the makers of bundles. Passwords come from the
//! terminal, or from the environment for scripts; never from the command line, which others
//! can read.

use std::path::PathBuf;

use clap::Args;
use medfocus::bundle::{self, SIGNATURE, SignError};
use medfocus::shown;

use crate::cli::Failure;

/// The secret key's password, where nobody is there to type it.
const PASSWORD: &str = "MEDFOCUS_KEY_PASSWORD";

#[derive(Debug, Args)]
#[command(after_help = "\
The password of the key is asked for, or taken from MEDFOCUS_KEY_PASSWORD.

Example:
  medfocus bundle make-key maker.key       # keep it secret; give maker.key.pub away
  medfocus bundle sign my-bundle --key maker.key --comment \"release 3\"
  medfocus bundle verify my-bundle --trust maker.key.pub --require-signature")]
pub struct Sign {
    /// Folder of the bundle
    folder: PathBuf,
    /// File of the secret key, of `medfocus bundle make-key` or `minisign -G`
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// What is signed with it and shown, as the release and what it is for; the time where absent
    #[arg(long, value_name = "TEXT", value_parser = one_line)]
    comment: Option<String>,
}

#[derive(Debug, Args)]
pub struct MakeKey {
    /// File for the secret key; the public one goes to FILE.pub
    file: PathBuf,
    /// Leave the secret key without a password
    #[arg(long)]
    no_password: bool,
}

fn one_line(text: &str) -> Result<String, String> {
    if text.contains(['\n', '\r']) {
        return Err("must be one line".to_owned());
    }
    Ok(text.to_owned())
}

pub fn sign(arguments: &Sign) -> Result<String, Failure> {
    let password = std::env::var(PASSWORD).ok();
    let comment = arguments.comment.as_deref();
    let signed = bundle::sign(&arguments.folder, &arguments.key, password, comment)?;
    let path = arguments.folder.join(SIGNATURE);
    Ok(format!(
        "{}: signed with key {}: {}\n",
        shown::name(&path),
        signed.key,
        signed.comment
    ))
}

pub fn make_key(arguments: &MakeKey) -> Result<String, Failure> {
    let password = match arguments.no_password {
        true => Some(String::new()),
        false => std::env::var(PASSWORD).ok(),
    };
    let key = bundle::make_key(&arguments.file, password)?;
    let file = shown::name(&arguments.file);
    Ok(format!(
        "{file}: the secret key; whoever has it can sign as you\n\
         {file}.pub: the public key, {key}\n"
    ))
}

impl From<SignError> for Failure {
    fn from(error: SignError) -> Self {
        let (code, help) = match error {
            SignError::Bundle(error) => return error.into(),
            SignError::Key { .. } => (
                "key",
                "name the file of a secret key of minisign, and type its password",
            ),
            SignError::Unwritable { .. } => (
                "output",
                "check the folder, the right to write and the space left; a key is never written over",
            ),
        };
        Self::Device {
            code,
            message: error.to_string(),
            help,
        }
    }
}
