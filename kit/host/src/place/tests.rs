//! Made-up environments of every launcher, whole and broken.

use super::*;

fn place(variables: &[(&str, &str)]) -> Result<Place, String> {
    Place::of(&|name| {
        let found = variables.iter().rev().find(|(known, _)| *known == name);
        found.map(|(_, value)| (*value).to_owned())
    })
}

/// An environment, and changes to it: an empty value takes a variable away.
fn changed(base: &[(&str, &str)], changes: &[(&str, &str)]) -> Result<Place, String> {
    place(&[base, changes].concat())
}

/// Where such an environment is refused, in one line that has all of `parts`.
fn refuses(base: &[(&str, &str)], changes: &[(&str, &str)], parts: &[&str]) {
    let line = changed(base, changes).unwrap_err();
    assert!(!line.contains('\n'), "{line}");
    for part in parts {
        assert!(line.contains(part), "{part:?} in {line}");
    }
}

fn master(address: &str, port: u16) -> Option<Master> {
    let address = address.to_owned();
    Some(Master { address, port })
}

const TORCHRUN: &[(&str, &str)] = &[
    ("RANK", "5"),
    ("WORLD_SIZE", "8"),
    ("LOCAL_RANK", "1"),
    ("LOCAL_WORLD_SIZE", "4"),
    ("MASTER_ADDR", "node3"),
    ("MASTER_PORT", "29400"),
    ("TORCHELASTIC_RUN_ID", "none"),
    ("TORCHELASTIC_USE_AGENT_STORE", "True"),
];

/// `srun --nodes 3`, on the second machine. A batch script has the last three as well.
const SRUN: &[(&str, &str)] = &[
    ("SLURM_STEP_NUM_TASKS", "20"),
    ("SLURM_STEP_TASKS_PER_NODE", "8(x2),4"),
    ("SLURM_STEP_NODELIST", "node[003-004,9]"),
    ("SLURM_STEP_ID", "2"),
    ("SLURM_NODEID", "1"),
    ("SLURM_LOCALID", "3"),
    ("SLURM_PROCID", "11"),
    ("SLURM_NTASKS", "20"),
    ("SLURM_JOB_ID", "7"),
];

const MPIRUN: &[(&str, &str)] = &[
    ("OMPI_COMM_WORLD_RANK", "3"),
    ("OMPI_COMM_WORLD_SIZE", "4"),
    ("OMPI_COMM_WORLD_LOCAL_RANK", "3"),
    ("OMPI_COMM_WORLD_LOCAL_SIZE", "4"),
];

const MPIEXEC: &[(&str, &str)] = &[
    ("PMI_RANK", "2"),
    ("PMI_SIZE", "4"),
    ("MPI_LOCALRANKID", "0"),
    ("MPI_LOCALNRANKS", "2"),
    ("MASTER_ADDR", "10.0.0.7"),
];

#[test]
fn nothing_set_is_one_process() {
    assert_eq!(place(&[]), Ok(Place::alone()));
    assert_eq!(
        place(&[("RANK", ""), ("PMI_RANK", " ")]),
        Ok(Place::alone())
    );
}

#[test]
fn torchrun() {
    let expected = Place {
        rank: 5,
        size: 8,
        local_rank: 1,
        local_size: 4,
        master: master("node3", 29_400),
        agent_store: true,
        launcher: "torchrun",
    };
    assert_eq!(changed(TORCHRUN, &[]), Ok(expected.clone()));
    let own_store = changed(TORCHRUN, &[("TORCHELASTIC_USE_AGENT_STORE", "False")]);
    let own_store_expected = Place {
        agent_store: false,
        ..expected
    };
    assert_eq!(own_store, Ok(own_store_expected));
}

#[test]
fn rank_and_world_size_alone_are_one_process_a_machine() {
    let kubernetes = [
        ("RANK", "1"),
        ("WORLD_SIZE", "2"),
        ("MASTER_ADDR", "job-0.job"),
        ("MASTER_PORT", "1"),
    ];
    let expected = Place {
        rank: 1,
        size: 2,
        local_rank: 0,
        local_size: 1,
        master: master("job-0.job", 1),
        agent_store: false,
        launcher: "RANK and WORLD_SIZE",
    };
    assert_eq!(place(&kubernetes), Ok(expected));
}

#[test]
fn a_world_of_one_is_alone_but_for_its_machine() {
    let place = place(&[
        ("RANK", "0"),
        ("WORLD_SIZE", "1"),
        ("LOCAL_RANK", "2"),
        ("LOCAL_WORLD_SIZE", "3"),
    ]);
    let expected = Place {
        local_rank: 2,
        local_size: 3,
        ..Place::alone()
    };
    assert_eq!(place, Ok(expected));
}

#[test]
fn a_step_of_slurm() {
    let expected = Place {
        rank: 11,
        size: 20,
        local_rank: 3,
        local_size: 8,
        master: master("node003", 20_219),
        agent_store: false,
        launcher: "Slurm",
    };
    assert_eq!(changed(SRUN, &[]), Ok(expected.clone()));
    let given = [("MASTER_ADDR", "node9"), ("MASTER_PORT", "65535")];
    let given_expected = Place {
        master: master("node9", 65_535),
        ..expected
    };
    assert_eq!(changed(SRUN, &given), Ok(given_expected));
}

#[test]
fn a_batch_script_of_slurm_is_one_process() {
    assert_eq!(place(&SRUN[4..]), Ok(Place::alone()));
    // `srun --pty bash`, and a step of one task.
    let one = [("SLURM_STEP_NUM_TASKS", "1"), ("SLURM_PROCID", "0")];
    assert_eq!(place(&one), Ok(Place::alone()));
    assert_eq!(changed(SRUN, &one), Ok(Place::alone()));
}

#[test]
fn mpi_on_one_machine_needs_no_address() {
    let expected = Place {
        rank: 3,
        size: 4,
        local_rank: 3,
        local_size: 4,
        master: master("127.0.0.1", 29_500),
        agent_store: false,
        launcher: "Open MPI",
    };
    assert_eq!(changed(MPIRUN, &[]), Ok(expected));
    let local = [("MPI_LOCALNRANKS", "4"), ("MASTER_ADDR", "")];
    let place = changed(MPIEXEC, &local).unwrap();
    assert_eq!(place.master, master("127.0.0.1", 29_500));
}

#[test]
fn mpi_on_several_machines_needs_an_address() {
    let two = ("OMPI_COMM_WORLD_LOCAL_SIZE", "2");
    let first = ("OMPI_COMM_WORLD_LOCAL_RANK", "1");
    refuses(
        MPIRUN,
        &[two, first],
        &["4 processes, 2 of them", "mpirun -x MASTER_ADDR"],
    );
    refuses(
        MPIEXEC,
        &[("MASTER_ADDR", "")],
        &["Intel MPI", "-genv MASTER_ADDR"],
    );
    let given = [two, first, ("MASTER_ADDR", "a"), ("MASTER_PORT", "81")];
    assert_eq!(changed(MPIRUN, &given).unwrap().master, master("a", 81));
    let expected = Place {
        rank: 2,
        size: 4,
        local_rank: 0,
        local_size: 2,
        master: master("10.0.0.7", 29_500),
        agent_store: false,
        launcher: "MPICH or Intel MPI",
    };
    assert_eq!(changed(MPIEXEC, &[]), Ok(expected));
}

#[test]
fn the_innermost_launcher_counts() {
    let launcher = |variables: &[&[(&str, &str)]]| place(&variables.concat()).unwrap().launcher;
    assert_eq!(launcher(&[SRUN, TORCHRUN]), "torchrun");
    assert_eq!(launcher(&[MPIRUN, MPIEXEC, TORCHRUN]), "torchrun");
    // Helpers of `mpirun` and `mpiexec` are tasks of Slurm.
    assert_eq!(launcher(&[SRUN, MPIRUN]), "Open MPI");
    assert_eq!(launcher(&[SRUN, MPIEXEC]), "MPICH or Intel MPI");
    // `srun --mpi=pmi2`.
    let pmi2 = [("PMI_RANK", "11"), ("PMI_SIZE", "20")];
    assert_eq!(launcher(&[SRUN, &pmi2]), "Slurm");
    refuses(&pmi2, &[], &["MPI_LOCALRANKID", "not set"]);
}

#[test]
fn half_an_environment_is_refused() {
    refuses(
        TORCHRUN,
        &[("WORLD_SIZE", "")],
        &["RANK is set", "WORLD_SIZE is not"],
    );
    refuses(
        TORCHRUN,
        &[("RANK", "")],
        &["WORLD_SIZE is set", "RANK is not"],
    );
    refuses(
        TORCHRUN,
        &[("MASTER_ADDR", "")],
        &["WORLD_SIZE is 8", "MASTER_ADDR"],
    );
    refuses(
        TORCHRUN,
        &[("MASTER_PORT", "")],
        &["WORLD_SIZE is 8", "MASTER_PORT"],
    );
    refuses(
        TORCHRUN,
        &[("LOCAL_WORLD_SIZE", "")],
        &["LOCAL_RANK is 1", "LOCAL_WORLD_SIZE"],
    );
    for name in [
        "SLURM_LOCALID",
        "SLURM_NODEID",
        "SLURM_STEP_TASKS_PER_NODE",
        "SLURM_STEP_NODELIST",
    ] {
        refuses(SRUN, &[(name, "")], &[name, "not set"]);
    }
    refuses(
        MPIRUN,
        &[("OMPI_COMM_WORLD_RANK", "")],
        &["OMPI_COMM_WORLD_SIZE is set"],
    );
    refuses(
        MPIRUN,
        &[("OMPI_COMM_WORLD_LOCAL_SIZE", "")],
        &["OMPI_COMM_WORLD_LOCAL_SIZE", "not set"],
    );
}

#[test]
fn numbers_that_are_none_or_too_large_are_refused_by_name_and_value() {
    for name in [
        "RANK",
        "WORLD_SIZE",
        "LOCAL_RANK",
        "LOCAL_WORLD_SIZE",
        "MASTER_PORT",
    ] {
        for value in ["two", "-1", "1.5", "99999999999999999999"] {
            refuses(TORCHRUN, &[(name, value)], &[name, value]);
        }
    }
    refuses(TORCHRUN, &[("RANK", "8")], &["RANK is 8", "WORLD_SIZE"]);
    refuses(TORCHRUN, &[("WORLD_SIZE", "0")], &["WORLD_SIZE is 0"]);
    refuses(TORCHRUN, &[("LOCAL_RANK", "4")], &["LOCAL_RANK is 4"]);
    refuses(
        TORCHRUN,
        &[("LOCAL_WORLD_SIZE", "0")],
        &["LOCAL_WORLD_SIZE is 0"],
    );
    for port in ["0", "65536"] {
        refuses(TORCHRUN, &[("MASTER_PORT", port)], &["MASTER_PORT", port]);
    }
    refuses(SRUN, &[("SLURM_PROCID", "20")], &["SLURM_PROCID is 20"]);
    refuses(SRUN, &[("SLURM_LOCALID", "8")], &["SLURM_LOCALID is 8"]);
    refuses(SRUN, &[("SLURM_NODEID", "3")], &["8(x2),4", "node 3"]);
    refuses(SRUN, &[("SLURM_STEP_NODELIST", "a[")], &["\"a[\""]);
    refuses(SRUN, &[("SLURM_JOB_ID", "x")], &["SLURM_JOB_ID"]);
    refuses(
        MPIRUN,
        &[("OMPI_COMM_WORLD_SIZE", "1")],
        &["OMPI_COMM_WORLD_RANK is 3"],
    );
}
