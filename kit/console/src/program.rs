//! From `main` to the exit code.

use std::any::Any;
use std::fmt;
use std::io::{self, IsTerminal};
use std::panic::{self, AssertUnwindSafe};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{Format, Full, Writer};
use tracing_subscriber::fmt::writer::MakeWriterExt;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::elsewhere::ToldElsewhere;
use crate::error_file;
use crate::output::{is_reader_gone, say_anyway};
use crate::speaker::{is_quiet, name, signed};
use crate::usage::is_usage;

/// A program of ours, as far as it differs from the others.
///
/// Exit codes: 0 done, 1 failed, 2 not possible as asked ([`usage`](crate::usage)), and whatever else the program
/// itself returns.
pub struct Program {
    /// What stands before the line that says why it failed.
    pub prefix: &'static str,
    /// Level of the log where `RUST_LOG` sets none.
    pub log: &'static str,
    /// The message of a panic that is an error in disguise: some libraries panic where others
    /// return. All other panics are bugs.
    pub explain: fn(&(dyn Any + Send)) -> Option<String>,
}

impl Program {
    /// A program with no panics to explain.
    pub fn new(prefix: &'static str, log: &'static str) -> Self {
        Self {
            prefix,
            log,
            explain: |_| None,
        }
    }

    /// Sets up logs and panics, runs `body`, prints one line if it failed.
    pub fn run(self, body: impl FnOnce() -> Result<u8>) -> ExitCode {
        ExitCode::from(self.code(body))
    }

    /// As [`run`](Self::run), with the exit code as a number.
    pub fn code(self, body: impl FnOnce() -> Result<u8>) -> u8 {
        log_to_stderr(self.log);
        outlive_file_size_limit();
        let Self {
            prefix, explain, ..
        } = self;
        panic::set_hook(Box::new(move |info| {
            if explain(info.payload()).is_none() {
                fail(prefix, &format!("a bug, please report it: {info}"));
            }
        }));
        match panic::catch_unwind(AssertUnwindSafe(body)) {
            Ok(Ok(code)) => code,
            Ok(Err(error)) if is_reader_gone(&error) => 0,
            Ok(Err(error)) => {
                if !error.is::<ToldElsewhere>() {
                    fail(prefix, &format!("{error:#}").replace('\n', " "));
                }
                if is_usage(&error) { 2 } else { 1 }
            }
            Err(payload) => {
                if let Some(message) = explain(&*payload) {
                    fail(prefix, &message);
                }
                1
            }
        }
    }
}

/// Says why the program failed, to people and to torchrun.
fn fail(prefix: &str, message: &str) {
    say_anyway(signed(prefix, message));
    error_file::record(message);
}

/// Lines without time and module, in colour on a terminal. Of a process for which another one speaks
/// only warnings and errors.
fn log_to_stderr(level: &str) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new(level));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr.with_filter(|line| !is_quiet() || *line.level() <= Level::WARN))
        .with_ansi(io::stderr().is_terminal())
        .without_time()
        .with_target(false)
        .map_event_format(Signed)
        .init();
}

/// Lines in this process's name, if it has one.
struct Signed(Format<Full, ()>);

impl<S, N> FormatEvent<S, N> for Signed
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if let Some(name) = name() {
            write!(writer, "{name}: ")?;
        }
        self.0.format_event(context, writer, event)
    }
}

/// A file that reaches the limit of file sizes (`ulimit -f`) is an error that names it, not a silent
/// end by SIGXFSZ: with a handler, whatever it does, the write returns.
fn outlive_file_size_limit() {
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()) {
        tracing::warn!(%error, "cannot handle SIGXFSZ");
    }
}
