//! The `trainer` program.
//!
//! Exit codes: 0 done, 1 failed, 2 not possible as asked, 75 interrupted by a signal after writing
//! a checkpoint.

use std::any::Any;
use std::env;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use anyhow::Result;
use clap::Parser;
use console::{Program, usage};
use host::Place;
use trainer::cli::Cli;
use trainer::{commands, launch};

fn main() -> ExitCode {
    restart_with_resting_openmp();
    let program = Program {
        explain: torch_message,
        ..Program::new("trainer", "warn")
    };
    let place = Place::from_environment();
    let is_one_of_several = place.as_ref().is_ok_and(|place| place.size > 1);
    let code = program.code(|| start(&place.map_err(usage)?));
    match is_one_of_several {
        true => launch::leave(code),
        false => ExitCode::from(code),
    }
}

fn start(place: &Place) -> Result<u8> {
    launch::introduce(place);
    match Cli::try_parse() {
        Ok(cli) => commands::run(&cli, place),
        // Help, the version, and what is wrong with the command line, are said by one.
        Err(answer) if place.rank > 0 => Ok(u8::try_from(answer.exit_code()).unwrap_or(2)),
        Err(answer) => answer.exit(),
    }
}

/// Starts this program anew with `OMP_WAIT_POLICY=PASSIVE`, unless the user has set one.
///
/// On the CPU, libgomp's threads spin while they wait, and so take the cores from the sampler's: a
/// step then takes several times as long. libgomp reads the variable when it is loaded, before
/// `main`, so setting it here would be too late.
fn restart_with_resting_openmp() {
    const POLICY: &str = "OMP_WAIT_POLICY";
    if env::var_os(POLICY).is_some() {
        return;
    }
    let Ok(program) = env::current_exe() else {
        return;
    };
    // Returns only if it fails; then the run is slower, not wrong.
    let _ = Command::new(program)
        .args(env::args_os().skip(1))
        .env(POLICY, "PASSIVE")
        .exec();
}

/// libtorch's errors arrive as panics of tch's plain methods: the message of such a panic.
fn torch_message(payload: &(dyn Any + Send)) -> Option<String> {
    let message = native::panicked(payload.downcast_ref::<String>()?)?;
    Some(format!("libtorch: {message}"))
}
