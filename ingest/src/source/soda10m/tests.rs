use std::fs;

use super::*;

fn of(input: &str, relative: &str) -> (String, String) {
    let Facts { split, city, .. } = facts(input, relative, &Tags::default());
    (split.unwrap_or_default(), city.unwrap_or_default())
}

#[test]
fn names_carry_split_and_city() {
    assert_eq!(
        of("unlabel", "image_3/UNLABEL_01_BJ_000_00000000072719.jpg"),
        ("3".into(), "BJ".into())
    );
    assert_eq!(
        of("unlabel/image_8", "UNLABEL_01_GZ_000_00000000000001.jpg"),
        ("8".into(), "GZ".into())
    );
    assert_eq!(
        of("labeled", "train/HT_TRAIN_000001_SH_000.jpg"),
        ("train".into(), "SH".into())
    );
    assert_eq!(
        of("Labeled", "HT_VAL_000001_SZ_000.jpg"),
        ("val".into(), "SZ".into())
    );
}

#[test]
fn the_split_may_be_the_archive() {
    let name = "UNLABEL_01_BJ_000_00000000072719.jpg";
    for (input, folder) in [
        ("soda/image_7.tar", ""),
        ("soda/x.tar", "SSLAD-2D/unlabel/image_7/"),
        ("soda/soda_image_7.zip", ""),
    ] {
        assert_eq!(
            of(input, &format!("{folder}{name}")).0,
            "7",
            "{input} {folder}"
        );
    }
}

#[test]
fn other_names_carry_nothing() {
    assert_eq!(
        of("street_1080p", "back_camera_00.jpg"),
        (String::new(), String::new())
    );
    assert_eq!(of("x", "UNLABEL_7.jpg"), (String::new(), String::new()));
}

#[test]
fn tags_come_before_names() {
    let mut tags = Tags::default();
    let json = r#"[{"file_name": "HT_VAL_1_SZ_0.jpg", "city": "Shenzhen", "period": "Night", "weather": "Clear"}]"#;
    tags.read(json.as_bytes()).unwrap();
    tags.finish();
    let facts = facts("labeled", "val/HT_VAL_1_SZ_0.jpg", &tags);
    let expected = Facts {
        split: Some("val".into()),
        time_of_day: Some("Night".into()),
        weather: Some("Clear".into()),
        city: Some("Shenzhen".into()),
        ..Facts::default()
    };
    assert_eq!(facts, expected);
}

/// Writes files of one byte.
fn write(root: &Path, files: &[&str]) {
    for file in files {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, "x").unwrap();
    }
}

/// A tar of one byte a file.
fn write_tar(root: &Path, name: &str, files: &[&str]) {
    let mut builder = tar::Builder::new(Vec::new());
    for file in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(1);
        builder.append_data(&mut header, file, &b"x"[..]).unwrap();
    }
    fs::create_dir_all(root).unwrap();
    fs::write(root.join(name), builder.into_inner().unwrap()).unwrap();
}

/// The frames of every input.
fn inputs(path: &Path, search: &mut Search) -> BTreeMap<String, Vec<String>> {
    let mut inputs: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for job in jobs(path, search).unwrap() {
        let frames = job
            .glances()
            .map(|glance| glance.meta.unwrap().frame_id)
            .collect::<Vec<_>>();
        inputs
            .entry(job.id.input.clone())
            .or_default()
            .extend(frames);
    }
    inputs
}

fn names(inputs: &BTreeMap<String, Vec<String>>) -> Vec<&str> {
    inputs.keys().map(String::as_str).collect()
}

#[test]
fn nothing_below_a_root_is_dropped_and_every_split_is_an_input() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[
            "labeled/labeled_trainval/SSLAD-2D/labeled/train/HT_TRAIN_1_SH_0.jpg",
            "labeled/labeled_trainval/SSLAD-2D/labeled/val/HT_VAL_1_SH_0.jpg",
            "labeled/labeled_test/SSLAD-2D/labeled/test/HT_TEST_1_SH_0.jpg",
            "labeled/labeled_test/SSLAD-2D/labeled/loose.jpg",
            "unlabeled/image_0/SSLAD-2D/unlabel/image_0/UNLABEL_0_BJ_0_1.jpg",
            "Unlabeled/image_1/UNLABEL_1_BJ_0_1.jpg",
            "image_2/UNLABEL_2_BJ_0_1.jpg",
            "street/x.jpg",
        ],
    );
    write_tar(dir.path(), "image_3.tar", &["image_3/UNLABEL_3_BJ_0_1.jpg"]);
    let found = inputs(dir.path(), &mut Search::default());
    let root = short_name(dir.path(), 1);
    let archive = format!("{root}/image_3.tar");
    let expected = BTreeMap::from(
        [
            (
                "labeled/train",
                "labeled/train/HT_TRAIN_1_SH_0.jpg".to_owned(),
            ),
            ("labeled/val", "labeled/val/HT_VAL_1_SH_0.jpg".to_owned()),
            ("labeled/test", "labeled/test/HT_TEST_1_SH_0.jpg".to_owned()),
            ("labeled/(loose)", "labeled/loose.jpg".to_owned()),
            (
                "unlabel/image_0",
                "unlabel/image_0/UNLABEL_0_BJ_0_1.jpg".to_owned(),
            ),
            (
                "Unlabeled/image_1",
                "unlabel/image_1/UNLABEL_1_BJ_0_1.jpg".to_owned(),
            ),
            ("image_2", "unlabel/image_2/UNLABEL_2_BJ_0_1.jpg".to_owned()),
            (&archive, "unlabel/image_3/UNLABEL_3_BJ_0_1.jpg".to_owned()),
            (&root, format!("{root}/street/x.jpg")),
        ]
        .map(|(input, frame)| (input.to_owned(), vec![frame])),
    );
    assert_eq!(found, expected);
}

#[test]
fn a_split_is_the_same_input_from_wherever_it_is_given() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[
            "SSLAD-2D/Unlabel/image_0/UNLABEL_01_BJ_000_1.jpg",
            "SSLAD-2D/Unlabel/image_1/UNLABEL_01_BJ_000_2.jpg",
            "SSLAD-2D/labeled/val/HT_VAL_1_SZ_0.jpg",
        ],
    );
    let all = ["Unlabel/image_0", "Unlabel/image_1", "labeled/val"];
    for (folder, expected) in [
        ("", &all[..]),
        ("SSLAD-2D", &all),
        ("SSLAD-2D/Unlabel", &all[..2]),
        ("SSLAD-2D/Unlabel/image_0", &all[..1]),
        ("SSLAD-2D/labeled", &all[2..]),
    ] {
        let found = inputs(&dir.path().join(folder), &mut Search::default());
        assert_eq!(names(&found), expected, "{folder}");
    }
}

#[test]
fn a_split_in_two_places_is_read_once() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[
            "a/unlabel/image_0/UNLABEL_01_BJ_000_1.jpg",
            "b/Unlabel/image_0/UNLABEL_01_BJ_000_1.jpg",
            "b/Unlabel/image_0/UNLABEL_01_BJ_000_2.jpg",
            "image_0/UNLABEL_01_BJ_000_2.jpg",
            "image_0/UNLABEL_01_BJ_000_3.jpg",
            "street/A/x.jpg",
            "street/a/x.jpg",
        ],
    );
    let mut search = Search::default();
    let found = inputs(dir.path(), &mut search);
    let number = |frame: &str| frame.chars().nth_back(4).unwrap();
    let numbers = |input: &str| {
        found[input]
            .iter()
            .map(|frame| number(frame))
            .collect::<String>()
    };
    assert_eq!(numbers("unlabel/image_0"), "1");
    assert_eq!(numbers("Unlabel/image_0"), "2");
    assert_eq!(numbers("image_0"), "3");
    assert_eq!(found[&short_name(dir.path(), 1)].len(), 2);
    assert_eq!(search.passed_over.count(), 2);
    assert_eq!(search.notices.len(), 2, "{:?}", search.notices);
}

#[test]
fn an_archive_beside_its_folder_is_read_or_passed_over() {
    let image = |number: u32| format!("UNLABEL_01_BJ_000_{number}.jpg");
    let in_folder = |number: u32| format!("Unlabeled/image_0/{}", image(number));
    let in_tar: Vec<String> = (1..=2)
        .map(|number| format!("image_0/{}", image(number)))
        .collect();
    let in_tar: Vec<&str> = in_tar.iter().map(String::as_str).collect();
    for (unpacked, reason, num_inputs) in [
        (&[1, 2, 3][..], "unpacked-archive", 1),
        (&[1, 3], "in-archive", 2),
    ] {
        let dir = tempfile::tempdir().unwrap();
        for &number in unpacked {
            write(dir.path(), &[&in_folder(number)]);
        }
        write_tar(dir.path(), "image_0.tar", &in_tar);
        let mut search = Search::default();
        let found = inputs(dir.path(), &mut search);
        assert_eq!(found.len(), num_inputs, "{found:?}");
        assert_eq!(found.values().flatten().count(), 3);
        let passed_over = search.passed_over.files();
        assert_eq!((&*passed_over[0].reason, passed_over[0].count), (reason, 1));
        assert_eq!(search.notices.len(), 1);
    }
}

#[test]
fn of_two_archives_of_one_split_one_is_read() {
    let dir = tempfile::tempdir().unwrap();
    let files = [
        "unlabel/image_0/UNLABEL_01_BJ_000_1.jpg",
        "unlabel/image_0/UNLABEL_01_BJ_000_2.jpg",
    ];
    write_tar(dir.path(), "all.tar", &files);
    write_tar(dir.path(), "image_0.tar", &files[1..]);
    let mut search = Search::default();
    let found = inputs(dir.path(), &mut search);
    assert_eq!(found.values().map(Vec::len).collect::<Vec<_>>(), [2]);
    assert_eq!((search.passed_over.count(), search.notices.len()), (1, 1));
}

#[test]
fn items_that_the_set_holds_under_whole_parts_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    write(
        dir.path(),
        &[
            "SSLAD-2D/unlabel/image_0/UNLABEL_01_BJ_000_1.jpg",
            "SSLAD-2D/unlabel/image_0/UNLABEL_01_BJ_000_2.jpg",
            "image_1/UNLABEL_01_BJ_000_3.jpg",
        ],
    );
    let root = short_name(dir.path(), 1);
    let stored = |sources: &[&str]| Search {
        stored: Arc::new(sources.iter().map(|source| unpacked::key(source)).collect()),
        ..Search::default()
    };
    let old = format!("{root}/image_1/UNLABEL_01_BJ_000_3.jpg");
    let mut search = stored(&["unlabel/image_0/UNLABEL_01_BJ_000_2.jpg", &old]);
    let found = inputs(dir.path(), &mut search);
    assert_eq!(
        found,
        BTreeMap::from([(
            "unlabel/image_0".to_owned(),
            vec!["unlabel/image_0/UNLABEL_01_BJ_000_1.jpg".to_owned()]
        )])
    );
    assert_eq!(search.num_stored, 2);
    let mut all = stored(&["unlabel/image_0/UNLABEL_01_BJ_000_1.jpg"]);
    Arc::make_mut(&mut all.stored).extend(search.stored.iter());
    assert_eq!(jobs(dir.path(), &mut all).unwrap().len(), 0);
}

#[test]
fn tags_lie_in_the_part_or_above_it_up_to_the_set() {
    let dir = tempfile::tempdir().unwrap();
    let image = "SSLAD-2D/unlabel/image_0/UNLABEL_01_BJ_000_1.jpg";
    fs::create_dir_all(dir.path().join(image).parent().unwrap()).unwrap();
    fs::write(dir.path().join(image), "").unwrap();
    fs::write(dir.path().join("outside.json"), "damaged").unwrap();
    let folder = dir.path().join("SSLAD-2D/unlabel/image_0");
    let mut search = Search::default();
    assert!(jobs(&folder, &mut search).is_ok());
    assert!(search.notices.is_empty());
    for near in [
        "SSLAD-2D/tags.json",
        "SSLAD-2D/unlabel/tags.json",
        "SSLAD-2D/unlabel/image_0/tags.json",
    ] {
        let near = dir.path().join(near);
        fs::write(&near, "[").unwrap();
        let mut search = Search::default();
        assert!(jobs(&folder, &mut search).is_ok());
        let notice = &search.notices[0];
        assert!(
            notice.contains("tags.json") && notice.contains("line 1"),
            "{notice}"
        );
        assert_eq!(search.passed_over.files()[0].reason, "foreign-json");
        let mut named = Search {
            tag_files: vec![near.clone()],
            ..Search::default()
        };
        let message = jobs(&folder, &mut named).unwrap_err().to_string();
        assert!(
            message.contains("damaged") && message.contains("line 1"),
            "{message}"
        );
        fs::remove_file(near).unwrap();
    }
}
