//! What a run finds below its inputs and does not read: counted by reason, so that nothing is left
//! out in silence.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Files that are not read, by reason and kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassedOver(BTreeMap<(&'static str, String), Tally>);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Tally {
    count: u64,
    first: String,
}

/// Files passed over for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PassedOverFiles {
    /// Short, stable name of the reason: `label-picture`, `hidden`, `other-file`.
    pub reason: String,
    /// What they are: an ending (`.txt`), a folder, a rule.
    pub kind: String,
    /// How many.
    pub count: u64,
    /// The first of them.
    pub first: String,
}

impl PassedOver {
    /// Counts the file at `place`, which is of this `kind`.
    pub(crate) fn add(&mut self, reason: &'static str, kind: impl Into<String>, place: &str) {
        self.add_many(reason, kind, 1, place);
    }

    /// Counts `count` files of one `kind`, of which the first is at `place`.
    pub(crate) fn add_many(
        &mut self,
        reason: &'static str,
        kind: impl Into<String>,
        count: u64,
        place: &str,
    ) {
        let tally = self.0.entry((reason, kind.into())).or_default();
        if tally.count == 0 {
            place.clone_into(&mut tally.first);
        }
        tally.count += count;
    }

    /// Number of files.
    pub fn count(&self) -> u64 {
        self.0.values().map(|tally| tally.count).sum()
    }

    /// By reason and kind.
    pub fn files(&self) -> Vec<PassedOverFiles> {
        let files = self
            .0
            .iter()
            .map(|((reason, kind), tally)| PassedOverFiles {
                reason: (*reason).to_owned(),
                kind: kind.clone(),
                count: tally.count,
                first: tally.first.clone(),
            });
        files.collect()
    }
}
