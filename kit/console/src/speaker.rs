//! Which of several processes speaks, and in whose name.
//!
//! Where one command runs in several processes, what all of them would say is said by one: the others
//! are [`quiet`]. Failures and warnings are each process's own, so they are never quiet, and a
//! failure begins with who it was.

use std::fmt::Display;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

static QUIET: AtomicBool = AtomicBool::new(false);
static NAME: OnceLock<String> = OnceLock::new();

/// From here on this process shows neither progress nor results nor notes, and of its log only
/// warnings and errors. That it failed it says all the same.
pub fn quiet() {
    // Relaxed: the value stands for itself, it publishes nothing.
    QUIET.store(true, Ordering::Relaxed);
}

/// From here on the line that says why this process failed begins with `name` after the program's
/// own, as in `trainer: rank 3 of 8 (node7): …`, and so do the lines of its log. The first call counts.
pub fn speak_as(name: String) {
    NAME.get_or_init(|| name);
}

/// This process's name, if it has one.
pub(crate) fn name() -> Option<&'static str> {
    NAME.get().map(String::as_str)
}

/// Whether another process says it.
pub(crate) fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// `line` of the program `prefix`, in this process's name if it has one.
pub(crate) fn signed(prefix: &str, line: impl Display) -> String {
    match name() {
        Some(name) => format!("{prefix}: {name}: {line}"),
        None => format!("{prefix}: {line}"),
    }
}
