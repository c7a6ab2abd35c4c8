//! What is wrong with a set, for machines and for people.

use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// Frames checked.
    pub frames: u64,
    /// Shards checked.
    pub shards: u64,
    /// What is wrong, sorted; empty for a good set.
    pub bad: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Problem {
    /// The shard's file name, or that of a file beside `frames/`.
    pub file: String,
    /// Which part of the file, if it can be told: `footer`, `page header of column jpeg_0`, …
    pub part: Option<String>,
    /// The frame, if it is one.
    pub frame_id: Option<String>,
    /// Its level, if it is one.
    pub level: Option<u8>,
    /// What is wrong.
    pub problem: String,
    /// What to do.
    pub repair: String,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for problem in &self.bad {
            writeln!(f, "bad: {problem}")?;
        }
        let repairs: BTreeSet<&str> = self
            .bad
            .iter()
            .map(|problem| problem.repair.as_str())
            .collect();
        for repair in repairs {
            writeln!(f, "repair: {repair}")?;
        }
        let Self {
            frames,
            shards,
            bad,
        } = self;
        match bad.len() {
            0 => write!(f, "good: {frames} frames in {shards} shards"),
            1 => write!(f, "1 problem in {shards} shards"),
            count => write!(f, "{count} problems in {shards} shards"),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(frame_id) = &self.frame_id {
            write!(f, ": frame {frame_id}")?;
        }
        if let Some(level) = self.level {
            write!(f, " level {level}")?;
        }
        if let Some(part) = &self.part {
            write!(f, ": {part}")?;
        }
        write!(f, ": {}", self.problem)
    }
}
