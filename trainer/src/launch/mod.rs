//! Several processes that are one command: who starts them, who speaks, how they end.
//!
//! Usually torchrun, Slurm or MPI has started them, on one machine or many. On one machine the
//! program does so itself (`--processes N`): it becomes their parent, computes nothing, and its exit
//! code is theirs.

mod among;
mod children;
mod supervise;

use std::env;
use std::ffi::{OsStr, OsString};
use std::io::{Write, stdout};
use std::net::{Ipv4Addr, TcpListener};
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use console::usage;
use host::Place;

pub(crate) use among::{Terms, among};
use children::exit_now;
use supervise::{Patience, listen, supervise};

/// The option, as the user types it.
const OPTION: &str = "--processes";

/// Of several processes the first speaks for all, and each that fails says which one it is. Those of a
/// machine share its cores.
pub fn introduce(place: &Place) {
    let Place { rank, size, .. } = place;
    if *size > 1 {
        console::speak_as(format!("rank {rank} of {size} ({})", host::name()));
        if *rank > 0 {
            console::quiet();
        }
    }
    if place.local_size > 1 {
        take_part_of_cores();
    }
}

/// rayon starts a thread a core, for the whole process, unless it is told before its first work.
fn take_part_of_cores() {
    if env::var_os("RAYON_NUM_THREADS").is_none() {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(host::shared_threads(0));
        // Fails if there is one already, or no thread can be had: then work is slower, or fails there.
        let _ = pool.build_global();
    }
}

/// Ends one of several processes at once. Destructors of whatever ties it to the others might wait
/// for those that are gone.
pub fn leave(code: u8) -> ! {
    // Whoever reads it may be gone; nothing is left to do about it.
    let _ = stdout().flush();
    exit_now(code.into())
}

/// Starts this program `processes` times on this machine, with the same arguments, as the ranks of
/// one run, and waits for them all; the value is the exit code.
///
/// # Errors
/// If this process is one of several already, or if one cannot be started.
pub(crate) fn here(processes: usize, place: &Place) -> Result<u8> {
    let Place {
        rank,
        size,
        launcher,
        ..
    } = place;
    if *size > 1 {
        return Err(usage(format!(
            "{OPTION} {processes} starts processes of its own, but {launcher} has started this one as rank {rank} of {size}: leave {OPTION} out"
        )));
    }
    let program = env::current_exe().context("looking for this program's own file")?;
    let arguments = without_option(env::args_os().skip(1));
    let port = free_port().context("looking for a free port on this machine")?;
    let command = |rank| command(&program, &arguments, rank, processes, port);
    supervise(
        (0..processes).map(command).collect(),
        Patience::default(),
        listen()?,
    )
}

fn command(program: &Path, arguments: &[OsString], rank: usize, size: usize, port: u16) -> Command {
    let mut command = Command::new(program);
    command
        .args(arguments)
        .env("RANK", rank.to_string())
        .env("WORLD_SIZE", size.to_string())
        .env("LOCAL_RANK", rank.to_string())
        .env("LOCAL_WORLD_SIZE", size.to_string())
        .env("MASTER_ADDR", Ipv4Addr::LOCALHOST.to_string())
        .env("MASTER_PORT", port.to_string());
    // A torchrun that started this process alone keeps no store for its children.
    for name in ["TORCHELASTIC_RUN_ID", "TORCHELASTIC_USE_AGENT_STORE"] {
        command.env_remove(name);
    }
    command
}

/// The arguments without `--processes N` and `--processes=N`.
fn without_option(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
    let mut kept = Vec::new();
    let mut arguments = arguments.peekable();
    while let Some(argument) = arguments.next() {
        if argument == "--" {
            kept.push(argument);
            kept.extend(arguments);
            break;
        }
        if argument == OPTION {
            arguments.next();
        } else if !is_option_with_value(&argument) {
            kept.push(argument);
        }
    }
    kept
}

fn is_option_with_value(argument: &OsStr) -> bool {
    let rest = argument.as_encoded_bytes().strip_prefix(OPTION.as_bytes());
    rest.is_some_and(|rest| rest.starts_with(b"="))
}

/// A port that nobody listens on. Rank 0 takes it a moment later: if another program was faster, the
/// run fails with a line that says so.
fn free_port() -> std::io::Result<u16> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    Ok(listener.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(arguments: &[&str]) -> Vec<String> {
        let kept = without_option(arguments.iter().map(OsString::from));
        kept.into_iter()
            .map(|argument| argument.into_string().unwrap())
            .collect()
    }

    #[test]
    fn children_get_all_arguments_but_the_number_of_processes() {
        let plain = ["run", "shards", "--batch", "8"];
        assert_eq!(kept(&plain), plain);
        assert_eq!(
            kept(&["run", "--processes", "8", "shards", "--batch", "8"]),
            ["run", "shards", "--batch", "8"]
        );
        assert_eq!(kept(&["run", "shards", "--processes=8"]), ["run", "shards"]);
        let others = ["run", "--processes-x", "--set", "processes=8"];
        assert_eq!(kept(&others), others);
        let after = ["run", "--", "--processes", "--processes=3"];
        assert_eq!(kept(&after), after);
    }

    #[test]
    fn children_are_ranks_of_one_run_on_this_machine() {
        let command = command(Path::new("trainer"), &["run".into()], 1, 4, 1234);
        let variable = |name: &str| {
            let found = command.get_envs().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.map(|value| value.to_str().unwrap()))
        };
        for (name, value) in [
            ("RANK", "1"),
            ("WORLD_SIZE", "4"),
            ("LOCAL_RANK", "1"),
            ("LOCAL_WORLD_SIZE", "4"),
            ("MASTER_ADDR", "127.0.0.1"),
            ("MASTER_PORT", "1234"),
        ] {
            assert_eq!(variable(name), Some(Some(value)), "{name}");
        }
        assert_eq!(variable("TORCHELASTIC_USE_AGENT_STORE"), Some(None));
        assert!(command.get_args().eq(["run"]));
    }

    #[test]
    fn who_is_a_rank_already_starts_no_others() {
        let place = Place {
            rank: 3,
            size: 8,
            launcher: "Slurm",
            ..Place::alone()
        };
        let error = here(2, &place).unwrap_err();
        assert!(console::is_usage(&error));
        let line = error.to_string();
        assert!(line.contains("--processes 2"), "{line}");
        assert!(
            line.contains("Slurm has started this one as rank 3 of 8"),
            "{line}"
        );
    }

    /// There is one pool a process: so this test program again, as a rank.
    #[test]
    fn the_processes_of_a_machine_divide_its_cores() {
        const AS_RANK: &str = "TRAINER_TEST_AS_RANK";
        if env::var_os(AS_RANK).is_some() {
            introduce(&Place::from_environment().unwrap());
            assert_eq!(rayon::current_num_threads(), 1);
            return;
        }
        let size = host::threads(0).max(2);
        let name = "launch::tests::the_processes_of_a_machine_divide_its_cores";
        let test = env::current_exe().unwrap();
        let mut rank = command(&test, &["--exact".into(), name.into()], 1, size, 1);
        rank.env(AS_RANK, "1").env_remove("RAYON_NUM_THREADS");
        let output = rank.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && text.contains("1 passed"),
            "{text}"
        );
    }

    #[test]
    fn the_port_is_free() {
        let port = free_port().unwrap();
        TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
    }
}
