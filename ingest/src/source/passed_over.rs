//! What a run finds below its inputs and does not read: counted by reason, so that nothing is left
//! out in silence.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Kinds that are told apart; files may have any number of endings.
const MAX_KINDS: usize = 1000;

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

/// How many files of all kinds.
pub(crate) fn count_of(files: &[PassedOverFiles]) -> u64 {
    files.iter().map(|files| files.count).sum()
}

impl fmt::Display for PassedOverFiles {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            reason,
            kind,
            count,
            first,
        } = self;
        write!(f, "{count:>9}  {reason:<16} {kind:<20} {first}")
    }
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
        let mut key = (reason, kind.into());
        if self.0.len() >= MAX_KINDS && !self.0.contains_key(&key) {
            key.1 = "other kinds".to_owned();
        }
        let tally = self.0.entry(key).or_default();
        if tally.count == 0 {
            place.clone_into(&mut tally.first);
        }
        tally.count += count;
    }

    /// Number of files.
    #[cfg(test)]
    pub(crate) fn count(&self) -> u64 {
        count_of(&self.files())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_number_of_kinds_takes_more_memory() {
        let mut passed_over = PassedOver::default();
        for number in 0..5000 {
            passed_over.add("other-file", format!(".{number}"), &format!("a.{number}"));
        }
        assert_eq!(passed_over.count(), 5000);
        let files = passed_over.files();
        assert_eq!(files.len(), MAX_KINDS + 1);
        let rest = files.last().unwrap();
        assert_eq!((&*rest.kind, &*rest.first), ("other kinds", "a.1000"));
    }
}
