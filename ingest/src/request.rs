//! What a run is asked for.

use std::path::PathBuf;

use schemas::shard::Settings;

use crate::max_bad::MaxBad;
use crate::plan::Part;
use crate::source::{Dataset, Input, Selection, root_of};

/// What to ingest, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// What the inputs are.
    pub dataset: Dataset,
    /// Files, folders and patterns.
    pub inputs: Vec<Input>,
    /// JSON files of tags, besides those that lie with the images.
    pub tag_files: Vec<PathBuf>,
    /// Files that a person adds and leaves out.
    pub selection: Selection,
    /// Folder of the set.
    pub out: PathBuf,
    /// What decides the set's bytes.
    pub settings: Settings,
    /// Which shards of the inputs to write.
    pub part: Part,
    /// Threads that build pyramids.
    pub threads: usize,
    /// How many items may be skipped.
    pub max_bad: MaxBad,
    /// Whether finished shards are compared with their inputs by checksum, not by size alone.
    pub recheck: bool,
}

impl Request {
    /// The options that say which files of an input are read, as they stand on a command line.
    pub(crate) fn options(&self) -> Vec<String> {
        let tag_files = self.tag_files.iter();
        let tags = tag_files.flat_map(|path| ["--tags".to_owned(), root_of(path)]);
        let cameras: Vec<String> = self.settings.cameras.iter().cloned().collect();
        let cameras = (!cameras.is_empty()).then(|| ["--cameras".to_owned(), cameras.join(",")]);
        tags.chain(self.selection.options())
            .chain(cameras.into_iter().flatten())
            .collect()
    }

    /// A request for the whole of `inputs`, with the settings of the command line, on all cores.
    pub fn new(dataset: Dataset, inputs: Vec<Input>, out: impl Into<PathBuf>) -> Self {
        Self {
            dataset,
            inputs,
            tag_files: Vec::new(),
            selection: Selection::default(),
            out: out.into(),
            settings: Settings::default(),
            part: Part::WHOLE,
            threads: host::threads(0),
            max_bad: MaxBad::Percent(1.0),
            recheck: false,
        }
    }
}
