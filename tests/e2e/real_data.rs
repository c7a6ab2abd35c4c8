//! Real frames, as the README's first steps on one's own data.

use std::collections::BTreeSet;
use std::fs;

use serde_json::Value;

use testkit::real_data;

use crate::programs::json;

#[test]
fn a_waymo_frame_becomes_five_images() {
    let Some(waymo) = real_data("waymo") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let written = json(
        dir.path(),
        &format!(
            "ingest waymo `{}` --out X",
            waymo.join("pvps_data_one_frame.tfrecord").display()
        ),
    );
    assert_eq!(
        (&written["frames_written"], &written["frames_skipped"]),
        (&Value::from(5), &Value::from(0))
    );
    let inspected = json(dir.path(), "ingest inspect X");
    let cameras: BTreeSet<_> = inspected["by_camera"]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(
        cameras,
        [
            "FRONT",
            "FRONT_LEFT",
            "FRONT_RIGHT",
            "SIDE_LEFT",
            "SIDE_RIGHT"
        ]
        .into()
    );
    for (sql, frames) in [
        ("width = 1920 and height = 1280", 3),
        ("width = 1920 and height = 886", 2),
        (
            "time_of_day = 'Day' and weather = 'sunny' and location = 'location_sf'",
            5,
        ),
    ] {
        let found = json(dir.path(), &format!("ingest inspect X --where `{sql}`"));
        assert_eq!(found["frames"], frames, "{sql}");
    }

    let empty = json(
        dir.path(),
        &format!(
            "ingest waymo `{}` --out X",
            waymo.join("val_frame_without_images.tfrecord").display()
        ),
    );
    assert_eq!(
        (&empty["frames_written"], &empty["frames_skipped"]),
        (&Value::from(0), &Value::from(0))
    );
    assert_eq!(json(dir.path(), "ingest verify X")["frames"], 5);
}

#[test]
fn a_folder_of_street_scenes_becomes_frames() {
    let Some(street) = real_data("street_1080p") else {
        return;
    };
    let dir = tempfile::tempdir().unwrap();
    let written = json(
        dir.path(),
        &format!("ingest soda10m `{}` --out X", street.display()),
    );
    assert_eq!(written["frames_written"], 96);
}

#[test]
fn every_odd_file_is_a_row_or_a_named_skip() {
    let Some(odd) = real_data("odd") else { return };
    let dir = tempfile::tempdir().unwrap();
    let written = json(
        dir.path(),
        &format!("ingest images `{}` --out X --max-bad 10", odd.display()),
    );
    let files = fs::read_dir(&odd).unwrap().count() as u64;
    let (frames, skipped) = (
        written["frames_written"].as_u64().unwrap(),
        written["frames_skipped"].as_u64().unwrap(),
    );
    assert_eq!(frames + skipped, files);

    let report = fs::read_to_string(
        written["report"]
            .as_str()
            .map(|path| dir.path().join(path))
            .unwrap(),
    )
    .unwrap();
    for name in ["truncated.jpg", "not_a_jpeg.jpg", "empty.jpg"] {
        assert!(
            report.contains(name),
            "{name} is not in the report: {report}"
        );
    }
    for name in [
        "progressive.jpg",
        "cmyk.jpg",
        "gray.jpg",
        "exif_rotate90.jpg",
        "kitti_gray_0.png",
    ] {
        assert!(!report.contains(name), "{name} was skipped: {report}");
    }
}
