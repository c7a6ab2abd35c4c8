//! The Parquet file: what names a frame, and its feature.
//!
//! ```text
//! frame_id  string    as in the catalog, whose order the rows have
//! key       uint64    likewise
//! dataset, split, segment, camera    string; the last three may be null
//! feature   list of a fixed number of 32-bit floats; null for a broken frame
//! ```
//! The footer's `multisiam.embedding` is JSON: `{weights, height_px}`. The file has its name only
//! when it is whole.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::iter;
use std::ops::Range;
use std::path::{self, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, AsArray, FixedSizeListArray, Float32Array, RecordBatch};
use arrow::buffer::NullBuffer;
use arrow::compute::BatchCoalescer;
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef, UInt64Type};
use console::usage;
use host::{partial_name, publish};
use native::Ranks;
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use schemas::catalog::Catalog;
use schemas::selection::Selection;
use serde::{Deserialize, Serialize};

/// Rows of a row group.
pub(crate) const GROUP_ROWS: usize = 2048;
const NOTE_KEY: &str = "multisiam.embedding";
const FRAME_ID: &str = "frame_id";
const KEY: &str = "key";
/// Texts of the catalog, and whether they may be null.
const TEXTS: [(&str, bool); 5] = [
    (FRAME_ID, false),
    ("dataset", false),
    ("split", true),
    ("segment", true),
    ("camera", true),
];

/// How the features came to be.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Note {
    /// Where the weights come from.
    pub weights: String,
    /// Height of the frames as the backbone saw them, before it was rounded to whole cells.
    pub height_px: i64,
}

/// Features of the rows of a group, as they come: those of one rank, then of all.
pub(crate) struct Features {
    /// Numbers of the group's frames in the index.
    group: Range<usize>,
    channels: usize,
    values: Vec<f32>,
    /// Rows that have a feature.
    whole: Vec<usize>,
    /// Rows that have none, and why.
    broken: Vec<(usize, String)>,
}

/// What a rank says of its rows, before their values.
#[derive(Serialize, Deserialize)]
struct Said {
    whole: Vec<usize>,
    broken: Vec<(usize, String)>,
}

impl Features {
    /// None yet, of the frames of `group`.
    pub(crate) fn new(group: Range<usize>, channels: usize) -> Self {
        Self {
            values: vec![0.0; group.len() * channels],
            group,
            channels,
            whole: Vec::new(),
            broken: Vec::new(),
        }
    }

    /// Frames that have come.
    pub(crate) fn num_come(&self) -> usize {
        self.whole.len() + self.broken.len()
    }

    /// Rows that have no feature, and why, in order.
    pub(crate) fn broken(&self) -> BTreeMap<usize, &str> {
        let rows = self.broken.iter();
        rows.map(|(row, reason)| (*row, reason.as_str())).collect()
    }

    /// `frame` has come.
    pub(crate) fn set(&mut self, frame: usize, feature: &[f32]) {
        let row = frame - self.group.start;
        let start = row * self.channels;
        self.values[start..start + self.channels].copy_from_slice(feature);
        self.whole.push(row);
    }

    /// `frame` cannot be decoded.
    pub(crate) fn set_broken(&mut self, frame: usize, reason: &str) {
        let row = frame - self.group.start;
        self.broken.push((row, reason.to_owned()));
    }

    /// Brings what has come to each rank together on rank 0; the others are left with nothing.
    ///
    /// # Errors
    /// If a rank is gone.
    pub(crate) fn gather(self, ranks: &Ranks) -> Result<Self> {
        if !ranks.are_several() {
            return Ok(self);
        }
        let mut all = match ranks.is_first() {
            true => self,
            false => {
                return ranks
                    .gather_bytes(&self.to_bytes()?)
                    .map(|_| Self::new(0..0, 1));
            }
        };
        for bytes in ranks.gather_bytes(&[])?.iter().skip(1) {
            all.add(bytes).context("features of another rank")?;
        }
        Ok(all)
    }

    /// A line of JSON, then the values of the rows that have a feature, in the line's order.
    fn to_bytes(&self) -> Result<Vec<u8>> {
        let said = Said {
            whole: self.whole.clone(),
            broken: self.broken.clone(),
        };
        let mut bytes = serde_json::to_vec(&said)?;
        bytes.push(b'\n');
        for row in &self.whole {
            let values = &self.values[row * self.channels..][..self.channels];
            bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
        }
        Ok(bytes)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        let end = bytes.iter().position(|&byte| byte == b'\n');
        let (said, values) = bytes.split_at(end.context("they have no first line")?);
        let said: Said = serde_json::from_slice(said)?;
        let (values, _) = values[1..].as_chunks();
        let values: Vec<f32> = values.iter().copied().map(f32::from_le_bytes).collect();
        for (row, feature) in said.whole.iter().zip(values.chunks_exact(self.channels)) {
            self.set(self.group.start + row, feature);
        }
        self.broken.extend(said.broken);
        Ok(())
    }

    fn into_array(self, value: FieldRef) -> FixedSizeListArray {
        assert_eq!(self.num_come(), self.group.len(), "every frame has come");
        let mut is_valid = vec![true; self.group.len()];
        self.broken
            .iter()
            .for_each(|(row, _)| is_valid[*row] = false);
        let nulls = (!self.broken.is_empty()).then(|| NullBuffer::from(is_valid));
        let values = Arc::new(Float32Array::from(self.values));
        FixedSizeListArray::new(value, self.channels as i32, values, nulls)
    }
}

/// What names the rows of `selection`, a row group at a time.
///
/// # Errors
/// If the catalog cannot be read.
pub(crate) fn ids<'a>(
    catalog: &'a Catalog,
    selection: &'a Selection,
) -> Result<impl Iterator<Item = Result<RecordBatch>> + 'a> {
    let mut keys = catalog.numbers::<UInt64Type>(KEY, selection)?;
    let mut texts = TEXTS
        .iter()
        .map(|(name, _)| catalog.texts(name, selection))
        .collect::<Result<Vec<_>, _>>()?;
    let schema: SchemaRef = Arc::new(Schema::new(id_fields()));
    let mut groups = BatchCoalescer::new(schema.clone(), GROUP_ROWS);
    // As many rows as the catalog gives at a time.
    let mut next_rows = move || -> Result<Option<RecordBatch>> {
        let Some(keys) = keys.next().transpose()? else {
            return Ok(None);
        };
        let mut columns: Vec<ArrayRef> = Vec::with_capacity(schema.fields().len());
        for texts in &mut texts {
            columns.push(Arc::new(
                texts
                    .next()
                    .context("the catalog's columns have different lengths")??,
            ));
        }
        columns.insert(1, Arc::new(keys));
        Ok(Some(RecordBatch::try_new(schema.clone(), columns)?))
    };
    let mut is_at_end = false;
    let mut next_group = move || -> Result<Option<RecordBatch>> {
        while !groups.has_completed_batch() && !is_at_end {
            match next_rows()? {
                Some(rows) => groups.push_batch(rows)?,
                None => {
                    groups.finish_buffered_batch()?;
                    is_at_end = true;
                }
            }
        }
        Ok(groups.next_completed_batch())
    };
    Ok(iter::from_fn(move || next_group().transpose()))
}

/// Name of a frame by its row in a group of [`ids`].
pub(crate) fn frame_id(ids: &RecordBatch, row: usize) -> &str {
    ids.column(0).as_string::<i32>().value(row)
}

fn id_fields() -> Vec<Field> {
    let mut fields: Vec<Field> = TEXTS
        .iter()
        .map(|(name, nullable)| Field::new(*name, DataType::Utf8, *nullable))
        .collect();
    fields.insert(1, Field::new(KEY, DataType::UInt64, false));
    fields
}

/// The file under way. Dropped before it is finished, it leaves nothing behind.
pub(crate) struct Table {
    parquet: Option<ArrowWriter<File>>,
    schema: SchemaRef,
    value: FieldRef,
    temporary: PathBuf,
    path: PathBuf,
}

impl Table {
    /// Begins `path` under a temporary name beside it.
    ///
    /// # Errors
    /// If it cannot be written there.
    pub(crate) fn create(path: &Path, channels: i64, note: &Note) -> Result<Self> {
        let refused = |reason: &dyn std::fmt::Display| {
            usage(format!("cannot write {path:?} (--out): {reason}"))
        };
        if path.is_dir() {
            return Err(refused(&"it is a folder"));
        }
        let whole = path::absolute(path).map_err(|error| refused(&error))?;
        let temporary = partial_name(&whole);
        let file = File::create(&temporary).map_err(|error| refused(&error))?;

        let value: FieldRef = Arc::new(Field::new("element", DataType::Float32, false));
        let mut fields = id_fields();
        fields.push(Field::new(
            "feature",
            DataType::FixedSizeList(value.clone(), channels as i32),
            true,
        ));
        let schema = Arc::new(Schema::new(fields));
        let mut parquet = ArrowWriter::try_new(file, schema.clone(), Some(properties()))?;
        let note = serde_json::to_string(note).expect("plain data serialises");
        parquet.append_key_value_metadata(KeyValue::new(NOTE_KEY.to_owned(), note));
        Ok(Self {
            parquet: Some(parquet),
            schema,
            value,
            temporary,
            path: whole,
        })
    }

    /// Appends a row group.
    ///
    /// # Errors
    /// If writing fails.
    pub(crate) fn write(&mut self, ids: &RecordBatch, features: Features) -> Result<()> {
        let mut columns = ids.columns().to_vec();
        columns.push(Arc::new(features.into_array(self.value.clone())));
        let rows = RecordBatch::try_new(self.schema.clone(), columns)
            .expect("the columns follow the schema");
        let parquet = self.parquet.as_mut().expect("present until finish");
        parquet
            .write(&rows)
            .and_then(|()| parquet.flush())
            .with_context(|| format!("writing {:?}", self.temporary))
    }

    /// Completes the file, makes it durable and gives it its name; returns its size.
    ///
    /// # Errors
    /// If writing fails.
    pub(crate) fn finish(mut self) -> Result<u64> {
        let failed = || format!("writing {:?}", self.temporary);
        let file = self
            .parquet
            .take()
            .expect("present until finish")
            .into_inner()
            .with_context(failed)?;
        file.sync_all().with_context(failed)?;
        publish(&self.temporary, &self.path).with_context(failed)?;
        Ok(file.metadata().with_context(failed)?.len())
    }
}

impl Drop for Table {
    fn drop(&mut self) {
        // Best effort; after `finish` there is no such file any more.
        let _ = fs::remove_file(&self.temporary);
    }
}

/// Names are compressed. Features are not: their bits hardly repeat, and they are read faster as
/// they are.
fn properties() -> WriterProperties {
    let feature = || ColumnPath::from(["feature", "list", "element"].map(str::to_owned).to_vec());
    WriterProperties::builder()
        .set_created_by(format!("multisiam trainer {}", env!("CARGO_PKG_VERSION")))
        .set_compression(Compression::ZSTD(
            ZstdLevel::try_new(1).expect("1 is a zstd level"),
        ))
        .set_column_compression(feature(), Compression::UNCOMPRESSED)
        .set_column_dictionary_enabled(feature(), false)
        .set_column_statistics_enabled(feature(), EnabledStatistics::None)
        .set_max_row_group_row_count(Some(GROUP_ROWS))
        .build()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn features_of_all_ranks_come_together_on_the_first() {
        for size in [1, 2, 3] {
            let parts = Ranks::in_threads(size, |ranks| {
                let mut features = Features::new(100..107, 2);
                for frame in (100..107).filter(|frame| frame % size == ranks.rank()) {
                    match frame {
                        103 => features.set_broken(frame, "line\nbreak"),
                        _ => features.set(frame, &[frame as f32, -0.0]),
                    }
                }
                features.gather(ranks).unwrap()
            });
            let all = &parts[0];
            assert_eq!(all.num_come(), 7);
            assert_eq!(all.broken(), [(3, "line\nbreak")].into());
            for row in [0, 1, 2, 4, 5, 6] {
                let found = [all.values[2 * row], all.values[2 * row + 1]].map(f32::to_bits);
                assert_eq!(found, [100.0 + row as f32, -0.0].map(f32::to_bits));
            }
            assert!(parts[1..].iter().all(|part| part.num_come() == 0));
        }
    }
}
