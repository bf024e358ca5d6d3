//! The `medfocus` program. Everything it does stands in the library and in `cli`.

// Only `cli::out` prints: what others said passes through it.
#![cfg_attr(not(test), deny(clippy::print_stdout, clippy::print_stderr))]

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
