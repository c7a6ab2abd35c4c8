//! What every crate asks of the machine it runs on. It depends on nothing but `tracing`, so the
//! smallest library can use it.
//!
//! * [`threads`]: how many threads a setting of 0 means; [`shared_threads`]: and beside other
//!   processes of the same run.
//! * [`Place`]: which of the processes of a run this is; [`local_processes`], [`memory_bytes`]: what
//!   those of a machine share.
//! * [`name`]: what the machine is called.
//! * [`replace`], [`publish`]: a file appears whole under its name, or not at all.
//! * [`make_folder`]: so does a folder of files.
//! * [`file_name`]: which files are hidden, which annotate others, and how names are written down.
//! * [`try_lock`], [`try_lock_shared`]: whether another process holds a file.
//! * [`CpuTimes`], [`busy_machine`]: how busy other programs keep it.
//! * [`panic_text`]: what a caught panic said.

#![deny(missing_docs)]

mod cpu;
mod file;
pub mod file_name;
mod folder;
mod lacking;
mod lock;
mod place;
mod seat;
mod share;
mod slurm;
mod variables;

use std::any::Any;
use std::fs;
use std::thread::available_parallelism;

pub use cpu::{CpuTimes, busy_machine};
pub use file::{partial_name, publish, replace};
pub use folder::make_folder;
pub use lock::{try_lock, try_lock_shared};
pub use place::{Master, Place};
pub use share::{local_processes, memory_bytes, shared_threads};

/// What this machine is called on its network; "unknown host" where the kernel does not tell.
pub fn name() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match name.trim() {
        "" => "unknown host".to_owned(),
        name => name.to_owned(),
    }
}

/// The number of threads that `asked` stands for: 0 takes every core.
pub fn threads(asked: usize) -> usize {
    match asked {
        0 => available_parallelism().map_or(1, usize::from),
        asked => asked,
    }
}

/// What a panic said, from the payload that `catch_unwind` or `JoinHandle::join` returns.
pub fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a panic without a message".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_threads_are_all_cores() {
        assert_eq!(threads(3), 3);
        assert_eq!(
            threads(0),
            available_parallelism().map_or(1, usize::from),
            "all cores"
        );
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_machine_has_a_name() {
        let name = name();
        assert!(!name.contains(char::is_whitespace), "{name:?}");
    }

    #[test]
    fn panics_of_both_kinds_have_their_text() {
        let caught = |call: fn()| std::panic::catch_unwind(call).unwrap_err();
        assert_eq!(panic_text(&*caught(|| panic!("plain"))), "plain");
        assert_eq!(panic_text(&*caught(|| panic!("number {}", 7))), "number 7");
        let payload = caught(|| std::panic::panic_any(7));
        assert_eq!(panic_text(&*payload), "a panic without a message");
    }
}
