//! Watches over processes that are one command: what is sent to the parent reaches all of them, and
//! when one fails, all end.
//!
//! When one has failed, the others normally end by themselves, for they have lost its connection. Who
//! does not gets SIGTERM 30 s after the first failure, and SIGKILL 10 s later, however long
//! `run.rank_timeout_s` has ranks wait for each other.

use std::os::unix::process::ExitStatusExt;
use std::process::{Command, ExitStatus};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use console::say;
use signal_hook::consts::{
    SIGCONT, SIGHUP, SIGINT, SIGKILL, SIGSTOP, SIGTERM, SIGTSTP, SIGUSR1, SIGUSR2,
};
use signal_hook::iterator::Signals;
use signal_hook::low_level::{raise, signal_name};

use super::children::Children;
use crate::run::{EXIT_INTERRUPTED, is_ignored};

/// Time between two looks at children and signals: short beside a step.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// How long the others may take to end after one has failed. The ranks' own patience with each other
/// does not count here: theirs is for those of which nothing is heard, and here an end has been seen.
#[derive(Clone, Copy, Debug)]
pub(super) struct Patience {
    /// By themselves.
    pub by_themselves: Duration,
    /// From then on, after SIGTERM.
    pub after_term: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            by_themselves: Duration::from_secs(30),
            after_term: Duration::from_secs(10),
        }
    }
}

/// Listens for signals, for the rest of the process: those that the children know, and what Ctrl-Z
/// sends. A SIGHUP that is ignored stays ignored: so `nohup` asks.
///
/// # Errors
/// If the system does not let it.
pub(super) fn listen() -> Result<impl FnMut() -> Option<i32>> {
    let mut heard = vec![SIGTERM, SIGINT, SIGUSR1, SIGUSR2, SIGTSTP];
    if !is_ignored(SIGHUP) {
        heard.push(SIGHUP);
    }
    let mut signals = Signals::new(heard).context("listening for signals")?;
    Ok(move || signals.pending().next())
}

/// Starts `commands`, one a rank, and waits for all of them. The value is the exit code: 0 if all
/// are done, [`EXIT_INTERRUPTED`] if the others have been interrupted, else that of the first that
/// failed (128 and the number of the signal that ended it).
///
/// # Errors
/// If one cannot be started.
pub(super) fn supervise(
    commands: Vec<Command>,
    patience: Patience,
    mut next_signal: impl FnMut() -> Option<i32>,
) -> Result<u8> {
    let mut children = Children::start(commands)?;
    let mut outcome = Outcome::default();
    loop {
        for (rank, status) in children.ended()? {
            outcome.add(rank, status);
        }
        if children.is_empty() {
            return Ok(outcome.code());
        }
        while let Some(signal) = next_signal() {
            pass_on(&children, signal);
            outcome.sent.push(signal);
        }
        if let Some(signal) = outcome.due(patience) {
            children.send(signal);
            outcome.sent.push(signal);
        }
        sleep(LOOK_EVERY);
    }
}

/// Children of groups of their own do not notice Ctrl-Z: they stop with the parent, and go on with it.
fn pass_on(children: &Children, signal: i32) {
    if signal != SIGTSTP {
        return children.send(signal);
    }
    children.send(SIGSTOP);
    // Returns when somebody has the parent go on. Fails for no signal that there is.
    let _ = raise(SIGSTOP);
    children.send(SIGCONT);
}

/// What the children have come to so far.
#[derive(Debug, Default)]
struct Outcome {
    is_interrupted: bool,
    /// Exit code of the first that failed, and when.
    failure: Option<(u8, Instant)>,
    /// Signals that they got from here.
    sent: Vec<i32>,
    /// The last one because of the failure.
    urged: Option<i32>,
}

impl Outcome {
    /// One has ended. The first that a signal ended which nobody sent from here cannot say so itself.
    fn add(&mut self, rank: usize, status: ExitStatus) {
        match status.code() {
            Some(0) => return,
            Some(code) if code == i32::from(EXIT_INTERRUPTED) => {
                self.is_interrupted = true;
                return;
            }
            _ if self.failure.is_some() => return,
            _ => {}
        }
        let signal = status.signal();
        if let Some(signal) = signal.filter(|signal| !self.sent.contains(signal)) {
            let name = signal_name(signal).unwrap_or("another signal");
            say(format_args!(
                "trainer: rank {rank} was ended by signal {signal} ({name}); the others end too"
            ));
        }
        let code = status.code().unwrap_or(128 + signal.unwrap_or(0));
        self.failure = Some((u8::try_from(code).unwrap_or(1), Instant::now()));
    }

    /// The signal that those who still run are to get now, because another one has failed.
    fn due(&mut self, patience: Patience) -> Option<i32> {
        let waited = self.failure?.1.elapsed();
        let signal = match self.urged {
            None if waited >= patience.by_themselves => SIGTERM,
            Some(SIGTERM) if waited >= patience.by_themselves + patience.after_term => SIGKILL,
            _ => return None,
        };
        self.urged = Some(signal);
        Some(signal)
    }

    fn code(&self) -> u8 {
        match self.failure {
            Some((code, _)) => code,
            None if self.is_interrupted => EXIT_INTERRUPTED,
            None => 0,
        }
    }
}

#[cfg(test)]
mod tests;
