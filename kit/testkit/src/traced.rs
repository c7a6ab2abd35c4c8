//! A program that halts before and after every system call that changes its output folder, so that
//! a test can look at the folder at that moment, or end the process there.
//!
//! `ptrace(2)`: the kernel stops the program at the entry and the exit of each call and tells this
//! thread, which must be the one that spawned it. A call halted at its entry has not happened; a
//! process killed there never makes it.
#![allow(unsafe_code, reason = "ptrace has no safe interface")]

use std::collections::HashMap;
use std::fs;
use std::io::{self, Read};
use std::mem::{size_of, zeroed};
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, Command, Stdio};
use std::ptr::{null_mut, without_provenance_mut};

use libc::{c_int, c_long, pid_t};

use crate::skip;

/// What a system call does to the folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Call {
    Create,
    Write,
    /// `fsync` of a file.
    Flush,
    Rename,
    /// `fsync` of a folder, here told apart by the file that was renamed before.
    FlushFolder,
}

/// A system call of a run, and which side of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moment {
    pub call: Call,
    /// The file, relative to the folder; of a renamed one, the new name.
    pub path: String,
    /// Which such call on this file, counted from 0.
    pub nth: u32,
    pub is_done: bool,
}

/// A running program and the moments that it has yet to reach. Dropped, it is killed with SIGKILL.
pub struct Traced {
    pid: pid_t,
    stderr: ChildStderr,
    dir: PathBuf,
    /// The call in which each thread is.
    inside: HashMap<pid_t, Option<Moment>>,
    counts: HashMap<(Call, String), u32>,
    last_renamed: String,
    /// Thread that waits to be continued.
    halted: Option<pid_t>,
    /// Its exit code, or the signal that killed it.
    ended: Option<Result<c_int, c_int>>,
}

impl Traced {
    /// Starts `command`, to be halted when it changes something in `dir`; `None` where tracing is
    /// forbidden, which is noted as a skipped test.
    ///
    /// # Panics
    /// If tracing is allowed but fails.
    pub fn spawn(command: &mut Command, dir: &Path) -> Option<Self> {
        command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped());
        let ask_to_be_traced = || match ptrace(libc::PTRACE_TRACEME, 0, 0) {
            -1 => Err(io::Error::last_os_error()),
            _ => Ok(()),
        };
        // SAFETY: between fork and exec the closure only makes a system call, which neither
        // allocates nor locks.
        unsafe { command.pre_exec(ask_to_be_traced) };
        let mut child = command
            .spawn()
            .inspect_err(|error| skip(&format!("tracing is forbidden: {error}")))
            .ok()?;
        let pid = child.id() as pid_t;
        let (_, status) = wait(pid).expect("the child stops at its exec");
        assert!(libc::WIFSTOPPED(status), "status {status:#x}");
        let options =
            libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
        assert_eq!(
            ptrace(libc::PTRACE_SETOPTIONS, pid, options as usize),
            0,
            "{}",
            io::Error::last_os_error()
        );
        Some(Self {
            pid,
            stderr: child.stderr.take().expect("it is piped"),
            dir: dir.to_owned(),
            inside: HashMap::new(),
            counts: HashMap::new(),
            last_renamed: String::new(),
            halted: Some(pid),
            ended: None,
        })
    }

    /// Lets it run to its end: exit code, or the signal that killed it, and standard error.
    ///
    /// # Panics
    /// If standard error cannot be read as text.
    pub fn finish(mut self) -> (Result<c_int, c_int>, String) {
        self.by_ref().for_each(drop);
        let mut message = String::new();
        let read = self.stderr.read_to_string(&mut message);
        read.expect("messages are UTF-8");
        (self.ended.expect("there are no moments left"), message)
    }

    /// What the halt of `thread` at the border of a system call means for the folder.
    fn moment(&mut self, thread: pid_t) -> Option<Moment> {
        let info = syscall_info(thread)?;
        match info.op {
            libc::PTRACE_SYSCALL_INFO_ENTRY => {
                // SAFETY: `op` says that the kernel has filled in this member.
                let entry = unsafe { info.u.entry };
                let moment = self.named(thread, entry.nr as c_long, entry.args);
                self.inside.insert(thread, moment.clone());
                moment
            }
            _ => self.inside.remove(&thread)?.map(|moment| Moment {
                is_done: true,
                ..moment
            }),
        }
    }

    fn named(&mut self, thread: pid_t, number: c_long, args: [u64; 6]) -> Option<Moment> {
        let of_descriptor = || fs::read_link(format!("/proc/{thread}/fd/{}", args[0])).ok();
        let (call, path) = match number {
            libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev => {
                (Call::Write, of_descriptor()?)
            }
            libc::SYS_fsync | libc::SYS_fdatasync => (Call::Flush, of_descriptor()?),
            #[cfg(target_arch = "x86_64")]
            libc::SYS_rename => (Call::Rename, read_path(thread, args[1])?),
            libc::SYS_renameat | libc::SYS_renameat2 => (Call::Rename, read_path(thread, args[3])?),
            libc::SYS_openat if args[2] as c_int & libc::O_CREAT != 0 => {
                (Call::Create, read_path(thread, args[1])?)
            }
            _ => return None,
        };
        let mut relative = path
            .strip_prefix(&self.dir)
            .ok()?
            .to_string_lossy()
            .into_owned();
        let call = match call {
            Call::Flush if path.is_dir() => Call::FlushFolder,
            call => call,
        };
        match call {
            Call::Rename => self.last_renamed.clone_from(&relative),
            Call::FlushFolder => relative.clone_from(&self.last_renamed),
            _ => {}
        }
        let count = self.counts.entry((call, relative.clone())).or_default();
        let nth = *count;
        *count += 1;
        Some(Moment {
            call,
            path: relative,
            nth,
            is_done: false,
        })
    }
}

impl Iterator for Traced {
    type Item = Moment;

    fn next(&mut self) -> Option<Moment> {
        loop {
            if let Some(thread) = self.halted.take() {
                ptrace(libc::PTRACE_SYSCALL, thread, 0);
            }
            // Only children of this thread: the others belong to tests that run beside this one.
            let (thread, status) = wait(-1)?;
            if !libc::WIFSTOPPED(status) {
                if thread == self.pid {
                    self.ended = Some(ending(status));
                    return None;
                }
                continue;
            }
            self.halted = Some(thread);
            let signal = libc::WSTOPSIG(status);
            if signal == libc::SIGTRAP | 0x80 {
                if let Some(moment) = self.moment(thread) {
                    return Some(moment);
                }
            } else if status >> 16 == 0 && signal != libc::SIGSTOP {
                // A signal for the program; SIGSTOP is how a new thread begins to be traced.
                self.halted = None;
                ptrace(libc::PTRACE_SYSCALL, thread, signal as usize);
            }
        }
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // SAFETY: `kill` touches no memory; the process has not been reaped, so its number is still
        // its own.
        unsafe {
            self.ended
                .is_none()
                .then(|| libc::kill(self.pid, libc::SIGKILL))
        };
        while self.ended.is_none() {
            let (thread, status) = wait(-1).expect("it has not been waited for");
            if thread == self.pid && !libc::WIFSTOPPED(status) {
                self.ended = Some(ending(status));
            }
        }
    }
}

fn ptrace(request: libc::c_uint, thread: pid_t, data: usize) -> c_long {
    // SAFETY: the requests made here read `data` as a number and ignore the address.
    unsafe {
        libc::ptrace(
            request,
            thread,
            null_mut::<u8>(),
            without_provenance_mut::<u8>(data),
        )
    }
}

fn syscall_info(thread: pid_t) -> Option<libc::ptrace_syscall_info> {
    // SAFETY: the structure is plain numbers, and the kernel writes at most the given size into it.
    unsafe {
        let mut info: libc::ptrace_syscall_info = zeroed();
        let size = without_provenance_mut::<u8>(size_of::<libc::ptrace_syscall_info>());
        (libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, &raw mut info) > 0)
            .then_some(info)
    }
}

/// The next child of this thread, or `pid` alone, that has stopped or ended, and its status.
fn wait(pid: pid_t) -> Option<(pid_t, c_int)> {
    const WNOTHREAD: c_int = 0x2000_0000;
    let mut status = 0;
    // SAFETY: `status` outlives the call.
    let found = unsafe { libc::waitpid(pid, &raw mut status, libc::__WALL | WNOTHREAD) };
    (found > 0).then_some((found, status))
}

fn ending(status: c_int) -> Result<c_int, c_int> {
    if libc::WIFEXITED(status) {
        Ok(libc::WEXITSTATUS(status))
    } else {
        Err(libc::WTERMSIG(status))
    }
}

/// The zero-terminated path at `address` of a halted program.
fn read_path(thread: pid_t, address: u64) -> Option<PathBuf> {
    let memory = fs::File::open(format!("/proc/{thread}/mem")).ok()?;
    let mut bytes = Vec::new();
    let mut byte = [0];
    loop {
        memory
            .read_exact_at(&mut byte, address + bytes.len() as u64)
            .ok()?;
        match byte[0] {
            0 => return String::from_utf8(bytes).ok().map(PathBuf::from),
            other => bytes.push(other),
        }
    }
}
