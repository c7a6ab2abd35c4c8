//! SIGTERM, SIGINT, SIGHUP, SIGUSR1 and SIGUSR2 mean: finish the step, write a checkpoint, leave (as
//! preemption by Slurm and its wrappers expects).
//!
//! The program then ends with [`EXIT_INTERRUPTED`], so that a job script can tell "call me again"
//! from success and from failure. A second SIGINT or SIGTERM ends it at once. The others may come
//! any number of times: schedulers repeat them, and a closing session sends SIGHUP twice.
//!
//! A SIGHUP that is ignored when the program starts stays ignored: so `nohup` asks. SIGINT is heard
//! in any case. A shell without job control ignores it for what it starts with `&`, unasked, and a
//! run loses nothing when it leaves.
#![expect(unsafe_code, reason = "what is done with a signal is asked of libc")]

use std::mem::zeroed;
use std::ptr::null;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1, SIGUSR2};
use signal_hook::flag;

/// Exit code of a run that stopped on a signal after writing its checkpoint (`EX_TEMPFAIL`: try
/// again).
pub(crate) const EXIT_INTERRUPTED: u8 = 75;

/// What is heard, by number and name.
const HEARD: [(i32, &str); 5] = [
    (SIGTERM, "SIGTERM"),
    (SIGINT, "SIGINT"),
    (SIGHUP, "SIGHUP"),
    (SIGUSR1, "SIGUSR1"),
    (SIGUSR2, "SIGUSR2"),
];
/// Those that a person repeats who does not want to wait.
const URGENT: [i32; 2] = [SIGTERM, SIGINT];

/// Whether a signal has asked the run to stop.
pub struct Signals {
    /// Number of the last signal, 0 before the first.
    received: Arc<AtomicUsize>,
    /// Whether signals do again what they do to any program.
    released: Arc<AtomicBool>,
}

impl Signals {
    /// Starts to listen, for the rest of the process.
    ///
    /// # Errors
    /// If the system does not let it.
    pub fn listen() -> Result<Self> {
        let signals = Signals {
            received: Arc::default(),
            released: Arc::default(),
        };
        let again = Arc::new(AtomicBool::new(false));
        for (signal, name) in HEARD {
            if signal != SIGHUP || !is_ignored(signal) {
                signals
                    .hear(signal, &again)
                    .with_context(|| format!("listening for {name}"))?;
            }
        }
        Ok(signals)
    }

    fn hear(&self, signal: i32, again: &Arc<AtomicBool>) -> std::io::Result<()> {
        flag::register_conditional_default(signal, Arc::clone(&self.released))?;
        if URGENT.contains(&signal) {
            // Order matters: the first signal finds `again` unset and sets it, a second one ends
            // the process.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(again))?;
            flag::register(signal, Arc::clone(again))?;
        }
        flag::register_usize(signal, Arc::clone(&self.received), signal as usize).map(drop)
    }

    /// The name of the signal that came, if one did.
    pub fn received(&self) -> Option<&'static str> {
        Self::name(self.number())
    }

    /// Its number; 0 if none came.
    pub(crate) fn number(&self) -> i64 {
        // Relaxed: the value stands for itself, it publishes nothing.
        self.received.load(Ordering::Relaxed) as i64
    }

    /// What is heard under this number.
    pub(crate) fn name(number: i64) -> Option<&'static str> {
        let heard = HEARD
            .into_iter()
            .find(|(signal, _)| i64::from(*signal) == number);
        heard.map(|(_, name)| name)
    }

    /// From here on a signal ends the program at once, as it does by default: for work that has
    /// nothing to save.
    pub(crate) fn release(&self) {
        self.released.store(true, Ordering::SeqCst);
    }
}

/// Whether whoever started the program has had it ignore a signal.
pub(crate) fn is_ignored(signal: i32) -> bool {
    // SAFETY: numbers and pointers of which all may be zero.
    let mut present: libc::sigaction = unsafe { zeroed() };
    // SAFETY: without a new action the call only writes the present one, to a place that outlives
    // it.
    let status = unsafe { libc::sigaction(signal, null(), &raw mut present) };
    status == 0 && present.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ignored_signals_are_told_from_others() {
        // The standard library ignores this one in every program, and nobody touches the other.
        assert!(is_ignored(libc::SIGPIPE));
        assert!(!is_ignored(libc::SIGWINCH));
    }
}
