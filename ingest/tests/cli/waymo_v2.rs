//! Waymo's Parquet files: the same frames as from TFRecords, and what happens to damaged ones.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, Float64Array, Int8Array, Int64Array, RecordBatch, StringArray,
};
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use parquet::file::reader::{FileReader, SerializedFileReader};
use schemas::frame::FrameMeta;
use schemas::geom::Size;
use serde_json::Value;

use crate::support::{
    StoredFrame, assert_refused, assert_same_tree, framed, frames_of, ingest, ingest_json,
    ingest_to, jpeg, record, skipped_in, stderr,
};
use testkit::real_data;

/// A drive of two time steps with cameras 1 and 4, as `support::record` has them.
const DRIVE: &str = "drive_7";

/// Rows of `camera_image`; `None` is null.
struct Images {
    segments: Vec<Option<&'static str>>,
    timestamps: Vec<i64>,
    cameras: Vec<Option<i8>>,
    jpegs: Vec<Option<Vec<u8>>>,
}

impl Images {
    fn of_drive() -> Self {
        let keys = [(0, 1), (0, 4), (1, 1), (1, 4)];
        let image =
            |(step, camera): (i64, i8)| jpeg(Size::new(480, 464), step as u32 * 8 + camera as u32);
        Self {
            segments: vec![Some(DRIVE); 4],
            timestamps: keys.iter().map(|key| key.0).collect(),
            cameras: keys.iter().map(|key| Some(key.1)).collect(),
            jpegs: keys.into_iter().map(|key| Some(image(key))).collect(),
        }
    }

    fn columns(&self) -> Vec<(&'static str, ArrayRef)> {
        let jpegs = self.jpegs.iter().map(Option::as_deref).collect();
        vec![
            (
                "index",
                Arc::new(Float64Array::from(vec![0.5; self.cameras.len()])) as ArrayRef,
            ),
            (
                "key.segment_context_name",
                Arc::new(StringArray::from(self.segments.clone())),
            ),
            (
                "key.frame_timestamp_micros",
                Arc::new(Int64Array::from(self.timestamps.clone())),
            ),
            (
                "key.camera_name",
                Arc::new(Int8Array::from(self.cameras.clone())),
            ),
            (
                "[CameraImageComponent].image",
                Arc::new(BinaryArray::from_opt_vec(jpegs)),
            ),
        ]
    }
}

fn stats_columns() -> Vec<(&'static str, ArrayRef)> {
    let text = |value: Option<&str>| Arc::new(StringArray::from(vec![value; 2])) as ArrayRef;
    vec![
        ("key.segment_context_name", text(Some(DRIVE))),
        ("[StatsComponent].time_of_day", text(Some("Night"))),
        ("[StatsComponent].location", text(None)),
        ("[StatsComponent].weather", text(Some("rain"))),
    ]
}

/// Writes `columns` in row groups of two rows.
fn write_parquet(path: &Path, columns: Vec<(&'static str, ArrayRef)>, compression: Compression) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let batch = RecordBatch::try_from_iter_with_nullable(
        columns.into_iter().map(|(name, c)| (name, c, true)),
    )
    .unwrap();
    let properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(2))
        .build();
    let mut writer = ArrowWriter::try_new(
        File::create(path).unwrap(),
        batch.schema(),
        Some(properties),
    )
    .unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
}

/// Writes the drive and its circumstances as the data set lays them out below `root`.
fn write_drive(root: &Path) {
    write_parquet(
        &root.join("camera_image/drive_7.parquet"),
        Images::of_drive().columns(),
        Compression::SNAPPY,
    );
    write_parquet(
        &root.join("stats/drive_7.parquet"),
        stats_columns(),
        Compression::SNAPPY,
    );
}

#[test]
fn a_drive_gives_the_same_frames_in_both_versions() {
    let dir = tempfile::tempdir().unwrap();
    let (v1, v2) = (
        dir.path().join("v1/training"),
        dir.path().join("v2/training"),
    );
    fs::create_dir_all(&v1).unwrap();
    fs::write(
        v1.join("segment-drive_7.tfrecord"),
        [framed(&record(DRIVE, 0)), framed(&record(DRIVE, 1))].concat(),
    )
    .unwrap();
    write_drive(&v2);
    let (out_1, out_2) = (dir.path().join("out_1"), dir.path().join("out_2"));
    assert_eq!(ingest_json("waymo", &v1, &out_1, &[])["frames_written"], 4);
    assert_eq!(ingest_json("waymo", &v2, &out_2, &[])["frames_written"], 4);
    let found = without_source(&out_2);
    assert!(found == without_source(&out_1));
    let meta = &found["drive_7/1/SIDE_LEFT"].0;
    assert_eq!(
        (meta.split.as_deref(), meta.time_of_day.as_deref()),
        (Some("training"), Some("Night"))
    );
}

#[test]
fn the_real_drive_gives_the_same_jpegs_in_both_versions() {
    let Some(v1) = real_data("waymo/pvps_data_one_frame.tfrecord") else {
        return;
    };
    let Some(v2) = real_data("waymo_v2") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let (out_1, out_2) = (dir.path().join("out_1"), dir.path().join("out_2"));
    ingest_json("waymo", &v1, &out_1, &[]);
    assert_eq!(ingest_json("waymo", &v2, &out_2, &[])["frames_written"], 5);
    let (found, expected) = (without_source(&out_2), without_source(&out_1));
    assert_eq!(found.len(), expected.len());
    for (frame_id, (meta, levels)) in found {
        // The sample comes without the component `stats`.
        let unstated = FrameMeta {
            time_of_day: None,
            weather: None,
            location: None,
            ..expected[&frame_id].0.clone()
        };
        assert_eq!(meta, unstated);
        assert!(
            levels == expected[&frame_id].1,
            "the levels of {frame_id} differ"
        );
    }
}

/// The frames of a set; where they were read is what differs between the versions.
fn without_source(set: &Path) -> BTreeMap<String, StoredFrame> {
    let mut frames = frames_of(set);
    frames.values_mut().for_each(|frame| frame.0.source.clear());
    frames
}

#[test]
fn root_component_file_and_pattern_are_one_input() {
    let dir = tempfile::tempdir().unwrap();
    write_drive(&dir.path().join("in/training"));
    write_parquet(
        &dir.path().join("in/training/lidar/drive_7.parquet"),
        stats_columns(),
        Compression::SNAPPY,
    );
    let whole = dir.path().join("whole");
    assert_eq!(
        ingest_json(
            "waymo",
            &dir.path().join("in"),
            &whole,
            &["--cameras", "FRONT"]
        )["frames_written"],
        2
    );
    for (ix, input) in [
        "camera_image",
        "camera_image/drive_7.parquet",
        "camera_image/*.parquet",
    ]
    .iter()
    .enumerate()
    {
        let out = dir.path().join(format!("out_{ix}"));
        ingest_json(
            "waymo",
            &dir.path().join("in/training").join(input),
            &out,
            &["--cameras", "FRONT"],
        );
        // What lies beside the component is passed over, if it is looked at.
        for set in [&whole, &out] {
            let path = set.join("report.json");
            let mut report: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
            for key in ["passed_over", "passed_over_crc32c"] {
                report.as_object_mut().unwrap().remove(key);
            }
            fs::write(&path, report.to_string()).unwrap();
        }
        assert_same_tree(&whole, &out);
    }
}

#[test]
fn another_component_is_one_clear_line() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("lidar/drive_7.parquet");
    write_parquet(&file, stats_columns(), Compression::SNAPPY);
    let expected = ["no camera_image file", "drive_7.parquet"];
    assert_refused("waymo", &file, &[], &expected);
    assert!(!file.with_extension("refused").exists());
}

#[test]
fn damage_costs_only_what_it_hits() {
    let dir = tempfile::tempdir().unwrap();
    let images = |name: &str| dir.path().join("in/camera_image").join(name);
    let write = |name: &str, images_of: &dyn Fn(&mut Images)| {
        let mut rows = Images::of_drive();
        let segment: &'static str = name.to_owned().leak();
        rows.segments = vec![Some(segment); 4];
        images_of(&mut rows);
        write_parquet(
            &images(&format!("{name}.parquet")),
            rows.columns(),
            Compression::UNCOMPRESSED,
        );
    };
    write("null_image", &|rows| rows.jpegs[1] = None);
    write("null_keys", &|rows| {
        (rows.segments[0], rows.cameras[3]) = (None, None)
    });
    write("unknown_camera", &|rows| rows.cameras[2] = Some(9));
    write("stats_damaged", &|_| ());
    fs::create_dir_all(dir.path().join("in/stats")).unwrap();
    fs::write(
        dir.path().join("in/stats/stats_damaged.parquet"),
        "PAR1 and nothing else",
    )
    .unwrap();

    write("truncated", &|_| ());
    let file = File::options()
        .write(true)
        .open(images("truncated.parquet"))
        .unwrap();
    file.set_len(file.metadata().unwrap().len() - 100).unwrap();
    fs::write(images("empty.parquet"), "").unwrap();
    let mut columns = Images::of_drive().columns();
    columns.remove(3);
    write_parquet(&images("no_camera.parquet"), columns, Compression::SNAPPY);
    let mut columns = Images::of_drive().columns();
    columns[4].1 = Arc::new(StringArray::from(vec!["no JPEG"; 4]));
    write_parquet(&images("text_image.parquet"), columns, Compression::SNAPPY);

    // The first page header of the images in the first of two row groups.
    write("damaged_page", &|_| ());
    let path = images("damaged_page.parquet");
    let metadata = SerializedFileReader::new(File::open(&path).unwrap())
        .unwrap()
        .metadata()
        .clone();
    let chunk = metadata.row_group(0).column(4);
    let page = chunk
        .dictionary_page_offset()
        .unwrap_or(chunk.data_page_offset()) as usize;
    let mut bytes = fs::read(&path).unwrap();
    bytes[page..page + 8].fill(0xFF);
    fs::write(&path, bytes).unwrap();

    let out = dir.path().join("out");
    let output = ingest_to("waymo", &dir.path().join("in"), &out, &["--max-bad", "20"]);
    assert!(output.status.success(), "{}", stderr(&output));
    let at = |file: &str, row: &str| format!("camera_image/{file}.parquet{row}");
    let expected = [
        (at("damaged_page", "@row-0"), "bad-parquet"),
        (at("empty", "@0"), "empty-file"),
        (at("no_camera", ""), "bad-parquet"),
        (at("null_image", "@row-1"), "empty-file"),
        (at("null_keys", "@row-0"), "bad-parquet"),
        (at("null_keys", "@row-3"), "bad-parquet"),
        (
            format!("stats of {}", at("stats_damaged", "")),
            "bad-parquet",
        ),
        (at("text_image", ""), "bad-parquet"),
        (at("truncated", ""), "bad-parquet"),
        (at("unknown_camera", "@row-2"), "unknown-camera"),
    ];
    assert_eq!(
        skipped_in(&out),
        expected.map(|(source, reason)| (source, reason.to_owned()))
    );
    assert_eq!(frames_of(&out).len(), 2 + 3 + 2 + 3 + 4);
    assert!(
        ingest(["verify".as_ref(), out.as_os_str()])
            .status
            .success()
    );
}

/// What the report says of `content` as a file of camera images.
fn report_of(content: &[u8]) -> String {
    let dir = tempfile::tempdir().unwrap();
    let (input, out) = (dir.path().join("camera_image"), dir.path().join("out"));
    fs::create_dir(&input).unwrap();
    fs::write(input.join("drive.parquet"), content).unwrap();
    ingest_to("waymo", &input, &out, &[]);
    fs::read_to_string(out.join("report.json")).unwrap()
}

// Both files were found by fuzzing.

#[test]
fn a_page_header_that_goes_on_behind_the_end_of_the_file_is_damage() {
    // It ends in a list of a billion entries, none of which is there.
    let report = report_of(include_bytes!("../fixtures/endless_page_header.parquet"));
    assert!(report.contains("bad-parquet"), "{report}");
}

#[test]
fn a_dictionary_of_more_values_than_bytes_is_damage_and_reserves_no_memory() {
    let report = report_of(include_bytes!("../fixtures/huge_dictionary.parquet"));
    assert!(
        report.contains("bad-parquet") && report.contains("a dictionary of"),
        "{report}"
    );
}
