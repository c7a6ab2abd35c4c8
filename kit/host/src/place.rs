//! Where this process stands among the processes of a run, and where it meets them.
//!
//! Its launcher says so in the environment: `seat.rs` knows which ones there are. What is set and
//! makes no sense is refused, never guessed at. Without any launcher the process is alone.

use std::env;

use crate::seat::{Launcher, Seat};
use crate::slurm;
use crate::variables::{Get, number, set};

/// Where `mpirun` and `mpiexec` start everything on one machine, rank 0 is met here.
const THIS_MACHINE: &str = "127.0.0.1";
/// torchrun's default, too.
const DEFAULT_PORT: u16 = 29_500;

/// Where this process stands among the processes of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Number of this process, from 0; below `size`.
    pub rank: usize,
    /// Number of processes, at least 1.
    pub size: usize,
    /// Number of this process among those of its machine, from 0; below `local_size`.
    pub local_rank: usize,
    /// Number of processes on this machine, at least 1.
    pub local_size: usize,
    /// Where rank 0 is to be met; `None` for a run of one process.
    pub master: Option<Master>,
    /// Whether torchrun's agent keeps the store there, else rank 0 does.
    pub agent_store: bool,
    /// Who started the processes, for people.
    pub launcher: &'static str,
}

/// Where rank 0 is to be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Master {
    /// Name or address of its machine.
    pub address: String,
    /// TCP port, not 0.
    pub port: u16,
}

impl Place {
    /// A run of one process.
    pub fn alone() -> Self {
        Self {
            rank: 0,
            size: 1,
            local_rank: 0,
            local_size: 1,
            master: None,
            agent_store: false,
            launcher: "no launcher",
        }
    }

    /// As the environment says.
    ///
    /// # Errors
    /// One line that names the variable that makes no sense, or is missing beside another.
    pub fn from_environment() -> Result<Self, String> {
        Self::of(&|name| env::var(name).ok())
    }

    fn of(get: Get) -> Result<Self, String> {
        let Some(seat) = Seat::of(get)? else {
            return Ok(Self::alone());
        };
        let alone = Self {
            local_rank: seat.local_rank,
            local_size: seat.local_size,
            ..Self::alone()
        };
        if seat.size == 1 {
            return Ok(alone);
        }
        Ok(Self {
            rank: seat.rank,
            size: seat.size,
            master: Some(master(get, &seat)?),
            agent_store: set(get, "TORCHELASTIC_USE_AGENT_STORE").as_deref() == Some("True"),
            launcher: seat.launcher.name(),
            ..alone
        })
    }
}

/// Where rank 0 of several is to be met.
fn master(get: Get, seat: &Seat) -> Result<Master, String> {
    let given = set(get, "MASTER_ADDR");
    let port = port(get)?;
    let all_here = seat.local_size == seat.size;
    let (address, default_port) = match (seat.launcher, given) {
        (Launcher::Torchrun | Launcher::Variables, None) => {
            return Err(format!(
                "WORLD_SIZE is {}, but MASTER_ADDR is not set: it names the machine of rank 0",
                seat.size
            ));
        }
        (Launcher::Torchrun | Launcher::Variables, Some(address)) => (address, None),
        (Launcher::Slurm, given) => {
            let address = given.map_or_else(|| slurm::first_host(get), Ok)?;
            (address, Some(slurm::port(get)?))
        }
        (Launcher::OpenMpi | Launcher::Mpich, Some(address)) => (address, Some(DEFAULT_PORT)),
        (Launcher::OpenMpi | Launcher::Mpich, None) if all_here => {
            (THIS_MACHINE.to_owned(), Some(DEFAULT_PORT))
        }
        (Launcher::OpenMpi | Launcher::Mpich, None) => {
            return Err(format!(
                "{} has started {} processes, {} of them here, but MASTER_ADDR is not set: have it name the machine of rank 0 for all of them ({})",
                seat.launcher.name(),
                seat.size,
                seat.local_size,
                match seat.launcher {
                    Launcher::OpenMpi => "mpirun -x MASTER_ADDR=HOST",
                    _ => "mpiexec -genv MASTER_ADDR HOST",
                }
            ));
        }
    };
    let port = port.or(default_port).ok_or_else(|| {
        format!(
            "WORLD_SIZE is {}, but MASTER_PORT is not set: it is the port where rank 0 is met",
            seat.size
        )
    })?;
    Ok(Master { address, port })
}

fn port(get: Get) -> Result<Option<u16>, String> {
    const PORT: &str = "MASTER_PORT";
    let port = |port: usize| u16::try_from(port).ok().filter(|&port| port > 0);
    let Some(number) = number(get, PORT)? else {
        return Ok(None);
    };
    port(number)
        .map(Some)
        .ok_or_else(|| format!("{PORT} is {number}, but must be 1 to 65535"))
}

#[cfg(test)]
mod tests;
