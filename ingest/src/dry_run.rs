//! What a run would read, by input and folder, and what it would pass over.
//!
//! It looks as a run does: at names, at the indexes of archives, at the beginnings of TFRecords, and at
//! the shards of the set. No image is read and nothing is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use schemas::frame::FrameMeta;
use serde::Serialize;

use crate::error::Result;
use crate::find::find;
use crate::request::Request;
use crate::source::{Dataset, Job, PassedOverFiles, Search, count_of};

/// Folders of one input that are told apart.
const MAX_FOLDERS: usize = 12;

/// Longer names of folders move what stands behind them.
const MAX_NAME_WIDTH: usize = 48;

/// Different values that are counted.
const MAX_VALUES: usize = 10_000;

/// Different values that are shown.
const NUM_EXAMPLES: usize = 3;

/// What a run would read.
#[derive(Clone, Debug, Serialize)]
pub struct DryRun {
    /// Options that say which files are read.
    pub options: Vec<String>,
    /// Files that would be read: images, or files of many frames.
    pub files: u64,
    /// The same by input, in the order of their names.
    pub inputs: Vec<DryInput>,
    /// Files that are in a set that holds them under another input.
    pub stored: u64,
    /// What would not be read, and why.
    pub passed_over: Vec<PassedOverFiles>,
    /// What a person should know.
    pub notices: Vec<String>,
}

/// What would be read of one input.
#[derive(Clone, Debug, Serialize)]
pub struct DryInput {
    /// Its name in shards.
    pub input: String,
    /// Where it lies.
    pub path: PathBuf,
    /// Files in it.
    pub files: u64,
    /// The same by folder.
    pub folders: Vec<DryFolder>,
}

/// What would be read in one folder of an input.
#[derive(Clone, Debug, Default, Serialize)]
pub struct DryFolder {
    /// Path in the input; empty for the input's own folder.
    pub folder: String,
    /// Files in it.
    pub files: u64,
    /// The same by ending.
    pub endings: BTreeMap<String, u64>,
    /// Places where something is lost.
    pub lost: u64,
    /// What paths say.
    pub splits: Values,
    /// Drives, classes, folders.
    pub segments: Values,
    /// Cameras.
    pub cameras: Values,
    /// Cities.
    pub cities: Values,
}

/// Different values of one kind: the first few, and how many there are.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Values {
    /// How many.
    pub count: usize,
    /// The first of them.
    pub examples: Vec<String>,
    #[serde(skip)]
    all: BTreeSet<String>,
}

/// Looks at what `request` would read.
///
/// # Errors
/// As [`run`](crate::run) before it writes.
pub fn dry_run(request: &Request) -> Result<DryRun> {
    let found = find(request)?;
    let jobs: Vec<Job> = found.plan.into_iter().map(|task| task.job).collect();
    Ok(DryRun::of(request.dataset, &jobs, found.search))
}

impl DryRun {
    fn of(dataset: Dataset, jobs: &[Job], search: Search) -> Self {
        let mut inputs: BTreeMap<String, Looked> = BTreeMap::new();
        for job in jobs {
            // A drive of Waymo is an input; people know their folders.
            let name = match (dataset, job.id.input.rsplit_once('/')) {
                (Dataset::Waymo, Some((folder, _))) => folder,
                _ => &job.id.input,
            };
            let looked = inputs.entry(name.to_owned()).or_insert_with(|| Looked {
                path: job.place().to_owned(),
                folders: BTreeMap::new(),
            });
            looked.add(job);
        }
        let inputs: Vec<DryInput> = inputs
            .into_iter()
            .map(|(input, looked)| looked.finish(input))
            .collect();
        Self {
            options: search.selection.options(),
            files: inputs.iter().map(|input| input.files).sum(),
            inputs,
            stored: search.num_stored,
            passed_over: search.passed_over.files(),
            notices: search.notices,
        }
    }
}

/// An input that is looked at.
struct Looked {
    path: PathBuf,
    folders: BTreeMap<String, DryFolder>,
}

impl Looked {
    fn add(&mut self, job: &Job) {
        for glance in job.glances() {
            let folder = outer(&glance.path, 2);
            if !self.folders.contains_key(folder) {
                self.folders.insert(folder.to_owned(), DryFolder::default());
            }
            let known = self.folders.get_mut(folder).expect("it was added");
            known.add(&glance.path, glance.meta);
        }
    }

    fn finish(self, input: String) -> DryInput {
        let mut folders = self.folders;
        for depth in [1, 0] {
            if folders.len() > MAX_FOLDERS {
                let deep = std::mem::take(&mut folders);
                for (name, folder) in deep {
                    // Here a name is a path of folders, not of a file.
                    let name = outer(&format!("{name}/"), depth).to_owned();
                    folders.entry(name).or_default().join(folder);
                }
            }
        }
        let named = folders
            .into_iter()
            .map(|(name, folder)| folder.finish(name));
        let folders: Vec<DryFolder> = named.collect();
        DryInput {
            input,
            path: self.path,
            files: folders.iter().map(|folder| folder.files).sum(),
            folders,
        }
    }
}

/// The outer `depth` folders of the file at `path`.
fn outer(path: &str, depth: usize) -> &str {
    let slashes = path.match_indices('/').take(depth);
    slashes.last().map_or("", |(slash, _)| &path[..slash])
}

impl DryFolder {
    fn add(&mut self, path: &str, meta: Option<FrameMeta>) {
        let name = path.rsplit('/').next().unwrap_or(path);
        let is_file = meta.is_some() || name.contains(".tfrecord") || name.ends_with(".parquet");
        if !is_file {
            self.lost += 1;
            return;
        }
        self.files += 1;
        let ending = name.rsplit_once('.').map_or("", |(_, ending)| ending);
        let ending = format!(".{}", ending.to_ascii_lowercase());
        *self.endings.entry(ending).or_default() += 1;
        if let Some(meta) = meta {
            self.splits.add(meta.split);
            self.segments.add(meta.segment);
            self.cameras.add(meta.camera);
            self.cities.add(meta.city);
        }
    }

    fn join(&mut self, other: Self) {
        self.files += other.files;
        self.lost += other.lost;
        for (ending, count) in other.endings {
            *self.endings.entry(ending).or_default() += count;
        }
        for (values, more) in self.values_mut().into_iter().zip([
            other.splits,
            other.segments,
            other.cameras,
            other.cities,
        ]) {
            more.all
                .into_iter()
                .for_each(|value| values.add(Some(value)));
        }
    }

    fn values_mut(&mut self) -> [&mut Values; 4] {
        [
            &mut self.splits,
            &mut self.segments,
            &mut self.cameras,
            &mut self.cities,
        ]
    }

    fn finish(mut self, folder: String) -> Self {
        for values in self.values_mut() {
            values.count = values.all.len();
            values.examples = values.all.iter().take(NUM_EXAMPLES).cloned().collect();
        }
        self.folder = folder;
        self
    }
}

impl DryFolder {
    /// How it is called in a table: nothing where the input has no other.
    fn name(&self, input: &DryInput) -> String {
        match (self.folder.as_str(), input.folders.len()) {
            ("", 1) => String::new(),
            ("", _) => "./  ".to_owned(),
            (folder, _) => format!("{folder}/  "),
        }
    }
}

impl Values {
    fn add(&mut self, value: Option<String>) {
        if let Some(value) = value
            && self.all.len() < MAX_VALUES
            && !self.all.contains(&value)
        {
            self.all.insert(value);
        }
    }

    fn describe(&self, one: &str, many: &str) -> Option<String> {
        let examples = self.examples.join(", ");
        match self.count {
            0 => None,
            1 => Some(format!("{one} {examples}")),
            count if count > NUM_EXAMPLES => {
                let or_more = if count >= MAX_VALUES { " or more" } else { "" };
                Some(format!("{count}{or_more} {many} ({examples}, …)"))
            }
            _ => Some(format!("{many} {examples}")),
        }
    }
}

impl fmt::Display for DryRun {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let inputs = counted(self.inputs.len() as u64, "input");
        writeln!(
            f,
            "would read   {} of {inputs}",
            counted(self.files, "file")
        )?;
        for input in &self.inputs {
            writeln!(f, "  {}   {}", input.input, input.path.display())?;
            let names: Vec<String> = input
                .folders
                .iter()
                .map(|folder| folder.name(input))
                .collect();
            let width = names.iter().map(|name| name.chars().count()).max();
            let width = width.unwrap_or_default().min(MAX_NAME_WIDTH);
            for (name, folder) in names.iter().zip(&input.folders) {
                writeln!(f, "    {name:<width$}{folder}")?;
            }
        }
        if self.stored > 0 {
            writeln!(
                f,
                "kept         {}, in the set already",
                counted(self.stored, "file")
            )?;
        }
        let num_passed_over = count_of(&self.passed_over);
        writeln!(f, "passed over  {}", counted(num_passed_over, "item"))?;
        for files in &self.passed_over {
            writeln!(f, "  {files}")?;
        }
        for notice in &self.notices {
            writeln!(f, "note         {notice}")?;
        }
        write!(f, "nothing was written")
    }
}

/// `1 file`, `2 files`.
fn counted(count: u64, what: &str) -> String {
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {what}{plural}")
}

impl fmt::Display for DryFolder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let endings = self.endings.iter();
        let counts = endings.map(|(ending, count)| format!("{count} {ending}"));
        let lost = (self.lost > 0).then(|| counted(self.lost, "lost place"));
        let described = [
            self.splits.describe("split", "splits"),
            self.segments.describe("segment", "segments"),
            self.cameras.describe("camera", "cameras"),
            self.cities.describe("city", "cities"),
        ];
        let facts: Vec<String> = described.into_iter().flatten().collect();
        let counts = counts.chain(lost).collect::<Vec<_>>().join(", ");
        match facts.is_empty() {
            true => f.write_str(&counts),
            false => write!(f, "{counts}: {}", facts.join("; ")),
        }
    }
}
