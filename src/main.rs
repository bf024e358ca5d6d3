//! The `medfocus` program. Everything it does stands in the library and in `cli`.

mod cli;

fn main() -> std::process::ExitCode {
    cli::main()
}
