//! Splits in the layouts that people have: found, listed, decoded, refused.

use super::*;

fn save_grey(path: &Path, values: &[u8]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::GrayImage::from_raw(values.len() as u32, 1, values.to_vec())
        .unwrap()
        .save(path)
        .unwrap();
}

fn save_rgb(path: &Path, values: &[[u8; 3]]) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    image::RgbImage::from_raw(values.len() as u32, 1, values.concat())
        .unwrap()
        .save(path)
        .unwrap();
}

fn open(dir: &Path, split: &str) -> Result<Dataset> {
    Dataset::open(dir, split, Unlabelled::Refuse)
}

fn labels(dir: &Path, split: &str) -> Vec<Vec<u8>> {
    let set = open(dir, split).unwrap();
    set.samples()
        .iter()
        .map(|sample| sample.load().unwrap().labels)
        .collect()
}

#[test]
fn cityscapes_label_ids_become_train_ids() {
    let dir = tempfile::tempdir().unwrap();
    save_rgb(
        &dir.path().join("leftImg8bit/val/ulm/a_1_leftImg8bit.png"),
        &[[1; 3]; 3],
    );
    save_grey(
        &dir.path().join("gtFine/val/ulm/a_1_gtFine_labelIds.png"),
        &[7, 26, 4],
    );
    assert_eq!(labels(dir.path(), "val"), [[0, 13, IGNORED]]);
    save_grey(
        &dir.path()
            .join("gtFine/val/ulm/a_1_gtFine_labelTrainIds.png"),
        &[1, 2, 255],
    );
    assert_eq!(labels(dir.path(), "val"), [[1, 2, IGNORED]]);
    let message = open(dir.path(), "train").unwrap_err().to_string();
    assert!(message.contains("no labelled split \"train\""), "{message}");
}

#[test]
fn bdd_colours_and_ids_are_read() {
    let dir = tempfile::tempdir().unwrap();
    save_rgb(&dir.path().join("images/10k/train/x.png"), &[[9; 3]; 2]);
    save_rgb(
        &dir.path().join("labels/sem_seg/colormaps/train/x.png"),
        &[[128, 64, 128], [0, 0, 0]],
    );
    assert_eq!(labels(dir.path(), "train"), [[0, IGNORED]]);
    save_grey(
        &dir.path().join("labels/sem_seg/masks/train/x.png"),
        &[18, 255],
    );
    assert_eq!(labels(dir.path(), "train"), [[18, IGNORED]]);
}

#[test]
fn pairs_lie_side_by_side_and_misfits_are_named() {
    let dir = tempfile::tempdir().unwrap();
    for name in ["b", "a"] {
        save_rgb(&dir.path().join(format!("train/{name}.png")), &[[9; 3]; 2]);
    }
    save_grey(&dir.path().join("train/a_labelTrainIds.png"), &[3, 255]);
    save_grey(&dir.path().join("train/b_labelTrainIds.png"), &[19, 0]);
    let set = open(dir.path(), "train").unwrap();
    assert_eq!(
        (set.len(), set.first(1).samples()),
        (2, &set.samples()[..1])
    );
    let message = set.samples()[1].load().unwrap_err().to_string();
    assert!(message.contains("b_labelTrainIds.png"), "{message}");
    save_grey(&dir.path().join("train/b_labelTrainIds.png"), &[1]);
    let message = set.samples()[1].load().unwrap_err().to_string();
    assert!(
        message.contains("1×1") || message.contains("1x1"),
        "{message}"
    );
}

/// A split of pairs, `labelled` of them with labels.
fn pairs(dir: &Path, names: &[&str], labelled: &[&str]) {
    for name in names {
        save_rgb(&dir.join(format!("train/{name}")), &[[9; 3]; 2]);
    }
    for stem in labelled {
        save_grey(
            &dir.join(format!("train/{stem}_labelTrainIds.png")),
            &[3, 255],
        );
    }
}

#[test]
fn images_without_labels_are_all_listed_or_left_out_and_counted() {
    let dir = tempfile::tempdir().unwrap();
    pairs(dir.path(), &["a.png", "b.png", "c.png"], &["b"]);
    let message = open(dir.path(), "train").unwrap_err().to_string();
    assert!(
        message.contains("2 of 3") && message.contains("a.png, c.png;"),
        "{message}"
    );
    assert!(
        message.contains("--skip-unlabelled") && !message.contains('\n'),
        "{message}"
    );
    let set = Dataset::open(dir.path(), "train", Unlabelled::Skip).unwrap();
    assert_eq!((set.len(), set.unlabelled()), (1, 2));
    fs::remove_file(dir.path().join("train/b_labelTrainIds.png")).unwrap();
    save_grey(&dir.path().join("train/x_labelTrainIds.png"), &[3]);
    for unlabelled in [Unlabelled::Refuse, Unlabelled::Skip] {
        let none = Dataset::open(dir.path(), "train", unlabelled)
            .unwrap_err()
            .to_string();
        assert!(none.contains("none of the 3 images"), "{none}");
    }
}

#[test]
fn a_split_without_an_image_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    for folder in ["leftImg8bit/val/ulm", "gtFine/val/ulm"] {
        fs::create_dir_all(dir.path().join(folder)).unwrap();
    }
    fs::write(dir.path().join("leftImg8bit/val/ulm/README.txt"), "soon").unwrap();
    for unlabelled in [Unlabelled::Refuse, Unlabelled::Skip] {
        let none = Dataset::open(dir.path(), "val", unlabelled).unwrap_err();
        let line = none.to_string();
        assert!(
            line.contains("holds no PNG or JPEG images of the split \"val\""),
            "{line}"
        );
    }
}

#[test]
fn hidden_files_are_passed_over_and_names_with_label_in_them_are_not() {
    let dir = tempfile::tempdir().unwrap();
    pairs(
        dir.path(),
        &["a.png", "b_labelled.png"],
        &["a", "b_labelled"],
    );
    fs::write(dir.path().join("train/._a.jpg"), b"\x00\x05\x16\x07").unwrap();
    let checkpoints = dir.path().join("train/.ipynb_checkpoints");
    fs::create_dir(&checkpoints).unwrap();
    fs::copy(
        dir.path().join("train/a.png"),
        checkpoints.join("a-checkpoint.png"),
    )
    .unwrap();
    let set = open(dir.path(), "train").unwrap();
    let names: Vec<_> = set
        .samples()
        .iter()
        .filter_map(|s| s.image.file_name())
        .collect();
    assert_eq!(names, ["a.png", "b_labelled.png"]);
}

#[test]
fn a_split_without_a_labelled_pixel_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    pairs(dir.path(), &["a.png", "b.png"], &["a", "b"]);
    open(dir.path(), "train").unwrap().check_labels().unwrap();
    for stem in ["a", "b"] {
        save_grey(
            &dir.path().join(format!("train/{stem}_labelTrainIds.png")),
            &[255, 255],
        );
    }
    let refused = open(dir.path(), "train")
        .unwrap()
        .check_labels()
        .unwrap_err()
        .to_string();
    assert!(
        refused.contains("a_labelTrainIds.png") && refused.contains("ignored"),
        "{refused}"
    );
}

#[test]
fn images_are_turned_upright_like_their_labels() {
    let dir = tempfile::tempdir().unwrap();
    pairs(dir.path(), &["x.png"], &["a"]);
    fs::remove_file(dir.path().join("train/x.png")).unwrap();
    // Red over blue, stored upside down with EXIF orientation 3.
    let upright = image::RgbImage::from_fn(16, 32, |_, y| {
        image::Rgb(if y < 16 { [200, 20, 20] } else { [20, 20, 200] })
    });
    let stored = image::imageops::rotate180(&upright);
    let jpeg = testkit::photos::photo_jpeg(Size::new(16, 32), stored.as_raw());
    // APP1: Exif, little-endian, one entry: orientation (0x112), one short, 3.
    let exif =
        b"\xFF\xE1\0\x22Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x03\0\0\0\0\0\0\0";
    let turned = [&jpeg[..2], exif, &jpeg[2..]].concat();
    fs::write(dir.path().join("train/a.jpg"), turned).unwrap();
    image::GrayImage::from_fn(16, 32, |_, y| image::Luma([u8::from(y >= 16)]))
        .save(dir.path().join("train/a_labelTrainIds.png"))
        .unwrap();
    let set = open(dir.path(), "train").unwrap();
    let pair = set.samples()[0].load().unwrap();
    for (pixel, label) in pair.image.rgb().chunks_exact(3).zip(&pair.labels) {
        assert_eq!(pixel[0] > pixel[2], *label == 0);
    }
}

#[test]
fn held_out_samples_are_blocks_of_neighbours() {
    let sample = |ix: usize| Sample {
        image: format!("{ix:04}").into(),
        label: "".into(),
        coding: Coding::TrainIds,
    };
    let set = Dataset {
        samples: (0..100).map(sample).collect(),
        unlabelled: 0,
    };
    let (others, held) = set.hold_out(22);
    let held: Vec<usize> = held
        .samples
        .iter()
        .map(|sample| sample.image.to_string_lossy().parse().unwrap())
        .collect();
    let expected = [0..4, 20..24, 40..45, 60..64, 80..85].into_iter().flatten();
    assert_eq!((held, others.len()), (expected.collect::<Vec<_>>(), 78));
    assert_eq!(
        set.hold_out(0),
        (
            set.clone(),
            Dataset {
                samples: Vec::new(),
                unlabelled: 0,
            }
        )
    );
}

#[test]
fn real_sets_are_recognised() {
    let Some(sets) = testkit::real_data("segmentation") else {
        return;
    };
    for (set, split, len) in [
        ("cityscapes256", "val", 500),
        ("bdd24", "val", 8),
        ("bdd24", "train", 16),
    ] {
        let set = open(&sets.join(set), split).unwrap();
        assert_eq!(set.len(), len);
        let pair = set.samples()[len - 1].load().unwrap();
        let known = pair
            .labels
            .iter()
            .filter(|&&label| label != IGNORED)
            .count();
        assert!(
            2 * known > pair.labels.len(),
            "most of a street scene has a label"
        );
    }
}
