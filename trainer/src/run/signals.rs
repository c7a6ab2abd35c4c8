//! SIGTERM, SIGINT and SIGUSR1 mean: finish the step, write a checkpoint, leave (as Slurm's
//! preemption expects).
//!
//! The program then ends with [`EXIT_INTERRUPTED`], so that a job script can tell "call me again"
//! from success and from failure. A second SIGINT or SIGTERM ends it at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use anyhow::{Context, Result};
use signal_hook::consts::{SIGINT, SIGTERM, SIGUSR1};
use signal_hook::flag;

/// Exit code of a run that stopped on a signal after writing its checkpoint (`EX_TEMPFAIL`: try
/// again).
pub(crate) const EXIT_INTERRUPTED: u8 = 75;

/// Whether a signal has asked the run to stop.
pub struct Signals {
    /// Number of the last signal, 0 before the first.
    received: Arc<AtomicUsize>,
}

impl Signals {
    /// Starts to listen, for the rest of the process.
    pub fn listen() -> Result<Self> {
        let received = Arc::new(AtomicUsize::new(0));
        let again = Arc::new(AtomicBool::new(false));
        for signal in [SIGTERM, SIGINT] {
            // Order matters: the first signal finds `again` unset and sets it, a second one ends
            // the process.
            flag::register_conditional_shutdown(signal, 128 + signal, Arc::clone(&again))
                .context("listening for signals")?;
            flag::register(signal, Arc::clone(&again)).context("listening for signals")?;
        }
        for signal in [SIGTERM, SIGINT, SIGUSR1] {
            flag::register_usize(signal, Arc::clone(&received), signal as usize)
                .context("listening for signals")?;
        }
        Ok(Signals { received })
    }

    /// The name of the signal that came, if one did.
    pub fn received(&self) -> Option<&'static str> {
        // Relaxed: the value stands for itself, it publishes nothing.
        match self.received.load(Ordering::Relaxed) as i32 {
            0 => None,
            SIGINT => Some("SIGINT"),
            SIGUSR1 => Some("SIGUSR1"),
            _ => Some("SIGTERM"),
        }
    }
}
