//! Writes one shard, all or nothing.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, BinaryArray, RecordBatch};
use arrow::datatypes::{DataType, Field, Schema};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;

use super::columns::LevelFacts;
use super::{
    FORMAT_VERSION, InputRecord, LevelColumns, MetaColumns, ROW_GROUP_ROWS, Settings, ShardId,
    Skipped,
};
use super::{key, level_fields, meta_fields};
use crate::frame::{FrameRow, LevelImage};
use crate::tiled::TiledJpeg;
use crate::{Error, Result};

/// What was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ShardSummary {
    /// The finished file.
    pub path: PathBuf,
    /// Its rows.
    pub frames: u64,
    /// Its size.
    pub bytes: u64,
    /// Its CRC32C.
    pub crc32c: u32,
}

/// Writes a shard under a temporary name and renames it when it is whole and on disk. Dropped
/// before that, or after [`finish`](Self::finish) has failed, it removes its temporary file.
pub struct ShardWriter {
    parquet: Option<ArrowWriter<Checksummed<File>>>,
    schema: Arc<Schema>,
    settings: Settings,
    temporary: PathBuf,
    path: PathBuf,
    frames: u64,
    is_finished: bool,
}

impl ShardWriter {
    /// Begins the shard `id` in `frames_dir`, which must exist. A left-over temporary file is
    /// overwritten.
    ///
    /// # Errors
    /// [`Error::Io`] if the file cannot be created.
    pub fn create(frames_dir: &Path, id: &ShardId, settings: &Settings) -> Result<Self> {
        let path = frames_dir.join(id.file_name());
        let temporary = path.with_extension("parquet.tmp");
        let file = File::create(&temporary).map_err(Error::io("create", &temporary))?;
        let schema = Arc::new(schema(settings));
        let mut parquet = ArrowWriter::try_new(
            Checksummed::new(file),
            schema.clone(),
            Some(properties(settings)),
        )
        .map_err(Error::parquet("begin", &temporary))?;
        let mut note = |name: &str, value: String| {
            parquet.append_key_value_metadata(KeyValue::new(name.to_owned(), value));
        };
        note(key::VERSION, FORMAT_VERSION.to_string());
        note(
            key::ID,
            serde_json::to_string(id).expect("plain data serialises"),
        );
        note(key::SETTINGS, settings.to_json());
        Ok(Self {
            parquet: Some(parquet),
            schema,
            settings: settings.clone(),
            temporary,
            path,
            frames: 0,
            is_finished: false,
        })
    }

    /// Appends a frame. Its levels must be those of the settings, each a tile-addressable JPEG.
    ///
    /// # Errors
    /// [`Error::Tiled`] if a level is no tile-addressable JPEG, [`Error::Parquet`] if writing
    /// fails.
    ///
    /// # Panics
    /// If the row has another number of levels than the settings.
    pub fn push(&mut self, row: FrameRow) -> Result<()> {
        assert_eq!(
            row.levels.len(),
            self.settings.levels.len(),
            "one entry per level of the settings"
        );
        let mut meta = MetaColumns::default();
        meta.push(&row.meta, row.origin);
        let mut columns = meta.finish();
        for level in &row.levels {
            let facts = level.as_ref().map(facts).transpose()?;
            let jpeg =
                BinaryArray::from_opt_vec(vec![level.as_ref().map(|level| level.jpeg.as_slice())]);
            columns.push(Arc::new(jpeg) as ArrayRef);
            let mut level_columns = LevelColumns::default();
            level_columns.push(facts.as_ref());
            columns.extend(level_columns.finish());
        }
        let batch = RecordBatch::try_new(self.schema.clone(), columns)
            .expect("the columns follow the schema");
        let temporary = self.temporary.clone();
        self.writer()
            .write(&batch)
            .map_err(Error::parquet("write", temporary))?;
        self.frames += 1;
        Ok(())
    }

    /// Frames appended so far.
    pub fn num_frames(&self) -> u64 {
        self.frames
    }

    /// Completes the shard: [`seal`](Self::seal), and [`publish`](SealedShard::publish).
    ///
    /// # Errors
    /// [`Error::Parquet`] or [`Error::Io`]; no finished file exists then.
    pub fn finish(self, skipped: &[Skipped], input: Option<&InputRecord>) -> Result<ShardSummary> {
        self.seal(skipped, input)?.publish()
    }

    /// Writes the footer, and all of it to the disk, under the temporary name. A shard without rows
    /// is the record that its input holds no frame. `input` is what the input was.
    ///
    /// # Errors
    /// [`Error::Parquet`] or [`Error::Io`].
    pub fn seal(mut self, skipped: &[Skipped], input: Option<&InputRecord>) -> Result<SealedShard> {
        let temporary = self.temporary.clone();
        let failed = || Error::parquet("write", &temporary);
        let mut parquet = self.parquet.take().expect("present until finish");
        parquet.flush().map_err(failed())?;
        parquet.sync().map_err(Error::io("write", &temporary))?;
        // All that follows the pages is small and read on opening; their checksum stands here, so
        // that the whole file's can be had without reading them.
        let body = Body {
            bytes: parquet.inner().bytes,
            crc32c: parquet.inner().crc32c,
        };
        let skipped = serde_json::to_string(skipped).expect("plain data serialises");
        parquet.append_key_value_metadata(KeyValue::new(key::SKIPPED.to_owned(), skipped));
        if let Some(input) = input {
            let input = serde_json::to_string(input).expect("plain data serialises");
            parquet.append_key_value_metadata(KeyValue::new(key::INPUT.to_owned(), input));
        }
        let body = serde_json::to_string(&body).expect("plain data serialises");
        parquet.append_key_value_metadata(KeyValue::new(key::BODY.to_owned(), body));
        parquet.finish().map_err(failed())?;
        let written = parquet.inner();
        written
            .inner
            .sync_all()
            .map_err(Error::io("flush", &temporary))?;
        let summary = ShardSummary {
            path: self.path.clone(),
            frames: self.frames,
            bytes: written.bytes,
            crc32c: written.crc32c,
        };
        Ok(SealedShard {
            writer: self,
            summary,
        })
    }

    fn writer(&mut self) -> &mut ArrowWriter<Checksummed<File>> {
        self.parquet.as_mut().expect("present until finish")
    }
}

/// A shard that is complete but for its name. Dropped before it is published, it is removed.
pub struct SealedShard {
    writer: ShardWriter,
    summary: ShardSummary,
}

impl SealedShard {
    /// What it will be.
    pub fn summary(&self) -> &ShardSummary {
        &self.summary
    }

    /// Gives it its name: rename, fsync of the folder.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn publish(mut self) -> Result<ShardSummary> {
        publish(&self.writer.temporary, &self.writer.path)?;
        self.writer.is_finished = true;
        Ok(self.summary.clone())
    }
}

impl Drop for ShardWriter {
    fn drop(&mut self) {
        if !self.is_finished {
            let _ = fs::remove_file(&self.temporary);
        }
    }
}

/// Gives a complete, synced temporary file its name, durably.
///
/// # Errors
/// [`Error::Io`] if it cannot be renamed, or its folder not be synced.
pub(crate) fn publish(temporary: &Path, path: &Path) -> Result<()> {
    host::publish(temporary, path).map_err(Error::io("rename a finished file to", path))
}

/// Size and checksum of a shard's pages, as they stand in its footer.
#[derive(serde::Serialize, serde::Deserialize)]
pub(crate) struct Body {
    pub bytes: u64,
    pub crc32c: u32,
}

fn facts(level: &LevelImage) -> Result<LevelFacts> {
    let tiled = TiledJpeg::parse(&level.jpeg)?;
    let len = u32::try_from(level.jpeg.len()).map_err(|_| Error::Tiled("it is over 4 GiB"))?;
    Ok(LevelFacts {
        len,
        crc32c: crc32c::crc32c(&level.jpeg),
        size: level.size,
        mcu: tiled.mcu().width,
        tile: tiled.tile().width,
        encoding: level.encoding,
    })
}

pub(crate) fn jpeg_column(level: u8) -> String {
    format!("jpeg_{level}")
}

fn schema(settings: &Settings) -> Schema {
    let mut fields = meta_fields();
    for &level in &settings.levels {
        fields.push(Field::new(jpeg_column(level), DataType::Binary, true));
        fields.extend(level_fields(level));
    }
    Schema::new(fields)
}

/// Plain, uncompressed pages; one page per JPEG, so that the offset index says where each lies.
fn properties(settings: &Settings) -> WriterProperties {
    let mut properties = WriterProperties::builder()
        .set_created_by(format!("multisiam schemas {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::UNCOMPRESSED)
        .set_encoding(Encoding::PLAIN)
        .set_dictionary_enabled(false)
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_write_batch_size(1);
    for &level in &settings.levels {
        let column = ColumnPath::from(jpeg_column(level));
        properties = properties.set_column_data_page_row_count_limit(column, 1);
    }
    properties.build()
}

/// Counts and checksums what passes.
pub(crate) struct Checksummed<W> {
    pub inner: W,
    pub bytes: u64,
    pub crc32c: u32,
}

impl<W> Checksummed<W> {
    pub(crate) fn new(inner: W) -> Self {
        Self {
            inner,
            bytes: 0,
            crc32c: 0,
        }
    }
}

impl<W: Write> Write for Checksummed<W> {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(data)?;
        self.bytes += written as u64;
        self.crc32c = crc32c::crc32c_append(self.crc32c, &data[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}
