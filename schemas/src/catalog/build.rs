//! Making the catalog out of the shards' footers.

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
    BATCH_ROWS, CATALOG_CHECKSUM_FILE, CATALOG_FILE, Catalog, ShardInfo, checksum_text,
    shard_paths, temporary_path,
};
use crate::shard::columns::LevelFacts;
use crate::shard::write::{Checksummed, publish};
use crate::shard::{
    FORMAT_VERSION, FRAMES_DIR, FrameEntry, LevelColumns, MetaColumns, Settings, ShardReader,
};
use crate::shard::{key, level_fields, meta_fields};
use crate::{Error, Result};

/// Makes the catalog of the shards in `dir` and returns it opened.
///
/// # Errors
/// What opening a shard returns; [`Error::MixedSettings`] and [`Error::Duplicate`] if the shards do
/// not belong together; [`Error::NoShards`] if there are none; [`Error::Damaged`] if one has
/// changed since it was in the catalog.
pub fn build(dir: &Path) -> Result<Catalog> {
    let paths = shard_paths(dir)?;
    let first = paths.first().ok_or(Error::NoShards {
        detail: "its frames/ folder is empty",
        dir: dir.to_owned(),
    })?;
    let settings = ShardReader::open(first)?.settings().clone();
    let temporary = temporary_path(dir);
    let mut writer = CatalogWriter::create(&temporary, &settings)?;
    for path in &paths {
        writer.push_shard(path)?;
    }
    if let Ok(before) = Catalog::open_even_if_stale(dir) {
        refuse_changed(&before, &writer.shards)?;
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
/// damaged footer.
fn refuse_changed(before: &Catalog, shards: &[ShardInfo]) -> Result<()> {
    let was = |info: &ShardInfo| {
        before
            .shards
            .binary_search_by(|was| was.name.cmp(&info.name))
            .ok()
            .map(|ix| &before.shards[ix])
    };
    match shards
        .iter()
        .find(|info| was(info).is_some_and(|was| was.crc32c != info.crc32c))
    {
        Some(info) => {
            let detail =
                "it is not what the catalog says it was; if it was made anew, delete the catalog";
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
    keys: Vec<(u64, u32)>,
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
    fn create(temporary: &Path, settings: &Settings) -> Result<Self> {
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
            pending,
        })
    }

    fn push_shard(&mut self, path: &Path) -> Result<()> {
        let reader = ShardReader::open(path)?;
        if *reader.settings() != self.settings {
            return Err(Error::MixedSettings {
                path: path.to_owned(),
            });
        }
        let shard = self.shards.len() as u32;
        let (bytes, crc32c) = reader.file_checksum()?;
        self.shards.push(ShardInfo {
            name: path
                .file_name()
                .unwrap_or_default()
                .to_string_lossy()
                .into_owned(),
            bytes,
            crc32c,
            frames: reader.num_frames(),
            skipped: reader.skipped().len() as u64,
            id: reader.id().clone(),
        });
        for (row, frame) in reader.rows()?.iter().enumerate() {
            self.keys.push((frame.meta.key(), shard));
            self.pending.push(frame, shard, row as u32);
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
        self.refuse_duplicates()?;
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

    /// Frame ids are unique exactly when their 64-bit keys are; equal keys of different ids would
    /// make two frames draw the same crops, so they are refused alike.
    fn refuse_duplicates(&mut self) -> Result<()> {
        self.keys.sort_unstable();
        let Some(pair) = self.keys.windows(2).find(|pair| pair[0].0 == pair[1].0) else {
            return Ok(());
        };
        let (key, shard) = pair[1];
        let frames = self
            .temporary
            .parent()
            .expect("it lies in a folder")
            .join(FRAMES_DIR);
        let path = frames.join(&self.shards[shard as usize].name);
        let frame = ShardReader::open(&path)?
            .rows()?
            .into_iter()
            .find(|frame| frame.meta.key() == key);
        Err(Error::Duplicate {
            frame_id: frame.map(|frame| frame.meta.frame_id).unwrap_or_default(),
            path,
        })
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
