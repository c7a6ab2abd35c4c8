//! What `srun` says of its step: tasks on this machine, the first machine, a port.
//!
//! The variables are those of "OUTPUT ENVIRONMENT VARIABLES" in srun(1).

use crate::variables::{Get, number, required, set};

const NODES: &str = "SLURM_STEP_NODELIST";
const TASKS: &str = "SLURM_STEP_TASKS_PER_NODE";
const NODE: &str = "SLURM_NODEID";

/// Ports are taken from here on: below those that systems give to whoever asks for any.
const FIRST_PORT: usize = 20_000;
const NUM_PORTS: usize = 10_000;

/// Number of this step's tasks on this machine.
pub(crate) fn tasks_here(get: Get) -> Result<usize, String> {
    let list = set(get, TASKS)
        .ok_or_else(|| format!("{TASKS} is not set, although other variables of its step are"))?;
    let node = required(get, NODE)?;
    let tasks = tasks_on(&list, node).ok_or_else(|| {
        format!("{TASKS} is {list:?}, which does not say the tasks of node {node} ({NODE})")
    })?;
    Ok(tasks)
}

/// The entry of `node` in a list such as `8(x2),4`.
fn tasks_on(list: &str, node: usize) -> Option<usize> {
    let mut before = 0_usize;
    for entry in list.split(',') {
        let (tasks, repeated) = match entry.trim().split_once("(x") {
            Some((tasks, times)) => (tasks, times.strip_suffix(')')?.parse().ok()?),
            None => (entry.trim(), 1_usize),
        };
        before = before.checked_add(repeated)?;
        if node < before {
            return tasks.parse().ok();
        }
    }
    None
}

/// The machine of rank 0: the first of the step.
///
/// NOTE: `srun --distribution=arbitrary` may put rank 0 elsewhere; then MASTER_ADDR has to be set.
pub(crate) fn first_host(get: Get) -> Result<String, String> {
    let list = set(get, NODES)
        .ok_or_else(|| format!("{NODES} is not set: set MASTER_ADDR to the machine of rank 0"))?;
    first_of(&list).ok_or_else(|| {
        format!(
            "{NODES} is {list:?}, which is no list of machines: set MASTER_ADDR to that of rank 0"
        )
    })
}

/// The first name that a list such as `node[003-007,9],other1` stands for.
fn first_of(list: &str) -> Option<String> {
    let mut name = String::new();
    let mut rest = list.trim();
    while let Some(at) = rest.find(['[', ',']) {
        name.push_str(&rest[..at]);
        if rest[at..].starts_with(',') {
            rest = "";
            break;
        }
        let (range, after) = rest[at + 1..].split_once(']')?;
        let first = range
            .split([',', '-'])
            .next()
            .filter(|first| !first.is_empty())?;
        name.push_str(first);
        rest = after;
    }
    name.push_str(rest);
    (!name.is_empty() && !name.contains(']')).then_some(name)
}

/// A port for the step: another one for each step of each job, so that two jobs of one machine hardly
/// ever meet.
pub(crate) fn port(get: Get) -> Result<u16, String> {
    let either = |name, old_name| {
        let id = number(get, name)?.map_or_else(|| number(get, old_name), |id| Ok(Some(id)));
        id.map(|id| id.unwrap_or(0))
    };
    let job = either("SLURM_JOB_ID", "SLURM_JOBID")?;
    let step = either("SLURM_STEP_ID", "SLURM_STEPID")?;
    let port = FIRST_PORT + job.wrapping_mul(31).wrapping_add(step) % NUM_PORTS;
    Ok(u16::try_from(port).expect("20000 to 29999"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_machine_of_a_list() {
        let cases = [
            ("node7", "node7"),
            ("node003,node004", "node003"),
            ("node[003-007,9],other1", "node003"),
            ("node[9,11-12]", "node9"),
            ("gpu-a[01-02]-x", "gpu-a01-x"),
            ("r[1-2]n[04-05],z", "r1n04"),
            ("a-1,b[1-2]", "a-1"),
        ];
        for (list, first) in cases {
            assert_eq!(first_of(list).as_deref(), Some(first), "{list}");
        }
        for list in ["", " ", ",", "node[", "node[1-2", "node[]", "node]", "[,1]"] {
            assert_eq!(first_of(list), None, "{list:?}");
        }
    }

    #[test]
    fn tasks_of_each_machine() {
        let all: Vec<_> = (0..5).map(|node| tasks_on("8(x2),4,1(x1)", node)).collect();
        assert_eq!(all, [Some(8), Some(8), Some(4), Some(1), None]);
        assert_eq!(tasks_on("3", 0), Some(3));
        for list in ["", "a", "8(x", "8(x2", "8(xx)", "(x2)", "8(y2)"] {
            assert_eq!(tasks_on(list, 0), None, "{list:?}");
        }
    }

    #[test]
    fn ports_differ_between_jobs_and_steps() {
        let at = |job: usize, step: usize| {
            let get = |name: &str| match name {
                "SLURM_JOB_ID" => Some(job.to_string()),
                "SLURM_STEP_ID" => Some(step.to_string()),
                _ => None,
            };
            port(&get).unwrap()
        };
        assert_eq!(at(7, 0), 20_217);
        assert_eq!(at(7, 1), 20_218);
        assert_eq!(at(8, 0), 20_248);
        assert!((20_000..30_000).contains(&at(usize::MAX, usize::MAX)));
        let old = |name: &str| (name == "SLURM_JOBID").then(|| "7".to_owned());
        assert_eq!(port(&old), Ok(20_217));
        let bad = |name: &str| (name == "SLURM_STEPID").then(|| "x".to_owned());
        assert!(port(&bad).unwrap_err().contains("SLURM_STEPID"));
    }
}
