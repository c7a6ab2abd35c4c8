//! From the inputs that were given to the shards that are to be: names are found that tell inputs
//! apart, from each other and from those that the set has already.
//!
//! An input is named by the end of its path, as short as it can be. A set knows its inputs by the
//! paths that they were given as, so the same path has the same name in every run. Another path of
//! that name is the same input only if it holds the same: it was moved. Else it gets a longer name.

use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::sync::Arc;

use schemas::inputs::GivenInput;

use crate::error::Result;
use crate::output::{Existing, holds_another, refuse_namesake};
use crate::request::Request;
use crate::source::{Dataset, Input, Job, Search, expand, root_of, short_name};
use crate::task::Task;

/// All shards of the inputs, in no order, and what was seen on the way.
pub(crate) struct Found {
    pub(crate) tasks: Vec<Task>,
    pub(crate) search: Search,
}

/// Finds the shards of what `request` names, for a set that has `existing` ones.
///
/// # Errors
/// If an input is not there or not of its kind.
pub(crate) fn find(request: &Request, existing: &Existing) -> Result<Found> {
    let inputs = expand(&request.inputs)?;
    let names = distinct_names(&inputs);
    let mut finder = Finder {
        request,
        existing,
        search: Search {
            tag_files: request.tag_files.clone(),
            index_dir: Some(request.out.join(INDEX_DIR)),
            selection: request.selection.clone(),
            stored: Arc::new(existing.stored_in_parts(&request.out)?),
            finished: Arc::new(existing.whole()),
            distrusts_indexes: request.recheck,
            ..Search::default()
        },
        tasks: Vec::new(),
    };
    for (input, name) in inputs.iter().zip(names) {
        finder.add(input, name)?;
    }
    let Finder {
        mut tasks,
        mut search,
        ..
    } = finder;
    let jobs: Vec<&Job> = tasks.iter().map(|task| &task.job).collect();
    let mut are_wanted = request.dataset.settle(&jobs, &mut search)?.into_iter();
    tasks.retain(|_| are_wanted.next().unwrap_or(true));
    Ok(Found { tasks, search })
}

/// Where the indexes of archives are kept in a set.
const INDEX_DIR: &str = ".ingest.index";

struct Finder<'a> {
    request: &'a Request,
    existing: &'a Existing,
    search: Search,
    tasks: Vec<Task>,
}

impl Finder<'_> {
    /// Adds the shards of `input`, which is called `name` to tell it from others of this run.
    fn add(&mut self, input: &Input, name: Option<String>) -> Result<()> {
        let dataset = self.request.dataset;
        let root = root_of(&input.path);
        let known = self.existing.given.of_root(dataset.name(), &root);
        let is_fixed = input.name.is_some() || known.is_some() || dataset == Dataset::Waymo;
        let mut name = match known {
            _ if input.name.is_some() => input.name.clone(),
            Some(given) => given.name.clone(),
            None => name,
        };
        let mut longer = longer_names(&input.path);
        loop {
            let (tasks, search) = self.search_for(input, &root, name.clone())?;
            if dataset == Dataset::Waymo {
                refuse_namesake(&self.request.out, self.existing, &tasks)?;
            }
            let is_taken = !is_fixed
                && (self.is_planned(&tasks)
                    || holds_another(&self.request.out, self.existing, &tasks)?);
            match longer.next().filter(|_| is_taken) {
                Some(next) => name = Some(next),
                None => {
                    self.tasks.extend(tasks);
                    self.search = search;
                    if let Some(name) = name.filter(|_| !is_fixed) {
                        let path = input.path.display();
                        let notice = format!(
                            "{path} is stored as {name:?}, to tell it from another input of that name; \
                             NAME=PATH gives it the name of one that it is to replace"
                        );
                        self.search.notices.push(notice);
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Whether an input before has one of the names.
    fn is_planned(&self, tasks: &[Task]) -> bool {
        let names: HashSet<String> = self.tasks.iter().map(Task::file_name).collect();
        tasks.iter().any(|task| names.contains(&task.file_name()))
    }

    fn search_for(
        &self,
        input: &Input,
        root: &str,
        name: Option<String>,
    ) -> Result<(Vec<Task>, Search)> {
        let mut search = Search {
            name: name.clone(),
            ..self.search.clone()
        };
        let jobs = self.request.dataset.jobs(&input.path, &mut search)?;
        let given = Arc::new(GivenInput {
            dataset: self.request.dataset.name().to_owned(),
            root: root.to_owned(),
            name,
            options: self.request.options(),
            inputs: Vec::new(),
        });
        let task = |job: Job| Task {
            job,
            given: given.clone(),
            replaces: None,
        };
        Ok((jobs.into_iter().map(task).collect(), search))
    }
}

/// For every input a name that no other of them has; `None` where its own is such a one.
fn distinct_names(inputs: &[Input]) -> Vec<Option<String>> {
    let mut paths: HashMap<String, Vec<String>> = HashMap::new();
    for input in inputs.iter().filter(|input| input.name.is_none()) {
        let root = root_of(&input.path);
        let same = paths.entry(short_name(&input.path, 1)).or_default();
        if !same.contains(&root) {
            same.push(root);
        }
    }
    let name = |input: &Input| {
        let same = paths.get(&short_name(&input.path, 1))?;
        if same.len() < 2 {
            return None;
        }
        let own = root_of(&input.path);
        let is_distinct = |count: &usize| {
            let ends = |root: &&String| {
                short_name(Path::new(root), *count) == short_name(Path::new(&own), *count)
            };
            same.iter().filter(ends).count() == 1
        };
        let count = (2..usize::from(u8::MAX)).find(is_distinct)?;
        Some(short_name(Path::new(&own), count))
    };
    inputs.iter().map(name).collect()
}

/// Ever longer ends of the path at hand.
fn longer_names(path: &Path) -> impl Iterator<Item = String> + use<> {
    let root = root_of(path);
    let count = Path::new(&root).components().count();
    (2..count).map(move |count| short_name(Path::new(&root), count))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_of_one_run_are_told_apart_by_as_little_as_can_be() {
        let of = |paths: &[&str]| {
            let inputs: Vec<Input> = paths.iter().map(Input::from).collect();
            let names = distinct_names(&inputs).into_iter();
            names.map(Option::unwrap_or_default).collect::<Vec<_>>()
        };
        assert_eq!(of(&["/x/a", "/x/b"]), ["", ""]);
        assert_eq!(of(&["/x/b1/s", "/x/b2/s", "/x/c"]), ["b1/s", "b2/s", ""]);
        assert_eq!(of(&["/x/b/s", "/y/b/s"]), ["x/b/s", "y/b/s"]);
        assert_eq!(of(&["/x/s", "/x/../x/s"]), ["", ""]);
    }

    #[test]
    fn longer_names_end_with_the_whole_path() {
        let names: Vec<String> = longer_names(Path::new("/nowhere/a/b/c")).collect();
        assert_eq!(names, ["b/c", "a/b/c", "nowhere/a/b/c"]);
    }
}
