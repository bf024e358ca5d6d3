//! `medfocus man` and `medfocus completions`: both made from the same definition that
//! the arguments are parsed by, so they cannot fall behind it.

use std::path::PathBuf;

use clap::{Args, Command, CommandFactory};
use clap_complete::Shell;
use medfocus::files::Folder;

use super::{CommandLine, Failure};

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
    let command = CommandLine::command();
    let Some(folder) = &arguments.folder else {
        return page(&command).and_then(|text| super::out::put_bytes(&text));
    };
    let folder = Folder::make(folder).map_err(|e| Failure::write_file(&e))?;
    pages(&folder, command, None)
}

fn pages(folder: &Folder, command: Command, parent: Option<&str>) -> Result<(), Failure> {
    let own = command.get_name().to_owned();
    let name = parent.map_or(own.clone(), |parent| format!("{parent}-{own}"));
    // The page's name is its file's, as `git-log` is.
    let command = command.name(name.clone());
    folder
        .swap(format!("{name}.1"), &page(&command)?)
        .map_err(|e| Failure::write_file(&e))?;
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
    let mut command = CommandLine::command();
    clap_complete::generate(arguments.shell, &mut command, "medfocus", &mut text);
    super::out::put_bytes(&text)
}
