use std::sync::Arc;

use schemas::shard::ShardId;

use super::*;
use crate::source::archive::Archive;
use crate::source::choice::Choice;
use crate::source::waymo::names::drive_of;
use crate::source::waymo::place::{CameraImages, TfRecord};

fn job(path: &str, weight: u64, context: Option<&str>) -> Job {
    let drive = drive_of(path).map(str::to_owned);
    let content = match path.ends_with(".parquet") {
        true => Content::CameraImages(CameraImages {
            path: path.into(),
            split: None,
            drive,
        }),
        false => Content::TfRecord(TfRecord {
            place: Place::File(path.into()),
            split: None,
            drive,
            context: context.map(str::to_owned),
        }),
    };
    Job {
        id: ShardId {
            input: path.into(),
            first_item: 0,
            end_item: None,
        },
        content,
        weight,
    }
}

/// Names of the jobs that are to be done.
fn settled(jobs: &[Job], search: &mut Search) -> Vec<String> {
    let are_kept = settle(&jobs.iter().collect::<Vec<_>>(), search).unwrap();
    let jobs = jobs.iter().zip(are_kept);
    jobs.filter(|(_, is_kept)| *is_kept)
        .map(|(job, _)| job.id.input.clone())
        .collect()
}

/// What is taken of files with these sizes and drives of their first frames, and the notices.
fn taken(files: &[(&str, u64, Option<&str>)]) -> (Vec<String>, Vec<String>, u64) {
    let jobs = files
        .iter()
        .map(|&(path, weight, context)| job(path, weight, context));
    let mut search = Search::default();
    let inputs = settled(&jobs.collect::<Vec<_>>(), &mut search);
    (inputs, search.notices, search.passed_over.count())
}

#[test]
fn a_plain_tfrecord_comes_before_a_compressed_one_before_parquet() {
    let (v1, gz, v2) = (
        "v1/segment-1_2_with_camera_labels.tfrecord",
        "gz/segment-1_2_with_camera_labels.tfrecord.gz",
        "v2/camera_image/1_2.parquet",
    );
    let (inputs, notices, passed_over) = taken(&[(v2, 5, None), (gz, 5, None), (v1, 5, None)]);
    assert_eq!((inputs, passed_over), (vec![v1.to_owned()], 2));
    assert_eq!(notices.len(), 1);
    assert!(
        notices[0].contains("1 drive is") && notices[0].contains("1 as TFRecord file"),
        "{notices:?}"
    );
    let (inputs, _, _) = taken(&[(v2, 5, None), (gz, 5, None)]);
    assert_eq!(inputs, [gz]);
}

#[test]
fn an_empty_or_shorter_file_is_not_preferred() {
    let [a, b, v2] = [
        "a/segment-1.tfrecord",
        "b/segment-1.tfrecord",
        "v2/camera_image/1.parquet",
    ];
    assert_eq!(taken(&[(a, 4, None), (b, 5, None)]).0, [b]);
    assert_eq!(taken(&[(a, 5, None), (b, 5, None)]).0, [a]);
    assert_eq!(taken(&[(a, 0, None), (v2, 5, None)]).0, [v2]);
}

/// The job of a file of `weight` bytes in a tar in `dir`.
fn job_in_tar(dir: &Path, name: &str, weight: u64) -> Job {
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(weight);
    let content = vec![7_u8; weight as usize];
    builder
        .append_data(&mut header, name, &content[..])
        .unwrap();
    let path = dir.join("x.tar");
    std::fs::write(&path, builder.into_inner().unwrap()).unwrap();
    let archive = Archive::open(&path, &|_| Choice::Item, &mut Search::default()).unwrap();
    let mut job = job(&format!("x/{name}"), weight, None);
    if let Content::TfRecord(file) = &mut job.content {
        file.place = Place::Member(Arc::new(archive), 0);
    }
    job
}

#[test]
fn of_a_plain_file_and_one_in_an_archive_the_longer_one_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let in_tar = job_in_tar(dir.path(), "segment-1.tfrecord", 5);
    for (plain, weight, expected) in [
        ("a/segment-1.tfrecord", 4, "x/segment-1.tfrecord"),
        ("a/segment-1.tfrecord", 5, "a/segment-1.tfrecord"),
        ("z/segment-1.tfrecord", 5, "z/segment-1.tfrecord"),
        ("a/segment-1.tfrecord.gz", 9, "x/segment-1.tfrecord"),
    ] {
        let jobs = [job(plain, weight, None), in_tar.clone()];
        let taken = settled(&jobs, &mut Search::default());
        assert_eq!(taken, [expected], "{plain} of {weight} bytes");
    }
}

#[test]
fn a_drive_that_the_set_has_stays_what_it_was_made_of() {
    let jobs = [
        "v1/segment-1.tfrecord",
        "gz/segment-1.tfrecord.gz",
        "v2/camera_image/1.parquet",
    ]
    .map(|path| job(path, 5, None));
    for made_of in &jobs {
        let mut search = Search {
            finished: Arc::new([made_of.id.file_name()].into()),
            ..Search::default()
        };
        assert_eq!(settled(&jobs, &mut search), [&*made_of.id.input]);
    }
}

#[test]
fn other_drives_and_names_that_say_none_stay() {
    let files = [
        ("a/segment-1.tfrecord", 5, Some("x")),
        ("b/segment-1.tfrecord", 5, Some("y")),
        ("a/clip.tfrecord", 5, Some("z")),
        ("b/clip.tfrecord", 5, Some("z")),
        ("c/segment-2.tfrecord", 5, Some("x")),
    ];
    let (inputs, notices, passed_over) = taken(&files);
    assert_eq!((inputs.len(), notices.len(), passed_over), (5, 0, 0));
}

#[test]
fn one_file_given_twice_is_no_news() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("segment-1.tfrecord");
    std::fs::write(&path, "").unwrap();
    let given = |path: &Path| {
        let mut job = job(&path.to_string_lossy(), 5, None);
        job.id.input = "d/segment-1.tfrecord".into();
        job
    };
    let jobs = vec![
        given(&path),
        given(&dir.path().join("./segment-1.tfrecord")),
    ];
    let mut search = Search::default();
    assert_eq!(settled(&jobs, &mut search).len(), 1);
    assert_eq!((search.notices.len(), search.passed_over.count()), (0, 0));
}

#[test]
fn motion_files_are_one_notice_or_if_nothing_else_is_given_the_error() {
    let search = || {
        let mut search = Search::default();
        for name in ["m/a", "m/b"] {
            search.passed_over.add(MOTION, "TFRecord", name);
        }
        search
    };
    let error = settle(&[], &mut search()).unwrap_err().to_string();
    assert!(
        error.contains("motion data set") && error.contains("m/a"),
        "{error}"
    );
    let mut with_others = search();
    settled(&[job("a.tfrecord", 5, None)], &mut with_others);
    let [notice] = &with_others.notices[..] else {
        panic!("{:?}", with_others.notices)
    };
    assert!(
        notice.contains("2 files") && notice.contains("m/a"),
        "{notice}"
    );
}

#[test]
fn nothing_to_read_says_why() {
    let mut search = Search::default();
    search
        .passed_over
        .add("partial-download", ".part", "t/a.tfrecord.part");
    let error = settle(&[], &mut search).unwrap_err().to_string();
    assert!(
        error.contains("partial-download") && error.contains("a.tfrecord.part"),
        "{error}"
    );
}
