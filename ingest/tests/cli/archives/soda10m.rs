//! SODA10M as it is downloaded: archives, labelled parts, tags.

use std::collections::BTreeMap;

use super::*;

/// SODA10M in little: five unlabelled splits and the labelled part.
fn soda10m(unlabelled: &str, labelled: &str) -> (Vec<FileList>, FileList) {
    let cities = ["BJ", "SH", "GZ"];
    let split = |number: u32| {
        let name = |ix: u32| {
            format!(
                "UNLABEL_01_{}_000_{:014}.jpg",
                cities[ix as usize % 3],
                100 * number + ix
            )
        };
        let image = |ix: u32| jpeg(Size::new(240, 224), 100 * number + ix);
        (0..4)
            .map(|ix| {
                (
                    format!("SSLAD-2D/{unlabelled}/image_{number}/{}", name(ix)),
                    image(ix),
                )
            })
            .collect()
    };
    let annotations = json!({
        "categories": [{ "id": 1, "name": "Pedestrian" }],
        "images": [{ "file_name": "HT_VAL_000001_SZ_000.jpg", "id": 1, "city": "Shenzhen", "location": "Highway",
                     "period": "Night", "weather": "Rainy" }],
        "annotations": [{ "image_id": 1, "bbox": [1, 2, 3, 4] }],
    });
    let labelled = vec![
        (
            format!("SSLAD-2D/{labelled}/train/HT_TRAIN_000001_SH_000.jpg"),
            jpeg(Size::new(240, 224), 900),
        ),
        (
            format!("SSLAD-2D/{labelled}/val/HT_VAL_000001_SZ_000.jpg"),
            jpeg(Size::new(240, 224), 901),
        ),
        (
            format!("SSLAD-2D/{labelled}/annotations/instance_val.json"),
            annotations.to_string().into_bytes(),
        ),
    ];
    ((0..5).map(split).collect(), labelled)
}

/// A list of tags of two unlabelled images.
fn tag_list() -> Vec<u8> {
    let image = |name: &str, city: &str, weather: &str| {
        let (location, period) = ("Citystreet", "Daytime");
        json!({ "file_name": name, "city": city, "weather": weather, "location": location, "period": period })
    };
    json!([
        image("UNLABEL_01_BJ_000_00000000000000.jpg", "Beijing", "Clear"),
        image(
            "UNLABEL_01_SH_000_00000000000201.jpg",
            "Shanghai",
            "Overcast"
        ),
    ])
    .to_string()
    .into_bytes()
}

#[test]
fn soda10m_is_the_same_set_from_folders_and_from_archives() {
    for (unlabelled, labelled) in [("unlabel", "labeled"), ("Unlabel", "Labeled")] {
        let dir = tempfile::tempdir().unwrap();
        let (folders, archives) = (dir.path().join("folders"), dir.path().join("archives"));
        let (splits, with_labels) = soda10m(unlabelled, labelled);
        splits.iter().for_each(|split| write_all(&folders, split));
        write_all(&folders, &with_labels);
        write(&folders.join("SSLAD-2D/tags.json"), &tag_list());
        for (number, split) in splits.iter().enumerate() {
            let bytes = tar_of(split);
            for (ix, part) in bytes.chunks(9_999).enumerate() {
                write(
                    &archives.join(format!("image_{number}.tar.part{ix:02}")),
                    part,
                );
            }
        }
        write(
            &archives.join("labeled_trainval.zip"),
            &zip_of(&with_labels, CompressionMethod::DEFLATE),
        );
        write(&archives.join("tags.json"), &tag_list());

        let (from_folders, from_archives) = (dir.path().join("a"), dir.path().join("b"));
        ingest_json("soda10m", &folders, &from_folders, &[]);
        ingest_json("soda10m", &archives, &from_archives, &[]);
        let without_source = |set: &Path| {
            let mut rows = rows(set);
            rows.iter_mut().for_each(|(meta, _)| meta.source.clear());
            rows.sort_by(|(a, _), (b, _)| a.frame_id.cmp(&b.frame_id));
            rows
        };
        assert_eq!(
            without_source(&from_folders),
            without_source(&from_archives)
        );

        let soda5m = inspect(&from_archives, "split in ('0','2','4','6','8')");
        assert_eq!(soda5m["by_split"], json!({ "0": 4, "2": 4, "4": 4 }));
        assert_eq!(
            soda5m["by_city"],
            json!({ "BJ": 5, "SH": 2, "GZ": 3, "Beijing": 1, "Shanghai": 1 })
        );
        assert_eq!(
            soda5m["by_weather"],
            json!({ "Clear": 1, "Overcast": 1, "(none)": 10 })
        );
        let night = inspect(
            &from_archives,
            "time_of_day = 'Night' and city = 'Shenzhen' and location = 'Highway'",
        );
        assert_eq!(
            (&night["by_split"], &night["by_weather"]),
            (&json!({ "val": 1 }), &json!({ "Rainy": 1 }))
        );
    }
}

#[test]
fn tags_lie_in_an_archive_beside_it_or_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let (mut splits, _) = soda10m("unlabel", "labeled");
    let path = |name: &str| dir.path().join(name);
    let weather = |set: &str| inspect(&path(set), "width > 0")["by_weather"].clone();
    let (known, unknown) = (json!({ "Clear": 1, "(none)": 3 }), json!({ "(none)": 4 }));
    write(&path("alone/image_0.tar"), &tar_of(&splits[0]));
    write(&path("elsewhere/tags.json"), &tag_list());
    ingest_json(
        "soda10m",
        &path("alone/image_0.tar"),
        &path("set_alone"),
        &[],
    );
    assert_eq!(weather("set_alone"), unknown);
    let tags = path("elsewhere/tags.json").to_string_lossy().into_owned();
    ingest_json(
        "soda10m",
        &path("alone/image_0.tar"),
        &path("set_elsewhere"),
        &["--tags", &tags],
    );
    assert_eq!(weather("set_elsewhere"), known);
    write(&path("alone/tags.json"), &tag_list());
    ingest_json(
        "soda10m",
        &path("alone/image_0.tar"),
        &path("set_beside"),
        &[],
    );
    assert_eq!(weather("set_beside"), known);
    splits[0].push(("SSLAD-2D/tags.json".to_owned(), tag_list()));
    write(&path("inside/image_0.tar"), &tar_of(&splits[0]));
    ingest_json(
        "soda10m",
        &path("inside/image_0.tar"),
        &path("set_inside"),
        &[],
    );
    assert_eq!(weather("set_inside"), known);
}

#[test]
fn damaged_tags_are_one_line_where_they_are_named_and_else_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let (mut splits, _) = soda10m("unlabel", "labeled");
    let torn = &tag_list()[..50];
    let path = |name: &str| dir.path().join(name);
    splits[1].push(("SSLAD-2D/tags.json".to_owned(), torn.to_vec()));
    write(&path("in/image_1.tar"), &tar_of(&splits[1]));
    write(&path("in/tags.json"), torn);
    let summary = ingest_json("soda10m", &path("in/image_1.tar"), &path("set"), &[]);
    assert_eq!(summary["frames_written"], 4);
    assert_eq!(skipped(&path("set")), BTreeMap::new());

    write(&path("torn.json"), torn);
    for (name, expected) in [("torn.json", "damaged"), ("none.json", "No such file")] {
        let tags = path(name).to_string_lossy().into_owned();
        assert_refused(
            "soda10m",
            &path("in/image_1.tar"),
            &["--tags", &tags],
            &[name, expected],
        );
    }
}
