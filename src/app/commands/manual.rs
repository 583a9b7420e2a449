//! Owns `completions` and `man`: what shells and man read, from the same definitions as the command
//! line itself. Refuses words of its own.

use super::{Arguments, USAGE, complain};
use clap::CommandFactory;
use clap_complete::Shell;
use std::io::Write;
use std::process::ExitCode;

/// Prints the completions for a shell.
pub(super) fn completions(shell: Shell) -> ExitCode {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Arguments::command(), "kinescope", &mut text);
    print(&text)
}

/// Prints the manual page of the program, or of one of its commands.
pub(super) fn man(command: Option<&str>) -> ExitCode {
    let mut program = Arguments::command();
    program.build();
    let shown = match command {
        None => Some(program),
        Some(name) => program.find_subcommand(name).cloned(),
    };
    let Some(shown) = shown else {
        complain("there is no such command: kinescope --help lists all");
        return ExitCode::from(USAGE);
    };
    // `kinescope-plan`, not `plan`: man's names are the machine's.
    let name = shown.get_display_name().unwrap_or_else(|| shown.get_name()).to_owned();
    let page = clap_mangen::Man::new(shown).title(name.to_uppercase());
    let mut text = Vec::new();
    match page.render(&mut text) {
        Ok(()) => print(&text),
        Err(error) => {
            complain(format_args!("the page cannot be made: {error}"));
            ExitCode::FAILURE
        }
    }
}

/// A reader that has gone away is no reason to fail.
fn print(text: &[u8]) -> ExitCode {
    let _gone = std::io::stdout().write_all(text);
    ExitCode::SUCCESS
}
