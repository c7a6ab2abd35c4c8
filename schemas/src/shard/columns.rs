//! The columns that a shard and the catalog have in common, as Arrow sees them.
//!
//! One list of names and types; the builders and the readers below follow its order.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, ArrowPrimitiveType, AsArray, Int64Array, PrimitiveArray, RecordBatch,
    StringArray, StringBuilder, UInt32Array, UInt32Builder, UInt64Array, UInt64Builder,
};
use arrow::array::{ArrayBuilder, Int64Builder};
use arrow::datatypes::{DataType, Field};

use crate::frame::{Encoding, FrameMeta, Origin};
use crate::geom::Size;
use crate::{Error, Result};

/// `(name, type, nullable)` of every metadata column, in file order.
const META: [(&str, DataType, bool); 14] = [
    ("frame_id", DataType::Utf8, false),
    ("key", DataType::UInt64, false),
    ("source", DataType::Utf8, false),
    ("dataset", DataType::Utf8, false),
    ("split", DataType::Utf8, true),
    ("segment", DataType::Utf8, true),
    ("camera", DataType::Utf8, true),
    ("timestamp_micros", DataType::Int64, true),
    ("width", DataType::UInt32, false),
    ("height", DataType::UInt32, false),
    ("time_of_day", DataType::Utf8, true),
    ("weather", DataType::Utf8, true),
    ("location", DataType::Utf8, true),
    ("city", DataType::Utf8, true),
];

/// Fields of the metadata columns.
pub(crate) fn meta_fields() -> Vec<Field> {
    let meta = META
        .iter()
        .map(|(name, data_type, nullable)| Field::new(*name, data_type.clone(), *nullable));
    let origin = ORIGIN
        .iter()
        .map(|(name, data_type)| Field::new(*name, data_type.clone(), true));
    meta.chain(origin).collect()
}

/// `(name, type)` of what is known of the image that a frame was made of. Format 2 lacks them.
const ORIGIN: [(&str, DataType); 2] = [
    ("source_bytes", DataType::UInt64),
    ("source_crc32c", DataType::UInt32),
];

/// Fields of what is known of level `level`, null where the frame is too small to have it.
pub(crate) fn level_fields(level: u8) -> Vec<Field> {
    let number = |name: &str| Field::new(format!("{name}_{level}"), DataType::UInt32, true);
    let mut fields: Vec<Field> = ["len", "crc32c", "width", "height", "mcu", "tile"]
        .into_iter()
        .map(number)
        .collect();
    fields.push(Field::new(
        format!("encoding_{level}"),
        DataType::Utf8,
        true,
    ));
    fields
}

/// Collects metadata columns.
#[derive(Default)]
pub(crate) struct MetaColumns {
    strings: [StringBuilder; 10],
    key: UInt64Builder,
    timestamp: Int64Builder,
    width: UInt32Builder,
    height: UInt32Builder,
    source_bytes: UInt64Builder,
    source_crc32c: UInt32Builder,
}

impl MetaColumns {
    pub(crate) fn push(&mut self, meta: &FrameMeta, origin: Option<Origin>) {
        let strings = [
            Some(&meta.frame_id),
            Some(&meta.source),
            Some(&meta.dataset),
            meta.split.as_ref(),
            meta.segment.as_ref(),
            meta.camera.as_ref(),
            meta.time_of_day.as_ref(),
            meta.weather.as_ref(),
            meta.location.as_ref(),
            meta.city.as_ref(),
        ];
        for (column, value) in self.strings.iter_mut().zip(strings) {
            column.append_option(value);
        }
        self.key.append_value(meta.key());
        self.timestamp.append_option(meta.timestamp_micros);
        self.width.append_value(meta.size.width);
        self.height.append_value(meta.size.height);
        self.source_bytes
            .append_option(origin.map(|origin| origin.bytes));
        self.source_crc32c
            .append_option(origin.map(|origin| origin.crc32c));
    }

    pub(crate) fn len(&self) -> usize {
        self.key.len()
    }

    /// The columns in the order of [`meta_fields`]; the builder is empty afterwards.
    pub(crate) fn finish(&mut self) -> Vec<ArrayRef> {
        let [
            frame_id,
            source,
            dataset,
            split,
            segment,
            camera,
            time_of_day,
            weather,
            location,
            city,
        ] = self
            .strings
            .each_mut()
            .map(|column| Arc::new(column.finish()) as ArrayRef);
        let key = Arc::new(self.key.finish());
        let timestamp = Arc::new(self.timestamp.finish());
        let source_bytes = Arc::new(self.source_bytes.finish());
        let source_crc32c = Arc::new(self.source_crc32c.finish());
        let (width, height) = (
            Arc::new(self.width.finish()),
            Arc::new(self.height.finish()),
        );
        vec![
            frame_id,
            key,
            source,
            dataset,
            split,
            segment,
            camera,
            timestamp,
            width,
            height,
            time_of_day,
            weather,
            location,
            city,
            source_bytes,
            source_crc32c,
        ]
    }
}

/// What a row says of one stored level besides where it lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LevelFacts {
    pub len: u32,
    pub crc32c: u32,
    pub size: Size,
    pub mcu: u32,
    pub tile: u32,
    pub encoding: Encoding,
}

/// Collects the columns of one level.
#[derive(Default)]
pub(crate) struct LevelColumns {
    numbers: [UInt32Builder; 6],
    encoding: StringBuilder,
}

impl LevelColumns {
    pub(crate) fn push(&mut self, facts: Option<&LevelFacts>) {
        let numbers = facts.map(|f| [f.len, f.crc32c, f.size.width, f.size.height, f.mcu, f.tile]);
        for (ix, column) in self.numbers.iter_mut().enumerate() {
            column.append_option(numbers.map(|n| n[ix]));
        }
        self.encoding
            .append_option(facts.map(|f| f.encoding.to_string()));
    }

    /// The columns in the order of [`level_fields`]; the builder is empty afterwards.
    pub(crate) fn finish(&mut self) -> Vec<ArrayRef> {
        let mut columns: Vec<ArrayRef> = self
            .numbers
            .iter_mut()
            .map(|column| Arc::new(column.finish()) as ArrayRef)
            .collect();
        columns.push(Arc::new(self.encoding.finish()));
        columns
    }
}

/// A record batch whose columns are fetched by name and type; a missing one is a damaged file.
pub(crate) struct Rows<'a> {
    batch: &'a RecordBatch,
    path: &'a Path,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(batch: &'a RecordBatch, path: &'a Path) -> Self {
        Self { batch, path }
    }

    fn column(&self, name: &str) -> Result<&'a ArrayRef> {
        self.batch
            .column_by_name(name)
            .ok_or_else(|| Error::damaged(self.path, format!("no column {name}")))
    }

    fn typed<T: ?Sized>(
        &self,
        name: &str,
        typed: impl Fn(&'a ArrayRef) -> Option<&'a T>,
    ) -> Result<&'a T> {
        typed(self.column(name)?)
            .ok_or_else(|| Error::damaged(self.path, format!("column {name} has another type")))
    }

    pub(crate) fn strings(&self, name: &str) -> Result<&'a StringArray> {
        self.typed(name, |column| column.as_string_opt::<i32>())
    }

    pub(crate) fn numbers<T: ArrowPrimitiveType>(
        &self,
        name: &str,
    ) -> Result<&'a PrimitiveArray<T>> {
        self.typed(name, |column| column.as_primitive_opt::<T>())
    }

    pub(crate) fn u32s(&self, name: &str) -> Result<&'a UInt32Array> {
        self.numbers(name)
    }

    pub(crate) fn u64s(&self, name: &str) -> Result<&'a UInt64Array> {
        self.numbers(name)
    }

    fn i64s(&self, name: &str) -> Result<&'a Int64Array> {
        self.numbers(name)
    }

    /// The metadata of every row.
    pub(crate) fn metas(&self) -> Result<Vec<FrameMeta>> {
        let text = |name: &str| self.strings(name);
        let (frame_id, source, dataset) = (text("frame_id")?, text("source")?, text("dataset")?);
        let (split, segment, camera) = (text("split")?, text("segment")?, text("camera")?);
        let (time_of_day, weather) = (text("time_of_day")?, text("weather")?);
        let (location, city) = (text("location")?, text("city")?);
        let (width, height) = (self.u32s("width")?, self.u32s("height")?);
        let (key, timestamp) = (self.u64s("key")?, self.i64s("timestamp_micros")?);
        let optional =
            |column: &StringArray, row| column.is_valid(row).then(|| column.value(row).to_owned());
        (0..self.batch.num_rows())
            .map(|row| {
                let meta = FrameMeta {
                    frame_id: frame_id.value(row).to_owned(),
                    source: source.value(row).to_owned(),
                    dataset: dataset.value(row).to_owned(),
                    split: optional(split, row),
                    segment: optional(segment, row),
                    camera: optional(camera, row),
                    timestamp_micros: timestamp.is_valid(row).then(|| timestamp.value(row)),
                    size: Size::new(width.value(row), height.value(row)),
                    time_of_day: optional(time_of_day, row),
                    weather: optional(weather, row),
                    location: optional(location, row),
                    city: optional(city, row),
                };
                match meta.key() == key.value(row) {
                    true => Ok(meta),
                    false => Err(Error::damaged(
                        self.path,
                        format!("key of frame {:?}", meta.frame_id),
                    )),
                }
            })
            .collect()
    }

    /// The image that each row was made of.
    pub(crate) fn origins(&self) -> Result<Vec<Option<Origin>>> {
        let [bytes, crc32c] = ORIGIN.map(|(name, _)| name);
        if self.batch.column_by_name(bytes).is_none() {
            return Ok(vec![None; self.batch.num_rows()]);
        }
        let (bytes, crc32c) = (self.u64s(bytes)?, self.u32s(crc32c)?);
        let origins = bytes.iter().zip(crc32c).map(|(bytes, crc32c)| {
            Some(Origin {
                bytes: bytes?,
                crc32c: crc32c?,
            })
        });
        Ok(origins.collect())
    }

    /// What every row says of level `level`.
    pub(crate) fn levels(&self, level: u8) -> Result<Vec<Option<LevelFacts>>> {
        let number = |name: &str| self.u32s(&format!("{name}_{level}"));
        let (len, crc32c) = (number("len")?, number("crc32c")?);
        let (width, height) = (number("width")?, number("height")?);
        let (mcu, tile) = (number("mcu")?, number("tile")?);
        let encoding = self.strings(&format!("encoding_{level}"))?;
        (0..self.batch.num_rows())
            .map(|row| {
                if len.is_null(row) {
                    return Ok(None);
                }
                let encoding = encoding
                    .value(row)
                    .parse()
                    .map_err(|detail| Error::damaged(self.path, detail))?;
                Ok(Some(LevelFacts {
                    len: len.value(row),
                    crc32c: crc32c.value(row),
                    size: Size::new(width.value(row), height.value(row)),
                    mcu: mcu.value(row),
                    tile: tile.value(row),
                    encoding,
                }))
            })
            .collect()
    }
}
