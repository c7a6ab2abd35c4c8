//! A small real set, and a catalog as large as asked for that is like the small one's.
//!
//! The large catalog follows the small one's schema and footer, so it changes with the format. Its
//! shards are files of the right name and size without content: who opens a catalog looks at no
//! more than that.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, Int64Array, RecordBatch, StringArray, UInt32Array, UInt64Array, new_null_array,
};
use arrow::datatypes::{Field, Schema};
use ingest::pyramid::Builder;
use ingest::source::waymo::CAMERAS;
use jpeg::{Encoder, Layout, Raster, Restart};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions};
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::metadata::KeyValue;
use parquet::file::properties::WriterProperties;
use schemas::catalog::{
    BATCH_ROWS, CATALOG_CHECKSUM_FILE, CATALOG_FILE, ShardInfo, build, checksum_text,
};
use schemas::frame::{FrameMeta, FrameRow};
use schemas::geom::Size;
use schemas::shard::{FRAMES_DIR, Settings, ShardId, ShardWriter};

use crate::Outcome;

/// Frames of a drive, and so of a shard: 40 time steps of five cameras.
const DRIVE_FRAMES: u64 = 200;
const DRIVE_CAMERAS: u64 = 5;

/// Mean bytes of a level of a Waymo frame.
const LEVEL_BYTES: [u64; 3] = [420_000, 170_000, 50_000];

/// Writes a set of `shards` shards with JPEGs of 256 × 256 pixels into `dir`.
pub(crate) fn real_set(dir: &Path, shards: usize) -> Outcome<()> {
    fs::create_dir_all(dir.join(FRAMES_DIR))?;
    let settings = Settings::default();
    let grey = Raster::from_pixels(Size::new(256, 256), Layout::Grey, 16, &[128; 256 * 256]);
    let jpeg = Encoder::new()
        .encode(&grey, 85, false, Restart(0))
        .map_err(|defect| defect.detail)?
        .to_vec();
    let pyramid = Builder::new(&settings)
        .build(&jpeg)
        .map_err(|defect| defect.detail)?;
    for drive in 0..shards as u64 {
        let mut writer = ShardWriter::create(&dir.join(FRAMES_DIR), &shard_id(drive), &settings)?;
        for frame in 0..DRIVE_FRAMES {
            let meta = FrameMeta {
                size: pyramid.size,
                ..meta(drive, frame)
            };
            writer.push(FrameRow {
                meta,
                origin: None,
                levels: pyramid.levels.clone(),
            })?;
        }
        writer.finish(&[], None)?;
    }
    build(dir)?;
    Ok(())
}

/// Writes a catalog of `rows` rows like that of `small` into `dir`, and empty files in the place of
/// shards.
pub(crate) fn large_set(small: &Path, dir: &Path, rows: u64) -> Outcome<()> {
    let small = ArrowReaderMetadata::load(
        &File::open(small.join(CATALOG_FILE))?,
        ArrowReaderOptions::new(),
    )?;
    fs::create_dir_all(dir.join(FRAMES_DIR))?;
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(BATCH_ROWS))
        .build();
    let path = dir.join(CATALOG_FILE);
    let schema = small.schema().clone();
    let mut writer = ArrowWriter::try_new(File::create(&path)?, schema.clone(), Some(properties))?;
    let mut rng = Rng(1);
    for first in (0..rows).step_by(BATCH_ROWS) {
        let end = (first + BATCH_ROWS as u64).min(rows);
        writer.write(&batch(&schema, first..end, &mut rng)?)?;
    }
    let notes = small
        .metadata()
        .file_metadata()
        .key_value_metadata()
        .into_iter()
        .flatten();
    for note in
        notes.filter(|note| note.key.starts_with("multisiam.") && note.key != "multisiam.shards")
    {
        writer.append_key_value_metadata(note.clone());
    }
    let shards: Vec<ShardInfo> = (0..rows.div_ceil(DRIVE_FRAMES)).map(shard_info).collect();
    let note = KeyValue::new(
        "multisiam.shards".to_owned(),
        serde_json::to_string(&shards)?,
    );
    writer.append_key_value_metadata(note);
    writer.close()?;
    for shard in &shards {
        File::create(dir.join(FRAMES_DIR).join(&shard.name))?.set_len(shard.bytes)?;
    }
    let checksum = crc32c::crc32c(&fs::read(&path)?);
    fs::write(dir.join(CATALOG_CHECKSUM_FILE), checksum_text(checksum))?;
    Ok(())
}

fn shard_info(drive: u64) -> ShardInfo {
    let id = shard_id(drive);
    let bytes = DRIVE_FRAMES * LEVEL_BYTES.iter().sum::<u64>();
    ShardInfo {
        name: id.file_name(),
        bytes,
        crc32c: Rng(drive).next() as u32,
        frames: DRIVE_FRAMES,
        duplicates: 0,
        skipped: 0,
        id,
        input: None,
    }
}

fn segment(drive: u64) -> String {
    // Names of one length, so that names sort by number.
    format!(
        "{:019}_{:04}_000_{:04}_000",
        drive * 131_072_003,
        drive % 9000,
        drive % 9000 + 20
    )
}

fn shard_id(drive: u64) -> ShardId {
    let input = format!(
        "training/segment-{}_with_camera_labels.tfrecord",
        segment(drive)
    );
    ShardId {
        input,
        first_item: 0,
        end_item: None,
    }
}

fn meta(drive: u64, frame: u64) -> FrameMeta {
    let (step, camera) = (frame / DRIVE_CAMERAS, (frame % DRIVE_CAMERAS) as usize);
    let segment = segment(drive);
    let timestamp = 1_550_000_000_000_000 + drive as i64 * 20_000_000 + step as i64 * 100_003;
    let one_of = |values: &[&str]| Some(values[drive as usize % values.len()].to_owned());
    FrameMeta {
        frame_id: format!("{segment}/{timestamp}/{}", CAMERAS[camera]),
        source: format!("{}@{}", shard_id(drive).input, step * 4_100_017),
        dataset: "waymo".to_owned(),
        split: Some("training".to_owned()),
        segment: Some(segment),
        camera: Some(CAMERAS[camera].to_owned()),
        timestamp_micros: Some(timestamp),
        size: Size::new(1920, if camera < 3 { 1280 } else { 886 }),
        time_of_day: one_of(&["Day", "Day", "Day", "Night", "Dawn/Dusk", "Day", "Day"]),
        weather: one_of(&["sunny", "sunny", "rain"]),
        location: one_of(&["location_sf", "location_phx", "location_other"]),
        city: None,
    }
}

/// The rows `range`, column by column as the schema names them.
fn batch(schema: &Arc<Schema>, range: std::ops::Range<u64>, rng: &mut Rng) -> Outcome<RecordBatch> {
    let metas: Vec<FrameMeta> = range
        .clone()
        .map(|row| meta(row / DRIVE_FRAMES, row % DRIVE_FRAMES))
        .collect();
    let columns = schema
        .fields()
        .iter()
        .map(|field| column(field, &metas, range.clone(), rng));
    Ok(RecordBatch::try_new(schema.clone(), columns.collect())?)
}

fn column(
    field: &Field,
    metas: &[FrameMeta],
    range: std::ops::Range<u64>,
    rng: &mut Rng,
) -> ArrayRef {
    let text = |of: &dyn Fn(&FrameMeta) -> Option<&str>| -> ArrayRef {
        Arc::new(metas.iter().map(of).collect::<StringArray>())
    };
    let numbers = |of: &mut dyn FnMut(&FrameMeta) -> u32| -> ArrayRef {
        Arc::new(metas.iter().map(of).collect::<UInt32Array>())
    };
    let (name, level) = field.name().rsplit_once('_').unwrap_or((field.name(), ""));
    let level = level.parse::<usize>().ok();
    match (name, level) {
        _ if field.name() == "frame_id" => text(&|meta| Some(&meta.frame_id)),
        _ if field.name() == "timestamp_micros" => Arc::new(
            metas
                .iter()
                .map(|meta| meta.timestamp_micros)
                .collect::<Int64Array>(),
        ),
        _ if field.name() == "time_of_day" => text(&|meta| meta.time_of_day.as_deref()),
        ("key", _) => Arc::new(
            metas
                .iter()
                .map(|meta| Some(meta.key()))
                .collect::<UInt64Array>(),
        ),
        ("source", _) => text(&|meta| Some(&meta.source)),
        ("dataset", _) => text(&|meta| Some(&meta.dataset)),
        ("split", _) => text(&|meta| meta.split.as_deref()),
        ("segment", _) => text(&|meta| meta.segment.as_deref()),
        ("camera", _) => text(&|meta| meta.camera.as_deref()),
        ("weather", _) => text(&|meta| meta.weather.as_deref()),
        ("location", _) => text(&|meta| meta.location.as_deref()),
        ("shard", _) => Arc::new(
            range
                .map(|row| (row / DRIVE_FRAMES) as u32)
                .collect::<UInt32Array>(),
        ),
        ("row", _) => Arc::new(
            range
                .map(|row| (row % DRIVE_FRAMES) as u32)
                .collect::<UInt32Array>(),
        ),
        ("width", level) => numbers(&mut |meta| meta.size.width >> level.unwrap_or(0)),
        ("height", level) => numbers(&mut |meta| meta.size.height >> level.unwrap_or(0)),
        ("offset", Some(level)) => {
            let before: u64 = LEVEL_BYTES[..level].iter().sum();
            let frame_bytes: u64 = LEVEL_BYTES.iter().sum();
            let offset = |row: u64| row % DRIVE_FRAMES * frame_bytes + before;
            Arc::new(
                range
                    .map(offset)
                    .map(|offset| offset + rng.next() % 40_000)
                    .collect::<UInt64Array>(),
            )
        }
        ("len", Some(level)) => {
            numbers(&mut |_| (LEVEL_BYTES[level] / 2 + rng.next() % LEVEL_BYTES[level]) as u32)
        }
        ("crc32c", Some(_)) => numbers(&mut |_| rng.next() as u32),
        ("mcu", Some(_)) => numbers(&mut |_| 16),
        ("tile", Some(_)) => numbers(&mut |_| 128),
        ("encoding", Some(level)) => text(&|_| Some(if level == 0 { "lossless" } else { "q93" })),
        _ => new_null_array(field.data_type(), metas.len()),
    }
}

/// SplitMix64.
struct Rng(u64);

impl Rng {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }
}
