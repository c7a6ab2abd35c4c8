//! Damaged, changed and unreadable archives.

use super::*;

#[test]
fn damage_in_archives_costs_what_it_hits_and_is_listed_with_its_place() {
    let dir = tempfile::tempdir().unwrap();
    let files = images("train/", 4);
    let path = |name: &str| dir.path().join(name);
    let tar = tar_of(&files);
    let starts: Vec<usize> = files
        .iter()
        .scan(0, |at, (_, bytes)| {
            let start = *at;
            *at += 512 + bytes.len().next_multiple_of(512);
            Some(start)
        })
        .collect();
    let mut header = tar.clone();
    header[starts[1] + 10] ^= 1;
    let zip = zip_of(&files, CompressionMethod::DEFLATE);
    let mut member = zip.clone();
    let at = zip
        .windows(14)
        .position(|window| window == b"train/0002.jpg")
        .unwrap()
        + 14
        + 500;
    member[at] ^= 1;
    let twice = [
        &files[..],
        &[("./train/0001.jpg".to_owned(), files[2].1.clone())],
    ]
    .concat();
    for (name, bytes) in [
        ("header.tar", &header[..]),
        ("cut.tar", &tar[..starts[3] + 700]),
        ("twice.tar", &tar_of(&twice)),
        ("member.zip", &member),
        ("cut.zip", &zip[..zip.len() - 100]),
        ("page.zip", b"<html>404</html>"),
    ] {
        write(&path("in").join(name), bytes);
    }
    let set = path("set");
    let output = ingest_to("images", &path("in"), &set, &[]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let expected = [
        (format!("in/header.tar@{}", starts[1]), "damaged-archive"),
        (format!("in/cut.tar@{}", starts[3]), "truncated-archive"),
        ("in/member.zip/train/0002.jpg".into(), "damaged-member"),
        ("in/cut.zip@0".into(), "damaged-archive"),
        ("in/page.zip@0".into(), "damaged-archive"),
    ];
    assert_eq!(
        skipped(&set),
        expected
            .into_iter()
            .map(|(place, reason)| (place, reason.to_owned()))
            .collect()
    );
    let before = tree(&set);
    let summary = ingest_json("images", &path("in"), &set, &["--max-bad", "5"]);
    assert_eq!(
        (&summary["frames_kept"], &summary["frames_written"]),
        (&json!(4), &json!(3 + 3 + 3)),
        "what lacks something is read again"
    );
    assert_eq!(tree(&set), before);
    assert!(
        ingest(["verify".as_ref(), set.as_os_str()])
            .status
            .success()
    );
}

#[test]
fn an_archive_that_has_changed_is_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, set) = (dir.path().join("in/x.tar"), dir.path().join("set"));
    let files = images("", 5);
    write(&archive, &tar_of(&files));
    ingest_json("images", &archive, &set, &[]);
    let renamed = [&files[..4], &[("other.jpg".to_owned(), files[4].1.clone())]].concat();
    for changed in [files[..4].to_vec(), images("", 6), renamed] {
        write(&archive, &tar_of(&changed));
        let again = ingest_json("images", &archive, &set, &[]);
        assert_eq!(again["frames_written"], changed.len());
        let fresh = dir.path().join("fresh");
        ingest_json("images", &archive, &fresh, &[]);
        assert_same_tree(&set, &fresh);
        fs::remove_dir_all(&fresh).unwrap();
    }
}

#[test]
fn a_whole_archive_is_not_given_up_for_a_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    let (archive, set) = (dir.path().join("in/x.tar"), dir.path().join("set"));
    let whole = tar_of(&images("", 5));
    write(&archive, &whole);
    ingest_json("images", &archive, &set, &[]);
    let before = tree(&set.join("frames"));
    write(&archive, &whole[..whole.len() / 2]);
    let output = ingest_to("images", &archive, &set, &[]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("in/x.tar"), "{}", stderr(&output));
    assert_eq!(tree(&set.join("frames")), before);
    write(&archive, &whole);
    let again = ingest_json("images", &archive, &set, &[]);
    assert_eq!(
        (&again["frames_kept"], &again["frames_written"]),
        (&json!(5), &json!(0))
    );
}

#[test]
fn archives_that_cannot_be_read_are_one_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| -> PathBuf { dir.path().join(name) };
    let tar = tar_of(&images("", 1));
    for name in ["x.tar.part00", "x.tar.part02", "y.tar.bz2", "z.7z"] {
        write(&path(name), &tar);
    }
    write(
        &path("labels.tar"),
        &tar_of(&[("a_gtFine_labelIds.png".to_owned(), Vec::new())]),
    );
    write(&path("empty.tar"), b"");
    write(&path("notes.txt"), b"");
    for command in ["images", "soda10m"] {
        for (name, expected) in [
            ("x.tar.part00", ["missing", "x.tar.part01"]),
            ("y.tar.bz2", ["compressed", "bunzip2 -k"]),
            ("z.7z", ["compressed", "7z x"]),
            ("labels.tar", ["holds no images", ".zip"]),
            ("empty.tar", ["holds no images", ".zip"]),
            ("notes.txt", ["neither a folder nor an archive", ".zip"]),
        ] {
            assert_refused(
                command,
                &path(name),
                &[],
                &[&expected[..], &[name.split('.').next().unwrap()]].concat(),
            );
        }
    }
}
