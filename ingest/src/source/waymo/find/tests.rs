use std::fs;

use super::*;
use crate::source::PassedOverFiles;
use crate::source::waymo::tfrecord::framed;

/// A folder with `files`, all empty.
fn folder(files: &[&str]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for file in files {
        put(&dir, file, b"");
    }
    dir
}

fn put(dir: &tempfile::TempDir, file: &str, content: &[u8]) {
    let path = dir.path().join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, content).unwrap();
}

/// Name and split of every job, and what was passed over.
type Seen = (Vec<(String, Option<&'static str>)>, Vec<PassedOverFiles>);

/// What is found at `path`.
fn found(path: &Path) -> Result<Seen> {
    let mut search = Search::default();
    let found = jobs(path, &mut search)?.into_iter();
    let jobs = found.map(|job| {
        let split = match &job.content {
            Content::TfRecord(file) => file.split,
            Content::CameraImages(file) => file.split,
            _ => None,
        };
        (job.id.input, split)
    });
    Ok((jobs.collect(), search.passed_over.files()))
}

fn inputs(path: &Path) -> Vec<String> {
    let (jobs, _) = found(path).unwrap();
    jobs.into_iter().map(|(input, _)| input).collect()
}

#[test]
fn of_a_folder_only_camera_images_are_taken() {
    let dir = folder(&[
        "training/camera_image/a.parquet",
        "training/camera_image/b.txt",
        "training/lidar/a.parquet",
        "training/v1/a.tfrecord",
        "training/c.parquet",
    ]);
    assert_eq!(
        inputs(dir.path()),
        ["camera_image/a.parquet", "v1/a.tfrecord"]
    );
    let component = dir.path().join("training/camera_image");
    assert_eq!(inputs(&component), ["camera_image/a.parquet"]);
    let lidar = dir.path().join("training/lidar");
    let message = found(&lidar).unwrap_err().to_string();
    assert!(message.contains("no camera images as Parquet"), "{message}");
}

#[test]
fn what_lies_beside_data_is_counted() {
    let dir = folder(&[
        "w/a.tfrecord",
        "w/a.tfrecord.idx",
        "w/b.tfrecord.idx",
        "w/c.tfrecord_.gstmp",
        "w/d.tfrecord.part",
        "w/LICENSE",
        "w/lidar/a.parquet",
        "w/.x.tfrecord",
    ]);
    let (jobs, passed_over) = found(&dir.path().join("w")).unwrap();
    assert_eq!(jobs, [("w/a.tfrecord".to_owned(), None)]);
    let counts: Vec<_> = passed_over
        .iter()
        .map(|files| (&*files.reason, &*files.kind, files.count, &*files.first))
        .collect();
    assert_eq!(
        counts,
        [
            ("hidden", ".*", 1, ".x.tfrecord"),
            ("other-component", "lidar/*.parquet", 1, "lidar/a.parquet"),
            ("other-file", ".idx", 2, "a.tfrecord.idx"),
            ("other-file", "no usual ending", 1, "LICENSE"),
            ("partial-download", ".gstmp", 1, "c.tfrecord_.gstmp"),
            ("partial-download", ".part", 1, "d.tfrecord.part"),
        ]
    );
}

#[test]
fn files_beside_data_that_a_pattern_gives_have_no_job() {
    let dir = folder(&["training/a.tfrecord", "training/a.tfrecord.idx"]);
    put(&dir, "training/b.tfrecord_.gstmp", &framed(b"begun"));
    put(&dir, "training/c.tfrecords", &framed(b"data"));
    put(&dir, "training/d.txt", b"text");
    let at = |name: &str| dir.path().join("training").join(name);
    for (name, reason) in [
        ("a.tfrecord.idx", "other-file"),
        ("b.tfrecord_.gstmp", "partial-download"),
    ] {
        let (jobs, passed_over) = found(&at(name)).unwrap();
        assert!(jobs.is_empty(), "{name}");
        assert_eq!(passed_over[0].reason, reason);
    }
    assert_eq!(
        found(&at("a.tfrecord")).unwrap().0,
        [("training/a.tfrecord".to_owned(), Some("training"))]
    );
    assert_eq!(inputs(&at("c.tfrecords")), ["training/c.tfrecords"]);
    let message = found(&at("d.txt")).unwrap_err().to_string();
    assert!(message.contains("not a TFRecord file"), "{message}");
}

#[test]
fn splits_come_from_below_the_input_and_not_from_above() {
    let dir = folder(&[
        "training/project/w/a.tfrecord",
        "training/project/w/validation/b.tfrecord",
        "training/project/w/individual_files_testing_segment-1.tfrecord",
        "training/project/w/testing_location/camera_image/c.parquet",
        "domain_adaptation/training/segment-2.tfrecord",
    ]);
    let splits = |path: &str| -> Vec<Option<&str>> {
        let (jobs, _) = found(&dir.path().join(path)).unwrap();
        jobs.into_iter().map(|(_, split)| split).collect()
    };
    assert_eq!(
        splits("training/project/w"),
        [
            None,
            Some("testing"),
            Some("testing_location"),
            Some("validation")
        ]
    );
    assert_eq!(
        splits("training/project/w/testing_location/camera_image"),
        [Some("testing_location")]
    );
    assert_eq!(splits("training/project/w/a.tfrecord"), [None]);
    for input in [
        "domain_adaptation",
        "domain_adaptation/training",
        "domain_adaptation/training/segment-2.tfrecord",
    ] {
        assert_eq!(splits(input), [Some("domain_adaptation")], "{input}");
    }
}

/// A file of the motion data set.
fn motion() -> Vec<u8> {
    let scenario: Vec<u8> = [0.0_f64, 0.1, 0.2]
        .iter()
        .flat_map(|time| [&[0x09][..], &time.to_le_bytes()].concat())
        .collect();
    framed(&scenario)
}

#[test]
fn files_of_the_motion_data_set_are_passed_over_and_named_if_there_is_nothing_else() {
    let dir = folder(&[]);
    for ix in 0..2 {
        let name = format!("motion/training.tfrecord-0000{ix}-of-00002");
        put(&dir, &name, &motion());
    }
    let message = found(dir.path()).unwrap_err().to_string();
    assert!(message.contains("motion data set"), "{message}");
    let one = dir.path().join("motion/training.tfrecord-00000-of-00002");
    assert!(found(&one).unwrap().0.is_empty());

    put(&dir, "a.tfrecord", &framed(b"anything"));
    let (jobs, passed_over) = found(dir.path()).unwrap();
    assert_eq!(jobs.len(), 1);
    assert_eq!((&*passed_over[0].reason, passed_over[0].count), (MOTION, 2));
}

#[test]
fn a_compressed_archive_of_the_motion_data_set_is_passed_over() {
    let tar_gz = |files: &[(&str, Vec<u8>)]| {
        let packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        let mut builder = tar::Builder::new(packed);
        for (name, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            builder
                .append_data(&mut header, name, &content[..])
                .unwrap();
        }
        builder.into_inner().unwrap().finish().unwrap()
    };
    let dir = folder(&[]);
    let two = [("a.tfrecord", motion()), ("b.tfrecord", motion())];
    put(&dir, "w/x.tar.gz", &tar_gz(&two));
    let message = found(&dir.path().join("w")).unwrap_err().to_string();
    assert!(message.contains("motion data set"), "{message}");
    let frames = [("c.tfrecord", framed(b"anything"))];
    put(&dir, "w/x.tar.gz", &tar_gz(&[&two[..], &frames].concat()));
    let (jobs, passed_over) = found(&dir.path().join("w")).unwrap();
    assert_eq!(jobs, [("w/c.tfrecord".to_owned(), None)]);
    assert_eq!((&*passed_over[0].reason, passed_over[0].count), (MOTION, 2));
}

#[test]
fn members_of_archives_are_called_as_if_unpacked() {
    for (archive, member, input) in [
        (
            "w/training/training_0000.tar",
            "segment-1.tfrecord",
            "training/segment-1.tfrecord",
        ),
        (
            "w/archived_files_validation_validation_0000.tar",
            "segment-1.tfrecord",
            "validation/segment-1.tfrecord",
        ),
        (
            "domain_adaptation/training/training_0000.tar",
            "segment-1.tfrecord",
            "training/segment-1.tfrecord",
        ),
        (
            "w/x.tar",
            "testing/segment-1.tfrecord",
            "testing/segment-1.tfrecord",
        ),
        ("w/x.tar", "segment-1.tfrecord", "w/segment-1.tfrecord"),
        ("x.tar", "segment-1.tfrecord", "segment-1.tfrecord"),
        (
            "w/x.tar",
            "training_0001.tar/segment-1.tfrecord",
            "w/segment-1.tfrecord",
        ),
    ] {
        assert_eq!(
            input_of_member(archive, member),
            input,
            "{archive}: {member}"
        );
    }
}

#[test]
fn a_link_that_leads_nowhere_is_a_job_that_says_so() {
    let dir = folder(&[]);
    std::os::unix::fs::symlink("/nowhere/a", dir.path().join("a.tfrecord")).unwrap();
    let jobs = jobs(dir.path(), &mut Search::default()).unwrap();
    let settings = schemas::shard::Settings::default();
    let items: Vec<_> = jobs[0].open(&settings).unwrap().collect();
    let [Ok(item)] = &items[..] else {
        panic!("{items:?}")
    };
    assert_eq!(
        item.content.as_ref().unwrap_err().reason,
        "unreadable-input"
    );
}
