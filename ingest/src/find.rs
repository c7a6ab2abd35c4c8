//! From the inputs that were given to the shards that are to be: names are found that tell inputs
//! apart, from each other and from those that the set has already.
//!
//! An input is named by the end of its path, as short as it can be. A set knows its inputs by the
//! paths that they were given as, so the same path has the same name in every run. A path that it does
//! not know is an input of its only if the set holds the same under an end of that path: it was moved,
//! or the paths are lost. Else it gets a name that no other input has.

use std::collections::{HashMap, HashSet};
use std::iter;
use std::path::Path;
use std::sync::Arc;

use schemas::inputs::GivenInput;

use crate::error::{Error, Result};
use crate::output::{Existing, Held, check_settings, held, refuse_namesake, same_name};
use crate::plan::plan;
use crate::request::Request;
use crate::source::{Dataset, Input, Job, Search, expand, root_of, short_name};
use crate::task::Task;

/// Every shard of the inputs, what the set has, and what was seen on the way.
pub(crate) struct Found {
    pub(crate) plan: Vec<Task>,
    pub(crate) existing: Existing,
    pub(crate) search: Search,
}

/// Finds the shards of what `request` names, and those that its set has. Writes nothing.
///
/// # Errors
/// If an input is not there or not of its kind, two have one name, or the set cannot be read or was
/// written with other settings.
pub(crate) fn find(request: &Request) -> Result<Found> {
    let existing = Existing::read(&request.out)?;
    let mut inputs = expand(&request.inputs)?;
    let mut given = HashSet::new();
    inputs.retain(|input| given.insert((root_of(&input.path), input.name.clone())));
    let names = distinct_names(&inputs);
    let mut finder = Finder {
        request,
        existing: &existing,
        search: Search {
            tag_files: request.tag_files.clone(),
            index_dir: Some(request.out.join(INDEX_DIR)),
            selection: request.selection.clone(),
            stored: Arc::new(existing.stored_in_parts(&request.out)?),
            finished: Arc::new(existing.whole()),
            in_set: Arc::new(existing.inputs()),
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
    let plan = plan(tasks)?;
    check_settings(&existing, &request.out, request.dataset, &request.settings)?;
    Ok(Found {
        plan,
        existing,
        search,
    })
}

/// Where the indexes of archives are kept in a set.
const INDEX_DIR: &str = ".ingest.index";

struct Finder<'a> {
    request: &'a Request,
    existing: &'a Existing,
    search: Search,
    tasks: Vec<Task>,
}

/// The shards of one input under one name, which `search` says.
struct Named {
    tasks: Vec<Task>,
    search: Search,
}

impl Finder<'_> {
    /// Adds the shards of `input`, which is called `name` to tell it from others of this run.
    fn add(&mut self, input: &Input, name: Option<String>) -> Result<()> {
        let root = root_of(&input.path);
        let known = self
            .existing
            .given
            .of_root(self.request.dataset.name(), &root);
        let named = match (&input.name, known) {
            (Some(name), _) => self.search_for(input, &root, Some(name.clone()))?,
            (None, Some(given)) => self.search_for(input, &root, given.name.clone())?,
            (None, None) => self.find_name(input, &root, name)?,
        };
        if self.request.dataset == Dataset::Waymo {
            refuse_namesake(&self.request.out, self.existing, &named.tasks)?;
        }
        self.tasks.extend(named.tasks);
        self.search = named.search;
        Ok(())
    }

    /// The shards of `input`, which the set does not know by its path: under an end of the path under
    /// which the set holds the same, or else under `name`, or else under the shortest end that no
    /// other input has.
    fn find_name(&self, input: &Input, root: &str, name: Option<String>) -> Result<Named> {
        let is_waymo = self.request.dataset == Dataset::Waymo;
        let mut named = self.search_for(input, root, name.clone())?;
        let mut place = self.held(&named)?;
        if place == Held::Equal {
            return Ok(named);
        }
        let ends = iter::once(None).chain(longer_names(&input.path).map(Some));
        for end in ends.filter(|end| *end != name && self.may_hold(end.as_deref())) {
            let other = self.search_for(input, root, end)?;
            if self.held(&other)? == Held::Equal {
                return Ok(other);
            }
        }
        let mut longer = longer_names(&input.path);
        while place == Held::Another && !is_waymo {
            let Some(next) = longer.next() else {
                return Err(self.taken(&named));
            };
            named = self.search_for(input, root, Some(next))?;
            place = self.held(&named)?;
        }
        if let Some(name) = named.search.name.as_ref().filter(|_| !is_waymo) {
            let path = input.path.display();
            let notice = format!(
                "{path} is stored as {name:?}, to tell it from another input of that name; \
                 NAME=PATH gives it the name of one that it is to replace"
            );
            named.search.notices.push(notice);
        }
        Ok(named)
    }

    /// What the set, or an input before, has under the names of `named`.
    fn held(&self, named: &Named) -> Result<Held> {
        match self.planned(named) {
            Some(_) => Ok(Held::Another),
            None => held(&self.request.out, self.existing, &named.tasks),
        }
    }

    /// A shard of an input before that has one of the names.
    fn planned(&self, named: &Named) -> Option<&Task> {
        let names: HashSet<String> = named.tasks.iter().map(Task::file_name).collect();
        let mut before = self.tasks.iter();
        before.find(|task| names.contains(&task.file_name()))
    }

    /// Whether the set may hold an input that was called `name`. Without a name that shows only when
    /// it is looked through.
    fn may_hold(&self, name: Option<&str>) -> bool {
        let begins = |input: &String, name: &str| {
            let rest = input.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut inputs = self.search.in_set.keys();
        inputs.any(|input| name.is_none_or(|name| begins(input, name)))
    }

    /// That no name is left for what is called like another input.
    fn taken(&self, named: &Named) -> Error {
        let is_held = |task: &&Task| {
            let mut shards = self.existing.of_input(&task.job.id.input);
            shards.next().is_some()
        };
        if let Some(before) = self.planned(named) {
            return Error::SameName {
                name: before.job.id.input.clone(),
                first: before.job.path().to_owned(),
                second: named.tasks[0].job.path().to_owned(),
            };
        }
        let task = named.tasks.iter().find(is_held);
        let task = task.expect("the set holds an input of that name");
        same_name(&self.request.out, self.existing, task)
    }

    fn search_for(&self, input: &Input, root: &str, name: Option<String>) -> Result<Named> {
        let dataset = self.request.dataset;
        let mut search = Search {
            name: name.clone(),
            given_before: self.existing.given.inputs_of(dataset.name(), root),
            ..self.search.clone()
        };
        let jobs = dataset.jobs(&input.path, &mut search)?;
        let given = Arc::new(GivenInput {
            dataset: dataset.name().to_owned(),
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
        let tasks = jobs.into_iter().map(task).collect();
        Ok(Named { tasks, search })
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
