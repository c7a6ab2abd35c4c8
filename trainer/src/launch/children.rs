//! Child processes that no end of their parent leaves behind.
//!
//! Each is in a process group of its own. So what a terminal or a batch system sends to the parent's
//! group reaches it once, by way of the parent: a second signal would mean "at once" to it. When the
//! parent is gone, however it went, the kernel sends it SIGTERM.
#![expect(
    unsafe_code,
    reason = "what a child does before it becomes its program is asked of libc"
)]

use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};

use anyhow::{Context, Result};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process, set_parent_process_death_signal,
};

/// Processes by rank, those that have ended too.
pub(super) struct Children {
    running: Vec<(usize, Child)>,
}

impl Children {
    /// Starts `commands`, one a rank, on behalf of the calling thread: when that one ends, they get
    /// SIGTERM.
    ///
    /// # Errors
    /// If one cannot be started; those before it are ended.
    pub(super) fn start(commands: Vec<Command>) -> Result<Self> {
        let mut children = Self {
            running: Vec::new(),
        };
        for (rank, mut command) in commands.into_iter().enumerate() {
            command.stdin(Stdio::null()).process_group(0);
            end_with_parent(&mut command);
            let child = command.spawn().with_context(|| {
                format!("cannot start rank {rank}: {:?}", command.get_program())
            })?;
            children.running.push((rank, child));
        }
        Ok(children)
    }

    /// Whether all have ended, and [`ended`](Self::ended) has told of each.
    pub(super) fn is_empty(&self) -> bool {
        self.running.is_empty()
    }

    /// Those that have ended since the last call, by rank.
    ///
    /// # Errors
    /// If the system does not tell.
    pub(super) fn ended(&mut self) -> Result<Vec<(usize, ExitStatus)>> {
        let mut ended = Vec::new();
        for (rank, child) in &mut self.running {
            let status = child.try_wait();
            if let Some(status) = status.with_context(|| format!("waiting for rank {rank}"))? {
                ended.push((*rank, status));
            }
        }
        self.running
            .retain(|(rank, _)| ended.iter().all(|(gone, _)| gone != rank));
        Ok(ended)
    }

    /// Sends a signal to all that run.
    pub(super) fn send(&self, signal: i32) {
        let Some(signal) = Signal::from_named_raw(signal) else {
            return;
        };
        for (_, child) in &self.running {
            // It has not been waited for, so its number is still its own. It may have ended.
            let _ = kill_process(Pid::from_child(child), signal);
        }
    }
}

impl Drop for Children {
    /// Ends those that still run: the parent leaves because something is wrong.
    fn drop(&mut self) {
        for (_, child) in &mut self.running {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Has the kernel send SIGTERM to the child when the thread that starts it is gone.
fn end_with_parent(command: &mut Command) {
    let parent = getpid();
    let prepare = move || {
        set_parent_process_death_signal(Some(Signal::TERM))?;
        // A parent that went before that call is not told of any more.
        match getppid() == Some(parent) {
            true => Ok(()),
            false => Err(Errno::SRCH.into()),
        }
    };
    // SAFETY: between fork and exec only system calls are made and nothing is allocated.
    unsafe { command.pre_exec(prepare) };
}

/// Ends the process without any destructor.
pub(super) fn exit_now(code: i32) -> ! {
    // SAFETY: it never returns, so nothing can be in a bad state afterwards.
    unsafe { libc::_exit(code) }
}
