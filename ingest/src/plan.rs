//! Which shards a run writes: tasks in, tasks out.
//!
//! The plan depends on the inputs' names alone, so every part of a run on many machines makes the
//! same one. The file system is asked only whether two paths of one name are one file.

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::str::FromStr;

use crate::error::{Error, Result};
use crate::task::Task;

/// Whole shards dealt out to machines: this one takes every `count`-th, beginning with number
/// `index`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Part {
    /// Which part, counted from 0.
    pub index: u32,
    /// How many parts there are.
    pub count: NonZeroU32,
}

impl Part {
    /// The one part of a run on one machine.
    pub const WHOLE: Self = Self {
        index: 0,
        count: NonZeroU32::MIN,
    };

    /// Whether there are no other parts.
    pub(crate) fn is_whole(self) -> bool {
        self.count == NonZeroU32::MIN
    }
}

impl FromStr for Part {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parsed = text.split_once('/').and_then(|(index, count)| {
            Some(Self {
                index: index.parse().ok()?,
                count: count.parse().ok()?,
            })
        });
        parsed
            .filter(|part| part.index < part.count.get())
            .ok_or_else(|| {
                "give I/N, with I from 0 to N - 1: `--part 0/8` to `--part 7/8`".to_owned()
            })
    }
}

/// Tasks in the order of their shards' names, each once.
///
/// # Errors
/// [`Error::SameName`] if two different inputs would become one shard.
pub(crate) fn plan(tasks: Vec<Task>) -> Result<Vec<Task>> {
    let mut by_name: BTreeMap<String, Task> = BTreeMap::new();
    for task in tasks {
        let name = task.file_name();
        if let Some(other) = by_name.get(&name)
            && !is_same_input(other, &task)
        {
            return Err(Error::SameName {
                name: task.job.id.input.clone(),
                first: other.job.path().to_owned(),
                second: task.job.path().to_owned(),
            });
        }
        by_name.entry(name).or_insert(task);
    }
    Ok(by_name.into_values().collect())
}

/// The tasks of one part.
pub(crate) fn of_part(tasks: &[Task], part: Part) -> Vec<Task> {
    tasks
        .iter()
        .skip(part.index as usize)
        .step_by(part.count.get() as usize)
        .cloned()
        .collect()
}

fn is_same_input(a: &Task, b: &Task) -> bool {
    let absolute = |task: &Task| std::fs::canonicalize(task.job.path()).ok();
    a.job.id == b.job.id && absolute(a).is_some_and(|a| absolute(b) == Some(a))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::{Content, Job};
    use schemas::shard::ShardId;

    fn task(path: &str, input: &str) -> Task {
        let job = Job {
            id: ShardId {
                input: input.into(),
                first_item: 0,
                end_item: None,
            },
            content: Content::of_tfrecord(path),
            weight: 1,
        };
        Task {
            job,
            given: Default::default(),
            replaces: None,
        }
    }

    fn inputs(tasks: &[Task]) -> Vec<&str> {
        tasks.iter().map(|task| &task.job.id.input[..]).collect()
    }

    #[test]
    fn parts_are_disjoint_and_complete() {
        let tasks = |i| task(&format!("{i}"), &format!("x/{i}"));
        let tasks = plan((0..10).map(tasks).collect()).unwrap();
        let mut all: Vec<Task> = Vec::new();
        for index in 0..3 {
            all.extend(of_part(
                &tasks,
                Part {
                    index,
                    count: NonZeroU32::new(3).unwrap(),
                },
            ));
        }
        let joined = plan(all).unwrap();
        assert_eq!(inputs(&joined), inputs(&tasks));
    }

    #[test]
    fn an_input_given_twice_is_read_once() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("a.tfrecord");
        std::fs::write(&file, "").unwrap();
        let detour = dir.path().join(".").join("a.tfrecord");
        let tasks = vec![
            task(&file.to_string_lossy(), "d/a"),
            task(&detour.to_string_lossy(), "d/a"),
        ];
        assert_eq!(plan(tasks).unwrap().len(), 1);
    }

    #[test]
    fn two_inputs_of_one_name_are_refused() {
        let error = plan(vec![task("/x/d/a", "d/a"), task("/y/d/a", "d/a")]).unwrap_err();
        assert!(error.to_string().contains("both named"), "{error}");
    }

    #[test]
    fn parts_are_written_as_index_of_count() {
        assert_eq!("0/1".parse(), Ok(Part::WHOLE));
        assert_eq!("7/8".parse::<Part>().unwrap().index, 7);
        for bad in ["8/8", "1", "a/b", "0/0", "-1/2", ""] {
            assert!(bad.parse::<Part>().is_err(), "{bad}");
        }
    }
}
