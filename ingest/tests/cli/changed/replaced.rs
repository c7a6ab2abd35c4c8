//! Shards that are replaced: none goes before it is sure that its input is no more, and what was begun
//! is gone on with.

use super::*;

#[test]
fn a_part_removes_no_shard() {
    let (_dir, input, set) = places();
    let archive = input.join("x.tar");
    fs::write(&archive, tar_of_small(2_050)).unwrap();
    ingest_json("images", &input, &set, &[]);
    fs::write(&archive, tar_of_small(2)).unwrap();
    // It has nothing to make; the other part may find that the archive is damaged.
    let summary = ingest_json("images", &input, &set, &["--part", "1/2"]);
    assert_eq!(shard_paths(&set).unwrap().len(), 2);
    let notices = summary["notices"].to_string();
    assert!(notices.contains("without --part"), "{notices}");
    ingest_json("images", &input, &set, &["--part", "0/2"]);
    assert_eq!(shard_paths(&set).unwrap().len(), 2);
    ingest_json("images", &input, &set, &[]);
    assert_good(&set, 2);
    assert_as_made_anew("images", &input, &set, &[]);
}

#[test]
fn an_input_that_is_half_replaced_is_gone_on_with_whatever_comes_between() {
    let (dir, input, set) = places();
    write_images(&input, 0..3);
    ingest_json("images", &input, &set, &[]);
    // As a run leaves it that was killed.
    let note = json!({ "replacing": { "input": "in" } }).to_string();
    let journal = set.join(".ingest.journal.part-0-of-2");
    fs::write(&journal, note).unwrap();
    write_images(&input, 3..4);
    let output = ingest(["catalog".as_ref(), set.as_os_str()]);
    assert!(output.status.success(), "{}", stderr(&output));
    let other = dir.path().join("other");
    write_images(&other, 7..8);
    ingest_json("images", &other, &set, &[]);
    let summary = ingest_json("images", &input, &set, &[]);
    assert_eq!(summary["frames_written"], 4);
    assert_good(&set, 5);

    // It is done, and files that come later are refused as ever.
    write_images(&input, 4..5);
    let output = ingest_to("images", &input, &set, &[]);
    assert!(
        stderr(&output).contains("files were added"),
        "{}",
        stderr(&output)
    );
    let names = fs::read_dir(&set)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let journals = names.filter(|path| path.to_string_lossy().contains(".ingest.journal"));
    assert_eq!(journals.count(), 0);
}
