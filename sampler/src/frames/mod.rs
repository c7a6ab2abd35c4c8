//! The frames of a set: where their bytes lie, how those come into memory (`fetch`), and whole
//! frames as pictures.
//!
//! ```no_run
//! use sampler::pixels::decode::Decoder;
//! use sampler::frames::Frames;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let frames = Frames::open("shards".as_ref(), None)?;
//! let mut decoder = Decoder::new()?;
//! for ix in frames.spread(12) {
//!     let picture = frames.stored(ix).picture(&mut decoder, 256)?;
//!     println!("{}: {} bytes", picture.size, picture.rgb.len());
//! }
//! # Ok(())
//! # }
//! ```
//!
//! [`Frames`] knows which frames there are (all of a set, or those that a filter keeps) and where
//! their bytes lie. A [`Sampler`](crate::Sampler) draws its crops from the same.

pub(crate) mod fetch;
mod files;

use std::collections::BTreeMap;
use std::path::Path;

use schemas::catalog::{self, Catalog, ShardInfo, ShardStamp};
use schemas::frame::FrameMeta;
use schemas::geom::Size;
use schemas::index::{FrameIndex, LevelSlot};
use schemas::selection::Selection;

use crate::error::{BrokenFrame, Error, FrameError, Result};
use crate::frames::fetch::{Reading, Shards};
use crate::pixels::decode::{Decoder, Levels, RGB_BYTES, Region};

/// The frames of a set, or those of them that a filter keeps, in catalog order. Never none.
#[derive(Debug)]
pub struct Frames {
    catalog: Catalog,
    /// For every shard whether its frames are taken; all of them if unset.
    kept: Option<Vec<bool>>,
    filter: Option<String>,
    /// Frames that the filter keeps in all shards.
    num_in_set: u64,
    selection: Selection,
    index: FrameIndex,
    shards: Shards,
}

impl Frames {
    /// Opens the set in the folder `set`; `filter` is an SQL expression over its catalog.
    ///
    /// # Errors
    /// [`Error::Shards`] if the set cannot be read or the filter not be evaluated, [`Error::Empty`]
    /// if there is no frame.
    pub fn open(set: &Path, filter: Option<&str>) -> Result<Self> {
        Self::new(Catalog::open(set)?, None, filter)
    }

    /// As [`open`](Self::open), but takes only the shards of `stamps`: these frames are the same, in
    /// the same order, as before others were added to the set.
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Error::Shards`] too if one of these shards has changed.
    pub(crate) fn open_for(
        set: &Path,
        filter: Option<&str>,
        stamps: &[ShardStamp],
    ) -> Result<Self> {
        let catalog = Catalog::open_for(set, stamps)?;
        let kept = catalog.stamped(stamps);
        Self::new(catalog, kept.contains(&false).then_some(kept), filter)
    }

    /// Other frames of the same shards.
    pub(crate) fn filtered(&self, filter: Option<&str>) -> Result<Self> {
        Self::new(self.catalog.clone(), self.kept.clone(), filter)
    }

    fn new(catalog: Catalog, kept: Option<Vec<bool>>, filter: Option<&str>) -> Result<Self> {
        let in_set = select(&catalog, filter)?;
        let num_in_set = in_set.num_rows();
        let selection = match &kept {
            Some(kept) => catalog.in_shards(&in_set, kept)?,
            None => in_set,
        };
        let index = catalog.index(&selection)?;
        if index.is_empty() {
            let detail = match filter {
                Some(sql) => format!(
                    "none of its {} frames passes --where {sql:?}",
                    catalog.num_frames()
                ),
                None => "the set is empty".to_owned(),
            };
            return Err(Error::Empty {
                detail,
                path: catalog.dir().to_owned(),
            });
        }
        Ok(Self {
            shards: Shards::new(&catalog),
            kept,
            num_in_set,
            filter: filter.map(str::to_owned),
            selection,
            index,
            catalog,
        })
    }

    /// The catalog of the whole set.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The shards whose frames are taken, by name.
    fn shards(&self) -> impl Iterator<Item = &ShardInfo> {
        let is_kept = |ix: usize| self.kept.as_ref().is_none_or(|kept| kept[ix]);
        let shards = self.catalog.shards().iter().enumerate();
        shards.filter_map(move |(ix, info)| is_kept(ix).then_some(info))
    }

    /// What [`Sampler::open_for`](crate::Sampler::open_for) needs to find these frames again.
    pub fn stamps(&self) -> Vec<ShardStamp> {
        self.shards().map(ShardInfo::stamp).collect()
    }

    /// Frames of the whole set that pass the filter, whichever shards are taken.
    pub fn num_in_set(&self) -> u64 {
        self.num_in_set
    }

    /// A number that names the shards taken.
    pub(crate) fn fingerprint(&self) -> u64 {
        catalog::fingerprint(self.shards())
    }

    /// The filter that keeps these frames.
    pub(crate) fn filter(&self) -> Option<&str> {
        self.filter.as_deref()
    }

    /// Which rows of the catalog these frames are.
    pub fn selection(&self) -> &Selection {
        &self.selection
    }

    /// What is known of each frame without a look at its shard.
    pub fn index(&self) -> &FrameIndex {
        &self.index
    }

    /// `count` of them, or all if they are fewer, evenly spread, by their numbers in the index.
    pub fn spread(&self, count: usize) -> impl Iterator<Item = usize> {
        let (len, count) = (self.index.len(), count.clamp(1, self.index.len()));
        (0..count).map(move |i| (2 * i + 1) * len / (2 * count))
    }

    /// Metadata of frames by their rows in the catalog, which is read once. Rows that the catalog
    /// does not have are left out.
    ///
    /// # Errors
    /// [`Error::Shards`] if it cannot be read.
    pub fn metas(&self, rows: &[u32]) -> Result<BTreeMap<u32, FrameMeta>> {
        let mut metas = BTreeMap::new();
        let mut row = 0;
        for entries in self.catalog.rows()? {
            for entry in entries? {
                if rows.contains(&row) {
                    metas.insert(row, entry.frame.meta);
                }
                row += 1;
            }
        }
        Ok(metas)
    }

    /// One of them, by its number in the index.
    ///
    /// # Panics
    /// When it is used, if the number is not below the length of the index.
    pub fn stored(&self, ix: usize) -> Stored<'_> {
        self.stored_read(ix, Reading::default())
    }

    /// One of them, by its row in the catalog.
    ///
    /// # Errors
    /// [`BrokenFrame::Unknown`] if it is not among them.
    pub fn stored_at(&self, row: u32) -> Result<Stored<'_>, BrokenFrame> {
        let ix = (0..self.index.len()).find(|&ix| self.index.row(ix) == row);
        Ok(self.stored(ix.ok_or(BrokenFrame::Unknown { row })?))
    }

    /// One of them, by its number in the index; its bytes come as `reading` says.
    pub(crate) fn stored_read(&self, ix: usize, reading: Reading) -> Stored<'_> {
        Stored {
            frames: self,
            ix,
            reading,
        }
    }
}

#[cfg(feature = "sql")]
fn select(catalog: &Catalog, filter: Option<&str>) -> Result<Selection> {
    let filter = filter.map(schemas::filter::Filter::parse).transpose()?;
    Ok(catalog.select(filter.as_ref())?)
}

#[cfg(not(feature = "sql"))]
fn select(catalog: &Catalog, filter: Option<&str>) -> Result<Selection> {
    match filter {
        None => Ok(catalog.all()),
        Some(sql) => Err(Error::Config {
            field: "filter",
            found: sql.to_owned(),
            allowed: "unset: this build of `sampler` lacks its feature `sql`".to_owned(),
        }),
    }
}

/// A frame in its shard.
#[derive(Clone, Copy, Debug)]
pub struct Stored<'a> {
    frames: &'a Frames,
    ix: usize,
    reading: Reading,
}

impl Stored<'_> {
    /// Size of level 0 in pixels.
    pub fn size(&self) -> Size {
        self.frames.index.size(self.ix)
    }

    /// All of it, from the coarsest stored level that suffices for a picture whose shorter side has
    /// `min_side` pixels. The region may reach beyond the frame, which is its `crop`.
    ///
    /// # Errors
    /// [`FrameError::Broken`] if its bytes are not what they were when it was ingested,
    /// [`FrameError::Set`] if they cannot be read.
    pub fn decode<'d>(
        &self,
        decoder: &'d mut Decoder,
        min_side: u32,
    ) -> Result<Region<'d>, FrameError> {
        decoder.decode_whole(self, self.size(), min_side)
    }

    /// All of it as a picture of the level's size, from the level of [`decode`](Self::decode).
    ///
    /// # Errors
    /// As [`decode`](Self::decode).
    pub fn picture(&self, decoder: &mut Decoder, min_side: u32) -> Result<Picture, FrameError> {
        let region = self.decode(decoder, min_side)?;
        let size = self.size().at_level(region.level);
        let decoded_row = region.size.width as usize * RGB_BYTES;
        let row = size.width as usize * RGB_BYTES;
        // A stored level may be padded beyond its size.
        let rows = region.rgb.chunks_exact(decoded_row);
        let rgb = rows.take(size.height as usize).flat_map(|rgb| &rgb[..row]);
        Ok(Picture {
            size,
            rgb: rgb.copied().collect(),
        })
    }

    /// Tells the system that it will soon be decoded for `min_side`.
    pub fn will_need(&self, min_side: u32) {
        let chosen = self.choose(self.size(), min_side, false);
        if let Some(slot) = chosen.and_then(|(level_ix, _)| self.slot(level_ix)) {
            self.ask_for(slot);
        }
    }

    /// Tells the system that a level will be read soon.
    pub(crate) fn ask_for(&self, slot: LevelSlot) {
        self.frames.shards.will_need(self.reading, slot);
    }
}

impl Levels for Stored<'_> {
    fn numbers(&self) -> &[u8] {
        self.frames.index.levels()
    }

    fn slot(&self, level_ix: usize) -> Option<LevelSlot> {
        self.frames.index.level(self.ix, level_ix)
    }

    fn bytes<'a>(&'a self, slot: LevelSlot, buffer: &'a mut Vec<u8>) -> schemas::Result<&'a [u8]> {
        self.frames.shards.bytes(self.reading, slot, buffer)
    }
}

/// A decoded frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Picture {
    /// Size in pixels.
    pub size: Size,
    /// RGB triples, rows without gaps.
    pub rgb: Vec<u8>,
}

#[cfg(feature = "draw")]
impl From<Picture> for draw::Canvas {
    fn from(picture: Picture) -> Self {
        Self::from_rgb(picture.size, &picture.rgb)
    }
}
