//! The frames of a set's shards that its catalog leaves out, because another frame has their name.

use std::collections::{HashMap, HashSet};

use arrow::datatypes::{UInt32Type, UInt64Type};

use super::Catalog;
use crate::Result;
use crate::shard::ShardReader;
use crate::shard::columns::Rows;

/// A frame that the catalog leaves out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// File name of the shard that holds it.
    pub shard: String,
    /// Where it was read.
    pub source: String,
    /// Its name.
    pub frame_id: String,
    /// File name of the shard that holds the frame which stays.
    pub kept_in: String,
}

impl Catalog {
    /// What it leaves out, in the order of the shards. Reads the shards that have some, and the
    /// columns of the catalog that say which.
    ///
    /// # Errors
    /// [`Error::Io`](crate::Error::Io) or [`Error::Damaged`](crate::Error::Damaged) if a file cannot
    /// be read.
    pub fn left_out(&self) -> Result<Vec<LeftOut>> {
        let with_some: Vec<u32> = (0..self.shards().len() as u32)
            .filter(|&shard| self.shards()[shard as usize].duplicates > 0)
            .collect();
        if with_some.is_empty() {
            return Ok(Vec::new());
        }
        let places = self.places()?;
        let mut found = Vec::new();
        for shard in with_some {
            let path = self.shard_path(shard);
            for (row, frame) in ShardReader::open(&path)?.rows()?.into_iter().enumerate() {
                let place = (shard, row as u32);
                let kept = places.kept.get(&frame.meta.key());
                if places.all.contains(&place) {
                    continue;
                }
                let name = |shard: u32| self.shards()[shard as usize].name.clone();
                found.push(LeftOut {
                    shard: name(shard),
                    source: frame.meta.source,
                    frame_id: frame.meta.frame_id,
                    kept_in: kept.map(|&shard| name(shard)).unwrap_or_default(),
                });
            }
        }
        Ok(found)
    }

    /// Names of the shards in which it has the frames with these `keys`.
    pub(super) fn shards_of(&self, keys: &HashSet<u64>) -> Result<HashMap<u64, &str>> {
        let mut found = HashMap::new();
        self.for_each_place(|key, (shard, _)| {
            if keys.contains(&key) {
                found.insert(key, &self.shards()[shard as usize].name[..]);
            }
        })?;
        Ok(found)
    }

    fn places(&self) -> Result<Places> {
        let mut places = Places::default();
        self.for_each_place(|key, place| {
            places.all.insert(place);
            places.kept.insert(key, place.0);
        })?;
        Ok(places)
    }

    /// Visits the key, and shard and row, of every frame that is listed.
    fn for_each_place(&self, mut visit: impl FnMut(u64, (u32, u32))) -> Result<()> {
        for batch in self.batches(|name| matches!(name, "key" | "shard" | "row"))? {
            let batch = batch?;
            let rows = Rows::new(&batch, self.path());
            let keys = rows.numbers::<UInt64Type>("key")?.values();
            let shards = rows.numbers::<UInt32Type>("shard")?.values();
            let numbers = rows.numbers::<UInt32Type>("row")?.values();
            for ((&key, &shard), &row) in keys.iter().zip(shards).zip(numbers) {
                visit(key, (shard, row));
            }
        }
        Ok(())
    }
}

/// Where the frames lie that are listed.
#[derive(Default)]
struct Places {
    /// Shard and row.
    all: HashSet<(u32, u32)>,
    /// The shard by the frame's key.
    kept: HashMap<u64, u32>,
}
