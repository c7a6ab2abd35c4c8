//! The shards that a set has already, by their footers.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::Path;

use schemas::catalog::shard_paths;
use schemas::inputs::GivenInputs;
use schemas::shard::{FRAMES_DIR, InputRecord, Settings, ShardId, ShardReader, Skipped};
use xxhash_rust::xxh3::xxh3_64;

use crate::error::Result;

/// Reasons for which an input is read again next time, whatever its size: what it lacks may have
/// arrived. Images of a folder are not among them: theirs is found out file by file.
const INCOMPLETE: [&str; 12] = [
    "bad-data-crc",
    "bad-length-crc",
    "bad-parquet",
    "compression-bomb",
    "damaged-archive",
    "damaged-compression",
    "damaged-member",
    "incomplete-archive",
    "truncated-archive",
    "truncated-tfrecord",
    "unreadable-folder",
    "unreadable-input",
];

/// A finished shard.
#[derive(Clone, Debug)]
pub(crate) struct Finished {
    /// Which input, and which items of it.
    pub(crate) id: ShardId,
    /// What the input was; format 2 does not say.
    pub(crate) input: Option<InputRecord>,
    pub(crate) settings: Settings,
    /// The data set of its frames, if it has any.
    dataset: Option<String>,
    /// What of the input was missing.
    pub(crate) lacks: Lacks,
    /// Items that became no frame.
    num_skipped: u64,
}

/// What a shard has of its input, and how much is missing, though it may come back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Lacks {
    /// Its frames.
    pub(super) frames: u64,
    /// Places where a file or archive is damaged or cut off.
    places: u64,
    /// Files of a folder that are empty or cannot be opened: on a disk that is not there, perhaps.
    files: u64,
}

impl Lacks {
    /// What `skipped` of `input` says, of which a shard has so many `frames`.
    pub(crate) fn of(frames: u64, skipped: &[Skipped], input: &str) -> Self {
        let count = |is_wanted: &dyn Fn(&Skipped) -> bool| {
            skipped.iter().filter(|skipped| is_wanted(skipped)).count() as u64
        };
        Self {
            frames,
            places: count(&|skipped| is_lack(skipped, input)),
            files: count(&is_missing_file),
        }
    }

    /// Whether what lacks `self` must not replace what lacks `before`.
    pub(crate) fn is_more_than(self, before: Self) -> bool {
        let is_worse = before.places == 0 || self.frames < before.frames;
        self.files > before.files || (self.places > 0 && is_worse)
    }
}

impl Finished {
    fn of(shard: &ShardReader) -> Result<Self> {
        let dataset = match shard.input() {
            Some(input) => Some(input.dataset.clone()),
            None => shard
                .rows()?
                .first()
                .map(|frame| frame.meta.dataset.clone()),
        };
        Ok(Self {
            id: shard.id().clone(),
            input: shard.input().cloned(),
            settings: shard.settings().clone(),
            dataset,
            lacks: Lacks::of(shard.num_frames(), shard.skipped(), &shard.id().input),
            num_skipped: shard.skipped().len() as u64,
        })
    }

    /// Whether something of its input was missing, so that it is read again.
    pub(crate) fn is_incomplete(&self) -> bool {
        self.lacks.places > 0
    }

    /// How many of its items were there to be read.
    pub(super) fn num_read(&self) -> u64 {
        self.lacks.frames + self.num_skipped - self.lacks.places
    }

    /// Whether it holds frames of `dataset`, or none at all.
    pub(crate) fn may_be_of(&self, dataset: &str) -> bool {
        self.dataset.as_deref().is_none_or(|own| own == dataset)
    }
}

/// Whether what was skipped of `input` is missing because something of the input is.
fn is_lack(skipped: &Skipped, input: &str) -> bool {
    let is_empty_input =
        || skipped.reason == "empty-file" && skipped.source == format!("{input}@0");
    INCOMPLETE.contains(&&skipped.reason[..]) || is_empty_input()
}

fn is_missing_file(skipped: &Skipped) -> bool {
    matches!(&skipped.reason[..], "unreadable-file" | "empty-file")
}

/// What of `skipped` is missing, for a message.
pub(crate) fn first_lack<'a>(skipped: &'a [Skipped], input: &str) -> Option<&'a Skipped> {
    let is_missing = |skipped: &&Skipped| is_lack(skipped, input) || is_missing_file(skipped);
    skipped.iter().find(is_missing)
}

/// All finished shards of a set, by file name.
#[derive(Clone, Debug, Default)]
pub(crate) struct Existing {
    pub(crate) shards: BTreeMap<String, Finished>,
    /// Where their inputs lay, and those of shards that are gone.
    pub(crate) given: GivenInputs,
}

impl Existing {
    /// Those of the set in `dir`, which need not be there yet.
    ///
    /// # Errors
    /// If one cannot be read.
    pub(crate) fn read(dir: &Path) -> Result<Self> {
        let mut existing = Self {
            given: GivenInputs::read(dir),
            ..Self::default()
        };
        for path in paths(dir)? {
            let finished = Finished::of(&ShardReader::open(&path)?)?;
            existing.shards.insert(name(&path), finished);
        }
        Ok(existing)
    }

    /// Whether `dir` has these shards still, and no others.
    ///
    /// # Errors
    /// If it cannot be listed.
    pub(crate) fn is_up_to_date(&self, dir: &Path) -> Result<bool> {
        Ok(paths(dir)?
            .iter()
            .map(|path| name(path))
            .eq(self.shards.keys().cloned()))
    }

    /// XXH3-64 of where every item was read that shards of format 2 hold of whole parts of SODA10M,
    /// whose splits are inputs of their own now.
    ///
    /// # Errors
    /// If a shard cannot be read.
    pub(crate) fn stored_in_parts(&self, dir: &Path) -> Result<HashSet<u64>> {
        const PARTS: [&str; 4] = ["Labeled", "labeled", "Unlabel", "unlabel"];
        let mut stored = HashSet::new();
        let hash = |source: &str| xxh3_64(source.as_bytes());
        for (name, shard) in &self.shards {
            if shard.input.is_none() && PARTS.contains(&&shard.id.input[..]) {
                let shard = ShardReader::open(&dir.join(FRAMES_DIR).join(name))?;
                stored.extend(shard.rows()?.iter().map(|row| hash(&row.meta.source)));
                stored.extend(shard.skipped().iter().map(|skipped| hash(&skipped.source)));
            }
        }
        Ok(stored)
    }

    /// File names of the shards that lack nothing.
    pub(crate) fn whole(&self) -> HashSet<String> {
        let whole = self
            .shards
            .iter()
            .filter(|(_, shard)| !shard.is_incomplete());
        whole.map(|(name, _)| name.clone()).collect()
    }

    /// Names of the inputs that have shards, and the size of each that is one file.
    pub(crate) fn inputs(&self) -> HashMap<String, Option<u64>> {
        let bytes = |shard: &Finished| shard.input.as_ref().and_then(|input| input.bytes);
        let shards = self.shards.values();
        shards
            .map(|shard| (shard.id.input.clone(), bytes(shard)))
            .collect()
    }

    /// Names and footers of the shards of the input `input`.
    pub(crate) fn of_input<'a>(
        &'a self,
        input: &'a str,
    ) -> impl Iterator<Item = (&'a String, &'a Finished)> {
        let first = ShardId {
            input: input.to_owned(),
            first_item: 0,
            end_item: None,
        };
        // All shards of an input begin alike, and the first one sorts before the others.
        let first = first.file_name();
        let beginning = stem_of(&first).to_owned();
        self.shards
            .range(first..)
            .take_while(move |(name, _)| stem_of(name) == beginning)
            .filter(move |(_, shard)| shard.id.input == input)
    }
}

/// What the names of all shards of an input begin with.
pub(super) fn stem_of(shard: &str) -> &str {
    shard.rsplit_once('-').map_or(shard, |(stem, _)| stem)
}

fn paths(dir: &Path) -> Result<Vec<std::path::PathBuf>> {
    match dir.join(FRAMES_DIR).is_dir() {
        true => Ok(shard_paths(dir)?),
        false => Ok(Vec::new()),
    }
}

fn name(path: &Path) -> String {
    let name = path.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}
