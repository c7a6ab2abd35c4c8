//! Making the catalog out of the shards' footers.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Builder, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;

use super::{
    BATCH_ROWS, CATALOG_CHECKSUM_FILE, CATALOG_FILE, Catalog, ShardInfo, checksum_text, no_shards,
    shard_paths, temporary_path,
};
use crate::shard::columns::LevelFacts;
use crate::shard::write::{Checksummed, publish};
use crate::shard::{
    FORMAT_VERSION, FRAMES_DIR, FrameEntry, LevelColumns, MetaColumns, Settings, ShardReader,
};
use crate::shard::{key, level_fields, meta_fields};
use crate::{Error, Result};

/// Makes the catalog of the shards in `dir` and returns it opened: [`rebuild`] after no shard has
/// been made again.
///
/// # Errors
/// As [`rebuild`].
pub fn build(dir: &Path) -> Result<Catalog> {
    rebuild(dir, &HashSet::new())
}

/// Makes the catalog of the shards in `dir` and returns it opened. `made` has name and CRC32C of
/// shards that have been made again; of one that was made several times, each of them.
///
/// A frame's name is in the catalog once. Of several frames of one name that one stays which the
/// catalog had before, or else the first by its shard's name, so that runs which draw from the set
/// go on with the frames that they had. The others are counted in [`ShardInfo::duplicates`].
///
/// # Errors
/// What opening a shard returns; [`Error::MixedSettings`] if the shards do not belong together;
/// [`Error::NoShards`] if there are none; [`Error::Damaged`] if one has changed since it was in the
/// catalog, and nobody made it again.
pub fn rebuild(dir: &Path, made: &HashSet<(String, u32)>) -> Result<Catalog> {
    let paths = shard_paths(dir)?;
    let first = paths
        .first()
        .ok_or_else(|| no_shards(dir, "its frames/ folder is empty"))?;
    let settings = ShardReader::open(first)?.settings().clone();
    let temporary = temporary_path(dir);
    let before = Catalog::open_even_if_stale(dir).ok();
    let mut left_out = HashSet::new();
    let writer = loop {
        let mut writer = CatalogWriter::create(&temporary, &settings, left_out)?;
        for path in &paths {
            writer.push_shard(path)?;
        }
        let more = writer.duplicates(before.as_ref())?;
        if more.is_empty() {
            break writer;
        }
        left_out = writer.left_out;
        left_out.extend(more);
    };
    if let Some(before) = &before {
        refuse_changed(before, &writer.shards, made)?;
    }
    let crc32c = writer.finish()?;

    // The checksum goes first: a catalog without its own checksum beside it is refused, so a crash
    // between the two renames leaves a set that says "stale", never one that is wrong.
    let checksum = dir.join(CATALOG_CHECKSUM_FILE);
    let checksum_temporary = checksum.with_extension("crc32c.tmp");
    fs::write(&checksum_temporary, checksum_text(crc32c))
        .map_err(Error::io("write", &checksum_temporary))?;
    File::open(&checksum_temporary)
        .and_then(|file| file.sync_all())
        .map_err(Error::io("flush", &checksum_temporary))?;
    publish(&checksum_temporary, &checksum)?;
    publish(&temporary, &dir.join(CATALOG_FILE))?;
    Catalog::open(dir)
}

/// Nothing but the catalog says what the footer of a shard was, so a new one must not adopt a
/// damaged footer. Who makes a shard again says so in `made`.
fn refuse_changed(
    before: &Catalog,
    shards: &[ShardInfo],
    made: &HashSet<(String, u32)>,
) -> Result<()> {
    let is_other = |info: &&ShardInfo| {
        before
            .shard(&info.name)
            .is_some_and(|was| was.crc32c != info.crc32c)
            && !made.contains(&(info.name.clone(), info.crc32c))
    };
    match shards.iter().find(is_other) {
        Some(info) => {
            let detail = "it is not what the catalog says it was";
            Err(Error::damaged(
                before.dir.join(FRAMES_DIR).join(&info.name),
                detail,
            ))
        }
        None => Ok(()),
    }
}

struct CatalogWriter {
    parquet: ArrowWriter<Checksummed<File>>,
    schema: Arc<Schema>,
    settings: Settings,
    temporary: PathBuf,
    shards: Vec<ShardInfo>,
    /// Key, shard and row of every frame.
    keys: Vec<(u64, u32, u32)>,
    /// Shard and row of the frames whose names another one has.
    left_out: HashSet<(u32, u32)>,
    pending: Pending,
}

/// Rows that wait until there are enough of them for a record batch.
#[derive(Default)]
struct Pending {
    meta: MetaColumns,
    place: [UInt32Builder; 2],
    levels: Vec<(UInt64Builder, LevelColumns)>,
}

impl CatalogWriter {
    fn create(
        temporary: &Path,
        settings: &Settings,
        left_out: HashSet<(u32, u32)>,
    ) -> Result<Self> {
        let mut fields = meta_fields();
        fields.push(Field::new("shard", DataType::UInt32, false));
        fields.push(Field::new("row", DataType::UInt32, false));
        for &level in &settings.levels {
            fields.push(Field::new(
                format!("offset_{level}"),
                DataType::UInt64,
                true,
            ));
            fields.extend(level_fields(level));
        }
        let schema = Arc::new(Schema::new(fields));
        let level = ZstdLevel::try_new(1).expect("1 is a zstd level");
        let properties = WriterProperties::builder()
            .set_created_by(format!("multisiam schemas {}", env!("CARGO_PKG_VERSION")))
            .set_compression(Compression::ZSTD(level))
            .set_max_row_group_row_count(Some(BATCH_ROWS))
            .build();
        let file = File::create(temporary).map_err(Error::io("create", temporary))?;
        let parquet =
            ArrowWriter::try_new(Checksummed::new(file), schema.clone(), Some(properties))
                .map_err(Error::parquet("begin", temporary))?;
        let mut pending = Pending::default();
        pending
            .levels
            .resize_with(settings.levels.len(), Default::default);
        Ok(Self {
            parquet,
            schema,
            settings: settings.clone(),
            temporary: temporary.to_owned(),
            shards: Vec::new(),
            keys: Vec::new(),
            left_out,
            pending,
        })
    }

    fn push_shard(&mut self, path: &Path) -> Result<()> {
        let reader = ShardReader::open(path)?;
        if !reader.settings().goes_with(&self.settings) {
            return Err(Error::MixedSettings {
                path: path.to_owned(),
            });
        }
        if reader.settings().cameras != self.settings.cameras {
            self.settings.cameras.clear();
        }
        let shard = self.shards.len() as u32;
        self.shards.push(ShardInfo::of(&reader)?);
        for (row, frame) in reader.rows()?.iter().enumerate() {
            let row = row as u32;
            if self.left_out.contains(&(shard, row)) {
                self.shards[shard as usize].duplicates += 1;
                continue;
            }
            self.keys.push((frame.meta.key(), shard, row));
            self.pending.push(frame, shard, row);
            if self.pending.meta.len() == BATCH_ROWS {
                self.write_pending()?;
            }
        }
        Ok(())
    }

    fn write_pending(&mut self) -> Result<()> {
        let batch = RecordBatch::try_new(self.schema.clone(), self.pending.finish());
        let batch = batch.expect("the columns follow the schema");
        self.parquet
            .write(&batch)
            .map_err(Error::parquet("write", &self.temporary))
    }

    /// Completes and syncs the temporary file; returns its checksum.
    fn finish(mut self) -> Result<u32> {
        if self.pending.meta.len() > 0 {
            self.write_pending()?;
        }
        let mut note = |name: &str, value: String| {
            self.parquet
                .append_key_value_metadata(KeyValue::new(name.to_owned(), value));
        };
        note(key::VERSION, FORMAT_VERSION.to_string());
        note(key::SETTINGS, self.settings.to_json());
        note(
            key::SHARDS,
            serde_json::to_string(&self.shards).expect("plain data serialises"),
        );
        self.parquet
            .finish()
            .map_err(Error::parquet("write", &self.temporary))?;
        let written = self.parquet.inner();
        written
            .inner
            .sync_all()
            .map_err(Error::io("flush", &self.temporary))?;
        Ok(written.crc32c)
    }

    /// Shard and row of the frames whose names another one has that goes before them.
    ///
    /// Frame ids are unique exactly when their 64-bit keys are; equal keys of different ids would
    /// make two frames draw the same crops, so one of them is left out alike.
    fn duplicates(&mut self, before: Option<&Catalog>) -> Result<HashSet<(u32, u32)>> {
        self.keys.sort_unstable();
        let doubles: HashSet<u64> = self
            .keys
            .windows(2)
            .filter(|pair| pair[0].0 == pair[1].0)
            .map(|pair| pair[0].0)
            .collect();
        let listed_in = match before {
            Some(before) if !doubles.is_empty() => before.shards_of(&doubles)?,
            _ => HashMap::new(),
        };
        let is_listed = |key: u64, shard: u32| {
            let name = listed_in.get(&key).copied();
            name == Some(&self.shards[shard as usize].name[..])
        };
        let mut rivals: Vec<_> = self
            .keys
            .iter()
            .filter(|(key, ..)| doubles.contains(key))
            .map(|&(key, shard, row)| (key, !is_listed(key, shard), shard, row))
            .collect();
        rivals.sort_unstable();
        let others = rivals.windows(2).filter(|pair| pair[0].0 == pair[1].0);
        Ok(others.map(|pair| (pair[1].2, pair[1].3)).collect())
    }
}

impl Pending {
    fn push(&mut self, frame: &FrameEntry, shard: u32, row: u32) {
        self.meta.push(&frame.meta, frame.origin);
        self.place[0].append_value(shard);
        self.place[1].append_value(row);
        for ((offset, columns), entry) in self.levels.iter_mut().zip(&frame.levels) {
            offset.append_option(entry.as_ref().map(|entry| entry.offset));
            let facts = entry.as_ref().map(|entry| LevelFacts {
                len: entry.len,
                crc32c: entry.crc32c,
                size: entry.size,
                mcu: entry.mcu,
                tile: entry.tile,
                encoding: entry.encoding,
            });
            columns.push(facts.as_ref());
        }
    }

    fn finish(&mut self) -> Vec<ArrayRef> {
        let mut columns = self.meta.finish();
        columns.extend(
            self.place
                .iter_mut()
                .map(|place| Arc::new(place.finish()) as ArrayRef),
        );
        for (offset, level) in &mut self.levels {
            columns.push(Arc::new(offset.finish()));
            columns.extend(level.finish());
        }
        columns
    }
}
