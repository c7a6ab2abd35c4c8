//! Real driving data, where there is some.

use std::collections::BTreeMap;

use schemas::catalog::Catalog;
use schemas::frame::Encoding;
use schemas::geom::Size;
use schemas::shard::FrameEntry;
use serde_json::{Value, json};

use crate::support::{ingest, ingest_json, ingest_to};
use testkit::real_data;

fn frames(dir: &std::path::Path) -> Vec<FrameEntry> {
    let catalog = Catalog::open(dir).unwrap();
    let batches: Vec<_> = catalog.rows().unwrap().map(Result::unwrap).collect();
    batches.into_iter().flatten().map(|row| row.frame).collect()
}

#[test]
fn a_waymo_frame_becomes_five_rows() {
    let Some(input) = real_data("waymo/pvps_data_one_frame.tfrecord") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let summary = ingest_json("waymo", &input, out.path(), &[]);
    assert_eq!(
        (&summary["frames_written"], &summary["frames_skipped"]),
        (&json!(5), &json!(0))
    );

    let frames = frames(out.path());
    let cameras: Vec<_> = frames
        .iter()
        .map(|frame| frame.meta.camera.clone().unwrap())
        .collect();
    assert_eq!(
        cameras,
        [
            "FRONT",
            "FRONT_LEFT",
            "SIDE_LEFT",
            "FRONT_RIGHT",
            "SIDE_RIGHT"
        ]
    );
    for frame in &frames {
        let meta = &frame.meta;
        let camera = meta.camera.as_deref().unwrap();
        let height = if camera.starts_with("SIDE") {
            886
        } else {
            1280
        };
        assert_eq!(meta.size, Size::new(1920, height), "{camera}");
        let circumstances =
            [&meta.time_of_day, &meta.location, &meta.weather].map(|text| text.as_deref().unwrap());
        assert_eq!(circumstances, ["Day", "location_sf", "sunny"]);
        let (segment, timestamp) = (
            meta.segment.as_deref().unwrap(),
            meta.timestamp_micros.unwrap(),
        );
        assert_eq!(meta.frame_id, format!("{segment}/{timestamp}/{camera}"));
        assert_eq!(
            frame.levels[0].as_ref().unwrap().encoding,
            Encoding::Lossless
        );
        // A quarter of 886 rows is less than a view.
        assert_eq!(frame.levels[2].is_some(), height == 1280, "{camera}");
    }
}

#[test]
fn only_the_cameras_asked_for_are_kept() {
    let Some(input) = real_data("waymo/pvps_data_one_frame.tfrecord") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let summary = ingest_json(
        "waymo",
        &input,
        out.path(),
        &["--cameras", "front,SIDE_LEFT", "--levels", "1,2"],
    );
    assert_eq!(summary["frames_written"], 2);
    let cameras: Vec<_> = frames(out.path())
        .into_iter()
        .map(|frame| frame.meta.camera.unwrap())
        .collect();
    assert_eq!(cameras, ["FRONT", "SIDE_LEFT"]);
}

#[test]
fn a_frame_without_images_is_no_error() {
    let Some(input) = real_data("waymo/val_frame_without_images.tfrecord") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let summary = ingest_json("waymo", &input, out.path(), &[]);
    assert_eq!(
        (&summary["frames_written"], &summary["frames_skipped"]),
        (&json!(0), &json!(0))
    );
    assert_eq!(frames(out.path()).len(), 0);
    assert!(
        ingest(["verify".as_ref(), out.path().as_os_str()])
            .status
            .success()
    );
}

#[test]
fn a_folder_of_street_scenes_stands_in_for_soda10m() {
    let Some(input) = real_data("street_1080p") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    let summary = ingest_json("soda10m", &input, out.path(), &[]);
    assert_eq!(
        (&summary["frames_written"], &summary["frames_skipped"]),
        (&json!(96), &json!(0))
    );
    let frames = frames(out.path());
    assert!(
        frames.iter().all(
            |frame| frame.meta.size == Size::new(1920, 1080) && frame.meta.dataset == "soda10m"
        )
    );
    assert!(frames.is_sorted_by_key(|frame| &frame.meta.frame_id));
    assert_eq!(frames[0].meta.frame_id, "street_1080p/back_camera_00.jpg");
}

#[test]
fn every_odd_file_is_a_right_row_or_a_named_skip() {
    let Some(input) = real_data("odd") else {
        return;
    };
    let out = tempfile::tempdir().unwrap();
    // Three broken files of 22 are more than the default 1 %; the set and the report are complete
    // all the same.
    let output = ingest_to("images", &input, out.path(), &[]);
    assert_eq!(output.status.code(), Some(1));
    let report: Value =
        serde_json::from_slice(&std::fs::read(out.path().join("report.json")).unwrap()).unwrap();
    let skipped: BTreeMap<&str, &str> = report["skipped_items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| {
            (
                item["source"].as_str().unwrap(),
                item["reason"].as_str().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("odd/empty.jpg", "empty-file"),
        ("odd/not_a_jpeg.jpg", "not-an-image"),
        ("odd/truncated.jpg", "truncated-jpeg"),
    ];
    assert_eq!(skipped, BTreeMap::from(expected));

    let rows = frames(out.path());
    let files = input.read_dir().unwrap().count();
    assert_eq!(rows.len() + skipped.len(), files);
    let of = |name: &str| {
        rows.iter()
            .find(|row| row.meta.frame_id == format!("odd/{name}"))
            .unwrap()
    };
    for (name, size, encoding) in [
        ("progressive.jpg", Size::new(960, 640), Encoding::Lossless),
        ("gray.jpg", Size::new(960, 640), Encoding::Lossless),
        ("s422.jpg", Size::new(960, 640), Encoding::Lossless),
        ("s444.jpg", Size::new(960, 640), Encoding::Lossless),
        ("cmyk.jpg", Size::new(960, 640), Encoding::Quality(93)),
        (
            "exif_rotate90.jpg",
            Size::new(640, 960),
            Encoding::Quality(93),
        ),
        (
            "kitti_gray_0.png",
            Size::new(1241, 376),
            Encoding::Quality(93),
        ),
        (
            "waymo_front_rgb.png",
            Size::new(1920, 1280),
            Encoding::Quality(93),
        ),
        (
            "small_odd_size.jpg",
            Size::new(333, 217),
            Encoding::Lossless,
        ),
        ("tiny.jpg", Size::new(100, 60), Encoding::Lossless),
    ] {
        let row = of(name);
        assert_eq!(
            (row.meta.size, row.levels[0].as_ref().unwrap().encoding),
            (size, encoding),
            "{name}"
        );
    }
    assert!(
        ingest(["verify".as_ref(), out.path().as_os_str()])
            .status
            .success()
    );
}
