//! Which of how many processes this one is, as its launcher says.
//!
//! Looked for in this order:
//!
//! 1. `RANK` and `WORLD_SIZE`, as torchrun, Kubernetes' PyTorchJob and many scripts set them.
//! 2. Open MPI's `mpirun`, then MPICH's and Intel's `mpiexec`. They may themselves start their helpers
//!    by `srun`, whose variables then speak of the helpers: so they come before Slurm's.
//! 3. A step of Slurm, that is `srun`. A batch script is none, although it has `SLURM_PROCID` and
//!    `SLURM_NTASKS`: what it calls without `srun` is one process.

use crate::slurm;
use crate::variables::{Get, number, required, set};

/// Who started the processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Launcher {
    Torchrun,
    Variables,
    OpenMpi,
    Mpich,
    Slurm,
}

impl Launcher {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Torchrun => "torchrun",
            Self::Variables => "RANK and WORLD_SIZE",
            Self::OpenMpi => "Open MPI",
            Self::Mpich => "MPICH or Intel MPI",
            Self::Slurm => "Slurm",
        }
    }

    /// Names of the variables of rank, size, local rank and local size. A step of Slurm has none for
    /// the last, but a list for all machines.
    const fn variables(self) -> [&'static str; 4] {
        match self {
            Self::Torchrun | Self::Variables => {
                ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE"]
            }
            Self::OpenMpi => [
                "OMPI_COMM_WORLD_RANK",
                "OMPI_COMM_WORLD_SIZE",
                "OMPI_COMM_WORLD_LOCAL_RANK",
                "OMPI_COMM_WORLD_LOCAL_SIZE",
            ],
            Self::Mpich => ["PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"],
            Self::Slurm => [
                "SLURM_PROCID",
                "SLURM_STEP_NUM_TASKS",
                "SLURM_LOCALID",
                "SLURM_STEP_TASKS_PER_NODE",
            ],
        }
    }
}

/// The numbers alone: all that sharing a machine needs to know.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seat {
    pub(crate) launcher: Launcher,
    pub(crate) rank: usize,
    pub(crate) size: usize,
    pub(crate) local_rank: usize,
    pub(crate) local_size: usize,
}

impl Seat {
    /// `None` if no launcher has set anything.
    pub(crate) fn of(get: Get) -> Result<Option<Self>, String> {
        let is_set = |name| set(get, name).is_some();
        let any = |launcher: Launcher, names: [usize; 2]| {
            names.iter().any(|&ix| is_set(launcher.variables()[ix]))
        };
        let all = |launcher: Launcher, names: [usize; 2]| {
            names.iter().all(|&ix| is_set(launcher.variables()[ix]))
        };
        let launcher = if any(Launcher::Variables, [0, 1]) {
            match is_set("TORCHELASTIC_RUN_ID") {
                true => Launcher::Torchrun,
                false => Launcher::Variables,
            }
        } else if any(Launcher::OpenMpi, [0, 1]) {
            Launcher::OpenMpi
        } else if all(Launcher::Mpich, [0, 2]) {
            Launcher::Mpich
        } else if all(Launcher::Slurm, [0, 1]) {
            Launcher::Slurm
        } else if any(Launcher::Mpich, [0, 1]) {
            // `srun --mpi=pmi2` sets these too, but not those of the machine: without a step of
            // Slurm they are incomplete, and that is said.
            Launcher::Mpich
        } else {
            return Ok(None);
        };
        Self::read(get, launcher).map(Some)
    }

    fn read(get: Get, launcher: Launcher) -> Result<Self, String> {
        let [rank, size, local_rank, local_size] = launcher.variables();
        let seat = |numbers: [usize; 4]| Self {
            launcher,
            rank: numbers[0],
            size: numbers[1],
            local_rank: numbers[2],
            local_size: numbers[3],
        };
        let world = [both(get, rank, size)?, both(get, size, rank)?];
        if world[1] == 1 && !matches!(launcher, Launcher::Torchrun | Launcher::Variables) {
            below(rank, world[0], size, 1)?;
            return Ok(seat([0, 1, 0, 1]));
        }
        let local = match launcher {
            Launcher::Torchrun | Launcher::Variables => [
                number(get, local_rank)?.unwrap_or(0),
                number(get, local_size)?.unwrap_or(1),
            ],
            Launcher::Slurm => [required(get, local_rank)?, slurm::tasks_here(get)?],
            Launcher::OpenMpi | Launcher::Mpich => {
                [required(get, local_rank)?, required(get, local_size)?]
            }
        };
        below(rank, world[0], size, world[1])?;
        below(local_rank, local[0], local_size, local[1])?;
        Ok(seat([world[0], world[1], local[0], local[1]]))
    }
}

/// The value of `name`, which has to be there where `other` is.
fn both(get: Get, name: &str, other: &str) -> Result<usize, String> {
    number(get, name)?
        .ok_or_else(|| format!("{other} is set, but {name} is not: set both, or neither"))
}

/// Refuses a number that is not below its size.
fn below(name: &str, number: usize, size_name: &str, size: usize) -> Result<(), String> {
    if size == 0 {
        return Err(format!("{size_name} is 0, but must be at least 1"));
    }
    if number >= size {
        return Err(format!(
            "{name} is {number}, but must be below {size_name}, which stands for {size}"
        ));
    }
    Ok(())
}
