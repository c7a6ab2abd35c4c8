//! The part of a catalog that a sampler keeps in memory: numbers only, under 64 bytes a frame.

use std::sync::OnceLock;

use arrow::array::ArrowPrimitiveType;
use arrow::datatypes::{UInt32Type, UInt64Type};

use crate::catalog::Catalog;
use crate::geom::Size;
use crate::selection::Selection;
use crate::shard::map::Mapped;
use crate::{Error, Result};

/// Where a level of a frame lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LevelSlot {
    /// Number of the shard in the catalog.
    pub shard: u32,
    /// First byte of the JPEG in the shard.
    pub offset: u64,
    /// Its length in bytes.
    pub len: u32,
}

/// The frames to sample from, in catalog order. With three levels: 8 bytes of key, 4 each of row,
/// shard and size, 12 per level, together 56 a frame.
#[derive(Clone, Debug)]
pub struct FrameIndex {
    levels: Vec<u8>,
    keys: Vec<u64>,
    rows: Vec<u32>,
    shards: Vec<u32>,
    widths: Vec<u16>,
    heights: Vec<u16>,
    /// Per level: the offset and the length of every frame; a length of 0 says "not stored".
    places: Vec<(Vec<u64>, Vec<u32>)>,
}

impl FrameIndex {
    /// Number of frames.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether no frame is left (a filter can leave none).
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// The levels of the set, ascending.
    pub fn levels(&self) -> &[u8] {
        &self.levels
    }

    /// The frame's [`key`](crate::frame::FrameMeta::key).
    pub fn key(&self, frame: usize) -> u64 {
        self.keys[frame]
    }

    /// Its row in the catalog.
    pub fn row(&self, frame: usize) -> u32 {
        self.rows[frame]
    }

    /// Number of the shard that holds it.
    pub fn shard(&self, frame: usize) -> u32 {
        self.shards[frame]
    }

    /// Size of level 0 in pixels.
    pub fn size(&self, frame: usize) -> Size {
        Size::new(self.widths[frame].into(), self.heights[frame].into())
    }

    /// Where `levels()[level_ix]` of the frame lies, if it is stored.
    pub fn level(&self, frame: usize, level_ix: usize) -> Option<LevelSlot> {
        let (offsets, lens) = &self.places[level_ix];
        let len = lens[frame];
        (len > 0).then(|| LevelSlot {
            shard: self.shards[frame],
            offset: offsets[frame],
            len,
        })
    }

    /// Bytes of memory that the index takes.
    pub fn memory_bytes(&self) -> usize {
        self.len() * (8 + 4 + 4 + 4 + 12 * self.levels.len())
    }
}

impl Catalog {
    /// The index of the frames in the rows of `selection`.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Damaged`] if the catalog cannot be read.
    pub fn index(&self, selection: &Selection) -> Result<FrameIndex> {
        let levels = self.settings().levels.clone();
        let listed = |shard: u32| match (shard as usize) < self.shards().len() {
            true => Ok(shard),
            false => Err(Error::damaged(
                self.path(),
                "a frame lies in a shard that is not listed",
            )),
        };
        let side = |side: u32| {
            u16::try_from(side)
                .map_err(|_| Error::damaged(self.path(), format!("a frame of {side} pixels")))
        };
        let places = levels.iter().map(|level| {
            let offsets =
                self.column_of::<UInt64Type, _>(&format!("offset_{level}"), selection, Ok)?;
            let lens = self.column_of::<UInt32Type, _>(&format!("len_{level}"), selection, Ok)?;
            Ok((offsets, lens))
        });
        Ok(FrameIndex {
            keys: self.column_of::<UInt64Type, _>("key", selection, Ok)?,
            rows: selection.rows(),
            shards: self.column_of::<UInt32Type, _>("shard", selection, listed)?,
            widths: self.column_of::<UInt32Type, _>("width", selection, side)?,
            heights: self.column_of::<UInt32Type, _>("height", selection, side)?,
            places: places.collect::<Result<_>>()?,
            levels,
        })
    }

    /// The selected values of one column; null counts as 0.
    fn column_of<T: ArrowPrimitiveType, V>(
        &self,
        column: &str,
        selection: &Selection,
        value_from: impl Fn(T::Native) -> Result<V>,
    ) -> Result<Vec<V>> {
        let mut values = Vec::with_capacity(selection.num_rows() as usize);
        for numbers in self.numbers::<T>(column, selection)? {
            for number in &numbers? {
                values.push(value_from(number.unwrap_or_default())?);
            }
        }
        Ok(values)
    }
}

/// The shards of a set, mapped when first needed.
#[derive(Debug)]
pub struct ShardSet {
    shards: Vec<Shard>,
}

#[derive(Debug)]
struct Shard {
    path: std::path::PathBuf,
    bytes: u64,
    map: OnceLock<Mapped>,
}

impl ShardSet {
    /// All shards of `catalog`; none is opened yet.
    pub fn new(catalog: &Catalog) -> Self {
        let shard = |(ix, info): (usize, &crate::catalog::ShardInfo)| Shard {
            path: catalog.shard_path(ix as u32),
            bytes: info.bytes,
            map: OnceLock::new(),
        };
        Self {
            shards: catalog.shards().iter().enumerate().map(shard).collect(),
        }
    }

    /// The JPEG in `slot`, in the mapped file. That is gone should the file shrink: then touching
    /// it ends the process with SIGBUS.
    ///
    /// # Errors
    /// [`Error::Lost`] if the shard cannot be opened, or has not the size that the catalog says;
    /// [`Error::Damaged`] if the slot lies outside of it.
    pub fn bytes(&self, slot: LevelSlot) -> Result<&[u8]> {
        let shard = &self.shards[slot.shard as usize];
        let start = slot.offset as usize;
        let range = start..start.saturating_add(slot.len as usize);
        self.map(slot)?
            .get(range)
            .ok_or_else(|| Error::damaged(&shard.path, "a JPEG lies outside of the file"))
    }

    /// Tells the system that `slot` will be read soon. A hint: failures show when it is read.
    pub fn will_need(&self, slot: LevelSlot) {
        if let Ok(map) = self.map(slot) {
            map.will_need(slot.offset, slot.len);
        }
    }

    fn map(&self, slot: LevelSlot) -> Result<&Mapped> {
        let shard = &self.shards[slot.shard as usize];
        if let Some(map) = shard.map.get() {
            return Ok(map);
        }
        let map = Mapped::open(&shard.path, shard.bytes)?;
        map.random_access();
        Ok(shard.map.get_or_init(|| map))
    }
}
