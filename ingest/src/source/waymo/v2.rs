//! Version 2: Parquet files of the component `camera_image`, a row an image.
//!
//! Only the key columns and the JPEG are read. What holds for the whole drive stands in the
//! component `stats`, in `../stats/` under the same file name; where that is missing, time of day,
//! weather and location are not stated.
//!
//! One page of the file is in memory at a time. Writers make pages of a megabyte, but also one of
//! all images of a row group (its dictionary), so what is read of a drive at once can be as large
//! as the drive: 0.4 GB, twice if compressed. That is why images are copied out of their pages, a
//! few rows at a time: none holds its page longer than needed.

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray, BinaryArray, RecordBatch, StringArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use parquet::arrow::arrow_reader::ParquetRecordBatchReader;
use prost::bytes::Bytes;

use super::drive::{Drive, camera};
use super::messages::Stats;
use super::place::{self, CameraImages};
use super::table::{Table, Wanted, bad};
use crate::cpu_time::{Stage, lap};
use crate::error::{Defect, Error, Result, Trouble};
use crate::source::item::{Item, SourceImage};

const SEGMENT: &str = "key.segment_context_name";
const TIMESTAMP: &str = "key.frame_timestamp_micros";
const CAMERA: &str = "key.camera_name";
const IMAGE: &str = "[CameraImageComponent].image";
const IMAGE_COLUMNS: [Wanted; 4] = [
    (SEGMENT, is_text),
    (TIMESTAMP, |data_type| *data_type == DataType::Int64),
    (CAMERA, |data_type| {
        data_type.is_integer() || is_text(data_type)
    }),
    (IMAGE, |data_type| *data_type == DataType::Binary),
];

const TIME_OF_DAY: &str = "[StatsComponent].time_of_day";
const LOCATION: &str = "[StatsComponent].location";
const WEATHER: &str = "[StatsComponent].weather";
const STATS_COLUMNS: [Wanted; 4] = [
    (SEGMENT, is_text),
    (TIME_OF_DAY, is_text),
    (LOCATION, is_text),
    (WEATHER, is_text),
];

fn is_text(data_type: &DataType) -> bool {
    *data_type == DataType::Utf8
}

/// A Parquet file whose place does not say what it holds must have this component's columns.
///
/// # Errors
/// If it cannot be read, or has not.
pub(super) fn check_is_camera_image(path: &Path) -> Result<()> {
    match Table::open(path, &IMAGE_COLUMNS) {
        Ok(_) => Ok(()),
        Err(Trouble::Run(error)) => Err(error),
        Err(Trouble::Item(_)) => {
            let advice = "`ingest waymo` reads the component camera_image: give camera_image/*.parquet, or the folder";
            Err(Error::input(
                "this is no camera_image file of Waymo Open Dataset v2",
                path,
                advice,
            ))
        }
    }
}

/// The images of a file that is stored under the name `input`; only those of `cameras` unless
/// empty.
pub(crate) fn items<'a>(
    file: &'a CameraImages,
    input: &'a str,
    cameras: &'a BTreeSet<String>,
) -> Result<impl Iterator<Item = Result<Item>> + 'a> {
    let path = &file.path;
    let file_bytes = path.metadata().map_or(0, |file| file.len());
    let mut lost = Vec::new();
    let opened = match place::open_readable(path) {
        Ok(_) if file_bytes == 0 => {
            lost.push(Item::of_empty_file(input));
            None
        }
        Ok(_) => or_lost(
            Table::open(path, &IMAGE_COLUMNS),
            input.to_owned(),
            file_bytes,
            &mut lost,
        )?,
        Err(trouble) => or_lost(Err(trouble), format!("{input}@0"), file_bytes, &mut lost)?,
    };
    let stats = or_lost(
        stats_beside(path),
        format!("stats of {input}"),
        0,
        &mut lost,
    )?
    .unwrap_or_default();
    let rows = opened.map(|table| Rows {
        group_rows: table.group_rows(),
        table,
        input,
        split: file.split,
        cameras,
        stats,
        group: 0,
        row: 0,
        reader: None,
    });
    let found = rows.into_iter().flatten().flat_map(|items| match items {
        Ok(items) => items.into_iter().map(Ok).collect(),
        Err(error) => vec![Err(error)],
    });
    Ok(lost.into_iter().map(Ok).chain(found))
}

/// Takes damage as an item of `source` that is lost, and with it `unread_bytes` of images.
fn or_lost<T>(
    found: Result<T, Trouble>,
    source: String,
    unread_bytes: u64,
    lost: &mut Vec<Item>,
) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(Trouble::Run(error)) => Err(error),
        Err(Trouble::Item(defect)) => {
            lost.push(Item::lost(source, unread_bytes, defect));
            Ok(None)
        }
    }
}

/// The circumstances of every drive that the `stats` file beside `path` names. They are the same in
/// all rows of a drive.
fn stats_beside(path: &Path) -> Result<HashMap<String, Stats>, Trouble> {
    let path = place_of_stats(path);
    let mut stats = HashMap::new();
    if !path.exists() {
        return Ok(stats);
    }
    let table = Table::open(&path, &STATS_COLUMNS)?;
    for group in 0..table.group_rows().len() {
        let mut reader = table.read_group(group)?;
        while let Some(batch) = table.next_batch(&mut reader)? {
            let [segments, times_of_day, locations, weathers] =
                [SEGMENT, TIME_OF_DAY, LOCATION, WEATHER].map(|name| text(&batch, name));
            for (row, segment) in segments.iter().enumerate() {
                let value = |column: &StringArray| {
                    column.is_valid(row).then(|| column.value(row).to_owned())
                };
                let of_row = || Stats {
                    time_of_day: value(&times_of_day),
                    location: value(&locations),
                    weather: value(&weathers),
                };
                stats
                    .entry(segment.unwrap_or_default().to_owned())
                    .or_insert_with(of_row);
            }
        }
    }
    Ok(stats)
}

/// `stats/a.parquet` of `camera_image/a.parquet`; beside `training_camera_image_a.parquet`, which
/// is what a browser calls it, `training_stats_a.parquet`.
fn place_of_stats(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let name = absolute.file_name().unwrap_or_default();
    let folder = absolute.parent().unwrap_or(Path::new("/"));
    let text = name.to_string_lossy();
    match text.split_once("_camera_image_") {
        Some((split, drive)) if !folder.ends_with("camera_image") => {
            folder.join(format!("{split}_stats_{drive}"))
        }
        _ => {
            let root = folder.parent().unwrap_or(Path::new("/"));
            root.join("stats").join(name)
        }
    }
}

/// A column of text or integers as text.
fn text(batch: &RecordBatch, name: &str) -> StringArray {
    let column = batch
        .column_by_name(name)
        .expect("the column was asked for");
    cast(column, &DataType::Utf8)
        .expect("its type was checked")
        .as_string()
        .clone()
}

/// Reads a file's rows in order, some at a time.
struct Rows<'a> {
    table: Table,
    input: &'a str,
    split: Option<&'static str>,
    cameras: &'a BTreeSet<String>,
    stats: HashMap<String, Stats>,
    group_rows: Vec<u64>,
    /// The row group that is read, or is next.
    group: usize,
    /// Number of the next row in the file.
    row: u64,
    reader: Option<ParquetRecordBatchReader>,
}

impl Iterator for Rows<'_> {
    type Item = Result<Vec<Item>>;

    fn next(&mut self) -> Option<Self::Item> {
        while self.group < self.group_rows.len() {
            let batch = self.next_batch();
            lap(Stage::Read);
            match batch {
                Ok(Some(batch)) => {
                    let items = self.items(&batch);
                    self.row += batch.num_rows() as u64;
                    lap(Stage::Parse);
                    return Some(Ok(items));
                }
                Ok(None) => self.end_group(),
                Err(Trouble::Item(defect)) => {
                    return Some(Ok(vec![self.lose_rest_of_group(&defect)]));
                }
                Err(Trouble::Run(error)) => {
                    self.group = self.group_rows.len();
                    return Some(Err(error));
                }
            }
        }
        None
    }
}

impl Rows<'_> {
    fn next_batch(&mut self) -> Result<Option<RecordBatch>, Trouble> {
        let reader = match &mut self.reader {
            Some(reader) => reader,
            None => self.reader.insert(self.table.read_group(self.group)?),
        };
        self.table.next_batch(reader)
    }

    fn end_group(&mut self) {
        self.reader = None;
        self.group += 1;
        self.row = self.group_rows[..self.group].iter().sum();
    }

    fn lose_rest_of_group(&mut self, defect: &Defect) -> Item {
        let (source, first, group) = (self.source(self.row), self.row, self.group);
        self.end_group();
        let lost_rows = self.row - first;
        let detail = format!(
            "rows {first} to {} are lost: {}",
            self.row.max(first + 1) - 1,
            defect.detail
        );
        let share = lost_rows as f64 / self.group_rows[group].max(1) as f64;
        let unread_bytes = self.table.group_bytes(group) as f64 * share;
        Item::lost(source, unread_bytes as u64, bad(detail))
    }

    fn source(&self, row: u64) -> String {
        format!("{}@row-{row}", self.input)
    }

    fn items(&self, batch: &RecordBatch) -> Vec<Item> {
        let segments = text(batch, SEGMENT);
        let timestamps = batch[TIMESTAMP].as_primitive::<Int64Type>();
        let cameras = text(batch, CAMERA);
        let images = batch[IMAGE].as_binary::<i32>();
        let rows = segments.iter().zip(timestamps).zip(&cameras).enumerate();
        let items = rows.filter_map(|(ix, ((segment, timestamp), camera_name))| {
            let source = self.source(self.row + ix as u64);
            let jpeg = jpeg(images, ix);
            let weight = jpeg.len() as u64;
            let content = match (segment, timestamp, camera_name) {
                (Some(segment), Some(timestamp), Some(name)) => {
                    let image = camera(name)
                        .map(|camera| self.image(segment, timestamp, camera, jpeg, &source));
                    image.transpose()?
                }
                _ => Err(bad(
                    "the row lacks its segment, timestamp or camera".to_owned()
                )),
            };
            Some(Item {
                source,
                weight,
                unread_bytes: 0,
                content,
            })
        });
        items.collect()
    }

    fn image(
        &self,
        segment: &str,
        timestamp: i64,
        camera: &str,
        jpeg: Bytes,
        source: &str,
    ) -> Option<SourceImage> {
        let unknown = Stats::default();
        let stats = self.stats.get(segment).unwrap_or(&unknown);
        let drive = Drive {
            split: self.split,
            context: segment,
            segment,
            stats,
            cameras: self.cameras,
        };
        drive
            .image(Some(timestamp), camera, jpeg)
            .map(|image| image.at(source))
    }
}

/// An image in the rows that it was read with.
struct InRow {
    images: BinaryArray,
    row: usize,
}

impl AsRef<[u8]> for InRow {
    fn as_ref(&self) -> &[u8] {
        self.images.value(self.row)
    }
}

/// The image of a row; a null one is empty, and so becomes a named skip when it is decoded.
fn jpeg(images: &BinaryArray, row: usize) -> Bytes {
    match images.is_null(row) {
        true => Bytes::new(),
        false => Bytes::from_owner(InRow {
            images: images.clone(),
            row,
        }),
    }
}
