//! The `trainer` program: parse, run, print one line if it failed, choose the exit code.
//!
//! Exit codes: 0 done, 1 failed, 2 not possible as asked, 75 interrupted by a signal after writing
//! a checkpoint.

use std::env;
use std::os::unix::process::CommandExt;
use std::panic::{self, AssertUnwindSafe};
use std::process::{self, ExitCode};

use clap::Parser;
use tracing_subscriber::EnvFilter;
use trainer::cli::{Cli, Command, Task};
use trainer::error::{Usage, first_line};
use trainer::{bench, embed, export, import, plot, probe, run, transfer, visualize};

fn main() -> ExitCode {
    restart_with_resting_openmp();
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .init();
    let cli = Cli::parse();
    panic::set_hook(Box::new(|info| {
        // libtorch's errors arrive as panics of tch's plain methods; they are told as errors below.
        if torch_message(info.payload()).is_none() {
            eprintln!("trainer: a bug, please report it: {info}");
        }
    }));
    match panic::catch_unwind(AssertUnwindSafe(|| dispatch(&cli))) {
        Ok(Ok(code)) => ExitCode::from(code),
        Ok(Err(error)) => {
            eprintln!("trainer: {}", format!("{error:#}").replace('\n', " "));
            ExitCode::from(if error.is::<Usage>() { 2 } else { 1 })
        }
        Err(payload) => {
            if let Some(message) = torch_message(payload.as_ref()) {
                eprintln!("trainer: libtorch: {message}");
            }
            ExitCode::FAILURE
        }
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
    let _ = process::Command::new(program)
        .args(env::args_os().skip(1))
        .env(POLICY, "PASSIVE")
        .exec();
}

fn dispatch(cli: &Cli) -> anyhow::Result<u8> {
    match &cli.command {
        Command::Run(args) => run::run(args),
        Command::Bench(args) => bench::bench(args).map(|()| 0),
        Command::Import(args) => import::import(args).map(|()| 0),
        Command::Probe(args) => probe::probe(args).map(|()| 0),
        Command::Transfer {
            task: Task::Seg(args),
        } => transfer::transfer(args).map(|()| 0),
        Command::Embed(args) => embed::embed(args).map(|()| 0),
        Command::Export(args) => export::export(args).map(|()| 0),
        Command::Plot(args) => plot::plot(args).map(|()| 0),
        Command::Visualize(args) => visualize::visualize(args).map(|()| 0),
    }
}

/// The first line of libtorch's message, if a panic carries one.
fn torch_message(payload: &(dyn std::any::Any + Send)) -> Option<String> {
    let text = payload.downcast_ref::<String>()?;
    if let Some((_, debug)) = text.split_once("Torch(\"") {
        return Some(first_line(
            &debug.replace("\\n", "\n").replace("\\\"", "\""),
        ));
    }
    text.strip_prefix("libtorch: ").map(first_line)
}
