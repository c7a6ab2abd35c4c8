//! The catalog: where every frame of a set lies.
//!
//! `catalog.parquet` beside the `frames/` folder holds the metadata of every frame and, per level, its offset,
//! length and checksum; its footer lists the shards with size and checksum. It is derived: [`build`] makes it from
//! the shards' footers without reading a JPEG, atomically. Opening compares it with the folder by names and sizes,
//! never by time, and checks its own checksum, which lies in `catalog.parquet.crc32c`.

use std::fs::{self, File};
use std::io::{self, BufReader};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Builder, UInt64Array, UInt64Builder};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::{KeyValue, PageIndexPolicy};
use parquet::file::properties::WriterProperties;
use serde::{Deserialize, Serialize};

use crate::shard::columns::{LevelFacts, Rows};
use crate::shard::write::{Checksummed, publish};
use crate::shard::{FORMAT_VERSION, FRAMES_DIR, FrameEntry, LevelColumns, LevelEntry, MetaColumns, ShardReader};
use crate::shard::{Settings, ShardId, key, level_fields, meta_fields};
use crate::table::Table;
use crate::{Error, Result};

/// The catalog's file name.
pub const CATALOG_FILE: &str = "catalog.parquet";
/// File name of its checksum: eight hexadecimal digits and a line feed.
pub const CATALOG_CHECKSUM_FILE: &str = "catalog.parquet.crc32c";

/// Rows of a row group, and rows read or written at a time.
pub const BATCH_ROWS: usize = 65_536;

/// A shard as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ShardInfo {
    /// File name inside `frames/`.
    pub name: String,
    /// Size of the file.
    pub bytes: u64,
    /// CRC32C of the file.
    pub crc32c: u32,
    /// Its rows.
    pub frames: u64,
    /// How many items of its input were skipped.
    pub skipped: u64,
    /// Which input it holds.
    pub id: ShardId,
}

/// A frame as the catalog knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogRow {
    /// Its metadata and levels.
    pub frame: FrameEntry,
    /// Which shard ([`Catalog::shards`]) holds it.
    pub shard: u32,
    /// Its row in that shard.
    pub row: u32,
}

/// Paths of all shards in `dir`, sorted by name.
///
/// # Errors
/// [`Error::NoShards`] if there is no such folder, [`Error::Io`] if it cannot be listed.
pub fn shard_paths(dir: &Path) -> Result<Vec<PathBuf>> {
    let frames = dir.join(FRAMES_DIR);
    if !frames.is_dir() {
        let detail = if dir.is_dir() { "it holds no frames/ folder" } else { "there is no such folder" };
        return Err(Error::NoShards { detail, dir: dir.to_owned() });
    }
    let listed = fs::read_dir(&frames).map_err(Error::io("list", &frames))?;
    let mut paths: Vec<PathBuf> = listed
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()
        .map_err(Error::io("list", &frames))?;
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "parquet"));
    paths.sort();
    Ok(paths)
}

/// Makes the catalog of the shards in `dir` and returns it opened.
///
/// # Errors
/// What opening a shard returns; [`Error::MixedSettings`] and [`Error::Duplicate`] if the shards do not belong
/// together; [`Error::NoShards`] if there are none; [`Error::Damaged`] if one has changed since it was in the catalog.
pub fn build(dir: &Path) -> Result<Catalog> {
    let paths = shard_paths(dir)?;
    let first = paths.first().ok_or(Error::NoShards { detail: "its frames/ folder is empty", dir: dir.to_owned() })?;
    let settings = ShardReader::open(first)?.settings().clone();
    let temporary = dir.join(format!("{CATALOG_FILE}.tmp"));
    let mut writer = CatalogWriter::create(&temporary, &settings)?;
    for path in &paths {
        writer.push_shard(path)?;
    }
    if let Ok(before) = Catalog::open_even_if_stale(dir) {
        refuse_changed(&before, &writer.shards)?;
    }
    let crc32c = writer.finish()?;

    // The checksum goes first: a catalog without its own checksum beside it is refused, so a crash between the two
    // renames leaves a set that says "stale", never one that is wrong.
    let checksum = dir.join(CATALOG_CHECKSUM_FILE);
    let checksum_temporary = checksum.with_extension("crc32c.tmp");
    fs::write(&checksum_temporary, checksum_text(crc32c)).map_err(Error::io("write", &checksum_temporary))?;
    File::open(&checksum_temporary)
        .and_then(|file| file.sync_all())
        .map_err(Error::io("flush", &checksum_temporary))?;
    publish(&checksum_temporary, &checksum)?;
    publish(&temporary, &dir.join(CATALOG_FILE))?;
    Catalog::open(dir)
}

/// Nothing but the catalog says what the footer of a shard was, so a new one must not adopt a damaged footer.
fn refuse_changed(before: &Catalog, shards: &[ShardInfo]) -> Result<()> {
    let was = |info: &ShardInfo| {
        before.shards.binary_search_by(|was| was.name.cmp(&info.name)).ok().map(|ix| &before.shards[ix])
    };
    match shards.iter().find(|info| was(info).is_some_and(|was| was.crc32c != info.crc32c)) {
        Some(info) => {
            let detail = "it is not what the catalog says it was; if it was made anew, delete the catalog";
            Err(Error::damaged(before.dir.join(FRAMES_DIR).join(&info.name), detail))
        }
        None => Ok(()),
    }
}

/// An open catalog.
#[derive(Clone, Debug)]
pub struct Catalog {
    dir: PathBuf,
    table: Table,
    shards: Vec<ShardInfo>,
    settings: Settings,
    crc32c: u32,
}

impl Catalog {
    /// Opens the catalog of the set in `dir` and checks that it is whole and describes the shards beside it.
    ///
    /// # Errors
    /// [`Error::NoShards`], [`Error::Stale`], [`Error::Version`], [`Error::Damaged`], [`Error::Io`].
    pub fn open(dir: &Path) -> Result<Self> {
        let found = shard_paths(dir)?;
        let catalog = Self::open_even_if_stale(dir)?;
        check_shards(&catalog.shards, &found).map_err(|detail| Error::Stale { detail, dir: dir.to_owned() })?;
        Ok(catalog)
    }

    /// Opens it without looking at the shards beside it: what they were when it was written.
    ///
    /// # Errors
    /// [`Error::Stale`] if there is none or its checksum does not hold, [`Error::Version`], [`Error::Damaged`],
    /// [`Error::Io`].
    pub fn open_even_if_stale(dir: &Path) -> Result<Self> {
        let path = dir.join(CATALOG_FILE);
        let stale = |detail: String| Error::Stale { detail, dir: dir.to_owned() };
        if !path.is_file() {
            return Err(stale("there is none".to_owned()));
        }
        let crc32c = check_checksum(dir, &path)?;
        let table = Table::open(&path, PageIndexPolicy::Skip)?;
        let (shards, settings) = (table.note(key::SHARDS)?, table.note(key::SETTINGS)?);
        Ok(Self { dir: dir.to_owned(), table, shards, settings, crc32c })
    }

    /// The folder of the set.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Number of frames.
    pub fn num_frames(&self) -> u64 {
        self.table.num_rows()
    }

    /// Its shards, sorted by name.
    pub fn shards(&self) -> &[ShardInfo] {
        &self.shards
    }

    /// Path of a shard.
    pub fn shard_path(&self, shard: u32) -> PathBuf {
        self.dir.join(FRAMES_DIR).join(&self.shards[shard as usize].name)
    }

    /// The settings that the whole set was written with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// A number that changes when any frame, its bytes' place or checksum changes.
    pub fn fingerprint(&self) -> u64 {
        u64::from(self.crc32c) << 32 | (self.num_frames() & 0xFFFF_FFFF)
    }

    /// Every row in catalog order, `BATCH_ROWS` at a time.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Damaged`] if the file cannot be read; each batch [`Error::Damaged`] if its columns are wrong.
    pub fn rows(&self) -> Result<impl Iterator<Item = Result<Vec<CatalogRow>>> + '_> {
        let batches = self.batches(|_| true)?;
        Ok(batches.map(|batch| self.catalog_rows(&batch?)))
    }

    /// Record batches of the columns that `wanted` names.
    pub(crate) fn batches(
        &self,
        wanted: impl Fn(&str) -> bool,
    ) -> Result<impl Iterator<Item = Result<RecordBatch>> + '_> {
        self.table.batches(BATCH_ROWS, wanted)
    }

    pub(crate) fn path(&self) -> &Path {
        self.table.path()
    }

    fn catalog_rows(&self, batch: &RecordBatch) -> Result<Vec<CatalogRow>> {
        let rows = Rows::new(batch, self.path());
        let (shard, row) = (rows.u32s("shard")?, rows.u32s("row")?);
        let levels = self.settings.levels.iter().map(|&level| -> Result<(&UInt64Array, Vec<Option<LevelFacts>>)> {
            Ok((rows.u64s(&format!("offset_{level}"))?, rows.levels(level)?))
        });
        let levels: Vec<_> = levels.collect::<Result<_>>()?;
        let entry = |ix: usize, offset: &UInt64Array, facts: &[Option<LevelFacts>]| {
            let LevelFacts { len, crc32c, size, mcu, tile, encoding } = facts[ix].clone()?;
            Some(LevelEntry { offset: offset.value(ix), len, crc32c, size, mcu, tile, encoding })
        };
        let frames = rows.metas()?.into_iter().enumerate().map(|(ix, meta)| CatalogRow {
            frame: FrameEntry { meta, levels: levels.iter().map(|(offset, facts)| entry(ix, offset, facts)).collect() },
            shard: shard.value(ix),
            row: row.value(ix),
        });
        Ok(frames.collect())
    }
}

/// Compares the catalog's bytes with the checksum beside it and returns that.
fn check_checksum(dir: &Path, path: &Path) -> Result<u32> {
    let checksum = dir.join(CATALOG_CHECKSUM_FILE);
    let stale = |detail: &str| Error::Stale { detail: detail.to_owned(), dir: dir.to_owned() };
    let text = fs::read(&checksum).map_err(|_| stale("its checksum file cannot be read"))?;
    let found = file_crc32c(path)?;
    // To the letter, so that no bit of the checksum file can change unnoticed.
    match text == checksum_text(found).as_bytes() {
        true => Ok(found),
        false => Err(stale("its checksum does not match")),
    }
}

/// Read piece by piece: mapped, the whole file would count as memory of the process.
fn file_crc32c(path: &Path) -> Result<u32> {
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut sum = Checksummed::new(io::sink());
    io::copy(&mut BufReader::with_capacity(1 << 20, file), &mut sum).map_err(Error::io("read", path))?;
    Ok(sum.crc32c)
}

/// What stands in the checksum file.
pub fn checksum_text(crc32c: u32) -> String {
    format!("{crc32c:08x}\n")
}

/// Same names, same sizes.
fn check_shards(listed: &[ShardInfo], found: &[PathBuf]) -> Result<(), String> {
    let name = |path: &PathBuf| path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let found_names: Vec<String> = found.iter().map(name).collect();
    if let Some(new) = found_names.iter().find(|name| listed.binary_search_by(|info| info.name.cmp(name)).is_err()) {
        return Err(format!("it does not list {new:?}"));
    }
    for info in listed {
        let Ok(ix) = found_names.binary_search(&info.name) else {
            return Err(format!("shard {:?} is gone", info.name));
        };
        match found[ix].metadata().map(|metadata| metadata.len()) {
            Ok(bytes) if bytes == info.bytes => {}
            _ => return Err(format!("shard {:?} has another size", info.name)),
        }
    }
    Ok(())
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
            fields.push(Field::new(format!("offset_{level}"), DataType::UInt64, true));
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
        let parquet = ArrowWriter::try_new(Checksummed::new(file), schema.clone(), Some(properties))
            .map_err(Error::parquet("begin", temporary))?;
        let mut pending = Pending::default();
        pending.levels.resize_with(settings.levels.len(), Default::default);
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
            return Err(Error::MixedSettings { path: path.to_owned() });
        }
        let shard = self.shards.len() as u32;
        let (bytes, crc32c) = reader.file_checksum()?;
        self.shards.push(ShardInfo {
            name: path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
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
        self.parquet.write(&batch).map_err(Error::parquet("write", &self.temporary))
    }

    /// Completes and syncs the temporary file; returns its checksum.
    fn finish(mut self) -> Result<u32> {
        self.refuse_duplicates()?;
        if self.pending.meta.len() > 0 {
            self.write_pending()?;
        }
        let mut note = |name: &str, value: String| {
            self.parquet.append_key_value_metadata(KeyValue::new(name.to_owned(), value));
        };
        note(key::VERSION, FORMAT_VERSION.to_string());
        note(key::SETTINGS, self.settings.to_json());
        note(key::SHARDS, serde_json::to_string(&self.shards).expect("plain data serialises"));
        self.parquet.finish().map_err(Error::parquet("write", &self.temporary))?;
        let written = self.parquet.inner();
        written.inner.sync_all().map_err(Error::io("flush", &self.temporary))?;
        Ok(written.crc32c)
    }

    /// Frame ids are unique exactly when their 64-bit keys are; equal keys of different ids would make two frames
    /// draw the same crops, so they are refused alike.
    fn refuse_duplicates(&mut self) -> Result<()> {
        self.keys.sort_unstable();
        let Some(pair) = self.keys.windows(2).find(|pair| pair[0].0 == pair[1].0) else { return Ok(()) };
        let (key, shard) = pair[1];
        let frames = self.temporary.parent().expect("it lies in a folder").join(FRAMES_DIR);
        let path = frames.join(&self.shards[shard as usize].name);
        let frame = ShardReader::open(&path)?.rows()?.into_iter().find(|frame| frame.meta.key() == key);
        Err(Error::Duplicate { frame_id: frame.map(|frame| frame.meta.frame_id).unwrap_or_default(), path })
    }
}

impl Pending {
    fn push(&mut self, frame: &FrameEntry, shard: u32, row: u32) {
        self.meta.push(&frame.meta);
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
        columns.extend(self.place.iter_mut().map(|place| Arc::new(place.finish()) as ArrayRef));
        for (offset, level) in &mut self.levels {
            columns.push(Arc::new(offset.finish()));
            columns.extend(level.finish());
        }
        columns
    }
}
