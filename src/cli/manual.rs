//! `medfocus man` and `medfocus completions`: both made from the same definition that
//! the arguments are parsed by, so they cannot fall behind it.

use std::path::{Path, PathBuf};

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;

use super::{Arguments, Failure};

#[derive(Debug, Args)]
pub struct ManArguments {
    /// Folder for the pages, one a subcommand; the main page to standard output where absent
    folder: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub struct CompletionArguments {
    /// The shell that the completions are for
    shell: Shell,
}

pub fn man(arguments: &ManArguments) -> Result<(), Failure> {
    let command = Arguments::command();
    let Some(folder) = &arguments.folder else {
        return page(&command).and_then(|text| super::out::put_bytes(&text));
    };
    let shown = folder.display().to_string();
    std::fs::create_dir_all(folder).map_err(|e| Failure::write(&shown, &e))?;
    pages(folder, command, None)
}

fn pages(folder: &Path, command: Command, parent: Option<&str>) -> Result<(), Failure> {
    let own = command.get_name().to_owned();
    let name = parent.map_or(own.clone(), |parent| format!("{parent}-{own}"));
    // The page's name is its file's, as `git-log` is.
    let command = command.name(name.clone());
    let path = folder.join(format!("{name}.1"));
    std::fs::write(&path, page(&command)?)
        .map_err(|e| Failure::write(&path.display().to_string(), &e))?;
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        pages(folder, sub.clone(), Some(&name))?;
    }
    Ok(())
}

fn page(command: &Command) -> Result<Vec<u8>, Failure> {
    let mut text = Vec::new();
    clap_mangen::Man::new(command.clone())
        .render(&mut text)
        .map_err(|error| Failure::write("the manual page", &error))?;
    Ok(text)
}

pub fn completions(arguments: &CompletionArguments) -> Result<(), Failure> {
    let mut text = Vec::new();
    let mut command = Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "medfocus", &mut text);
    super::out::put_bytes(&text)
}
