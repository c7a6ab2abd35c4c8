//! What one process takes of a machine that it shares with others of its run.
//!
//! How many they are stands in the environment ([`Place`](crate::Place)); one that makes no sense
//! counts as none, for others refuse it. Each launcher has its own way with CPUs:
//!
//! * torchrun, and whoever sets `LOCAL_WORLD_SIZE`, gives all processes of a machine the same CPUs:
//!   each takes its part of those that it may use.
//! * Slurm and MPI may have bound a process to CPUs of its own, or of a socket, or not at all. So a
//!   process takes as many as it may use, and no more than its part of what all of them have: of
//!   `SLURM_CPUS_ON_NODE`, or of the machine, or of the container.
//! * A container's limit on CPU time holds for all processes in it: it is divided.

use std::env;
use std::fs;
use std::path::Path;
use std::thread::available_parallelism;

use crate::cpu::count;
use crate::seat::{Launcher, Seat};
use crate::variables::{Get, number};

/// The number of threads that `asked` stands for in a process that may share its machine with
/// others of its run: 0 takes this process's part of the cores, at least one.
pub fn shared_threads(asked: usize) -> usize {
    match asked {
        0 => Cpus::now().part(&|name| env::var(name).ok()),
        asked => asked,
    }
}

/// Number of the run's processes on this machine, this one included.
pub fn local_processes() -> usize {
    seat(&|name| env::var(name).ok()).map_or(1, |seat| seat.local_size)
}

/// Bytes of memory that all processes here can have together: the machine's, or the limit of this
/// process's cgroup (version 2) if that is lower. `None` where the kernel does not tell.
pub fn memory_bytes() -> Option<u64> {
    let total = mem_total(&fs::read_to_string("/proc/meminfo").ok()?)?;
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    let limit = memory_limit(Path::new("/sys/fs/cgroup"), &groups);
    Some(limit.map_or(total, |limit| limit.min(total)))
}

fn seat(get: Get) -> Option<Seat> {
    Seat::of(get).ok().flatten()
}

/// CPUs, counted three times.
#[derive(Clone, Copy, Debug)]
struct Cpus {
    /// That this process may run on, or as many as the limit on its CPU time is worth.
    usable: usize,
    /// That this process may run on.
    allowed: usize,
    /// Of the machine, or of the container.
    machine: usize,
}

impl Cpus {
    fn now() -> Self {
        let read = |file: &str| fs::read_to_string(file).ok();
        let usable = available_parallelism().map_or(1, usize::from);
        let allowed = read("/proc/self/status").and_then(|status| {
            let list = status
                .lines()
                .find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
            count(list?)
        });
        let listed = |file| count(&read(file)?).filter(|&cpus| cpus > 0);
        let machine = listed("/sys/fs/cgroup/cpuset.cpus.effective")
            .or_else(|| listed("/sys/devices/system/cpu/online"));
        Self {
            usable,
            allowed: allowed.unwrap_or(usable),
            machine: machine.unwrap_or(usable),
        }
    }

    /// How many of them are this process's.
    fn part(&self, get: Get) -> usize {
        let Some(seat) = seat(get) else {
            return self.usable;
        };
        let is_limited = self.usable < self.allowed;
        let together = match seat.launcher {
            Launcher::Torchrun | Launcher::Variables => self.usable,
            _ if is_limited => self.usable,
            Launcher::OpenMpi | Launcher::Mpich => self.machine,
            Launcher::Slurm => {
                let on_node = number(get, "SLURM_CPUS_ON_NODE").ok().flatten();
                on_node.unwrap_or(self.machine)
            }
        };
        self.usable.min(together / seat.local_size).max(1)
    }
}

/// Of `/proc/meminfo`, in bytes.
fn mem_total(meminfo: &str) -> Option<u64> {
    let line = meminfo
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The lowest limit of the cgroup that `/proc/self/cgroup` names (its line `0::PATH`), and of all
/// above it, in the tree at `root`.
fn memory_limit(root: &Path, groups: &str) -> Option<u64> {
    let path = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let limits = Path::new(path).ancestors().filter_map(|group| {
        let limit = fs::read_to_string(root.join(group).join("memory.max")).ok()?;
        // "max" is no limit.
        limit.trim().parse::<u64>().ok()
    });
    limits.min()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A machine of 64 CPUs without limits, of which a process may use `allowed`.
    fn cpus(allowed: usize) -> Cpus {
        Cpus {
            usable: allowed,
            allowed,
            machine: 64,
        }
    }

    fn part(cpus: Cpus, variables: &[(&str, &str)]) -> usize {
        cpus.part(&|name| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    fn torchrun(local_size: &'static str) -> [(&'static str, &'static str); 3] {
        [
            ("RANK", "0"),
            ("WORLD_SIZE", "16"),
            ("LOCAL_WORLD_SIZE", local_size),
        ]
    }

    const SRUN: [(&str, &str); 7] = [
        ("SLURM_PROCID", "1"),
        ("SLURM_LOCALID", "1"),
        ("SLURM_NODEID", "0"),
        ("SLURM_STEP_NUM_TASKS", "8"),
        ("SLURM_STEP_TASKS_PER_NODE", "8"),
        ("SLURM_STEP_NODELIST", "a"),
        ("SLURM_CPUS_ON_NODE", "32"),
    ];

    /// Several machines and no MASTER_ADDR, which does not matter here.
    const MPIRUN: [(&str, &str); 4] = [
        ("OMPI_COMM_WORLD_RANK", "0"),
        ("OMPI_COMM_WORLD_SIZE", "16"),
        ("OMPI_COMM_WORLD_LOCAL_RANK", "0"),
        ("OMPI_COMM_WORLD_LOCAL_SIZE", "8"),
    ];

    #[test]
    fn a_number_that_is_asked_for_stands() {
        assert_eq!(shared_threads(3), 3);
        assert!(shared_threads(0) >= 1);
        assert!(local_processes() >= 1);
    }

    #[test]
    fn who_is_alone_has_all() {
        assert_eq!(part(cpus(64), &[]), 64);
        assert_eq!(part(cpus(6), &torchrun("1")), 6);
    }

    #[test]
    fn processes_of_torchrun_divide_what_each_may_use() {
        assert_eq!(part(cpus(64), &torchrun("8")), 8);
        // In a container, or within a task of Slurm.
        assert_eq!(part(cpus(20), &torchrun("8")), 2);
        assert_eq!(part(cpus(2), &torchrun("8")), 1);
    }

    #[test]
    fn whom_slurm_has_bound_takes_all_that_it_may_use() {
        assert_eq!(part(cpus(4), &SRUN), 4, "eight times four of 32");
        assert_eq!(part(cpus(2), &SRUN), 2);
        assert_eq!(part(cpus(32), &SRUN), 4, "not bound");
        assert_eq!(part(cpus(16), &SRUN), 4, "bound to a socket");
        assert_eq!(part(cpus(64), &SRUN[..6]), 8, "of the machine");
    }

    #[test]
    fn whom_mpi_has_bound_takes_all_that_it_may_use() {
        assert_eq!(part(cpus(64), &MPIRUN), 8, "not bound");
        assert_eq!(part(cpus(32), &MPIRUN), 8, "bound to a socket");
        assert_eq!(part(cpus(2), &MPIRUN), 2, "bound to a core");
    }

    #[test]
    fn a_limit_on_cpu_time_is_divided_by_all() {
        let limited = Cpus {
            usable: 16,
            ..cpus(64)
        };
        assert_eq!(part(limited, &[]), 16);
        assert_eq!(part(limited, &torchrun("8")), 2);
        assert_eq!(part(limited, &SRUN), 2);
        assert_eq!(part(limited, &MPIRUN), 2);
    }

    #[test]
    fn an_environment_without_sense_divides_nothing() {
        assert_eq!(part(cpus(8), &torchrun("0")), 8);
        assert_eq!(part(cpus(8), &torchrun("many")), 8);
        assert_eq!(part(cpus(8), &[("RANK", "0")]), 8);
        let cpus_on_node = ("SLURM_CPUS_ON_NODE", "x");
        assert_eq!(part(cpus(64), &[&SRUN[..6], &[cpus_on_node]].concat()), 8);
    }

    #[test]
    fn memory_is_that_of_the_machine_or_the_lowest_limit() {
        let meminfo = "MemTotal:       16384 kB\nMemFree:  1 kB\n";
        assert_eq!(mem_total(meminfo), Some(16 << 20));
        assert_eq!(mem_total("MemFree: 1 kB\n"), None);

        let root = tempfile::tempdir().unwrap();
        let group = |path: &str, limit: &str| {
            let folder = root.path().join(path);
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("memory.max"), limit).unwrap();
        };
        group("job/step/task", "max\n");
        group("job/step", "5000\n");
        group("job", "7000\n");
        let limit = |groups: &str| memory_limit(root.path(), groups);
        assert_eq!(limit("1:cpu:/x\n0::/job/step/task\n"), Some(5000));
        assert_eq!(limit("0::/job\n"), Some(7000));
        assert_eq!(limit("0::/\n"), None, "the root has no file");
        assert_eq!(limit("4:memory:/job\n"), None, "version 1");
        group("", "3000\n");
        assert_eq!(limit("0::/\n"), Some(3000), "a container's root has one");
        assert_eq!(limit("0::/job/step/task\n"), Some(3000));
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_machine_tells() {
        assert!(memory_bytes().is_some_and(|bytes| bytes > 1 << 20));
        let Cpus {
            usable,
            allowed,
            machine,
        } = Cpus::now();
        assert!(1 <= usable && usable <= allowed && allowed <= machine);
    }
}
