//! Parts as `split` and data sets name them.

use super::*;

/// Name and files of each archive, or why it is none.
fn joined(names: &[&str]) -> Result<Vec<Vec<String>>, String> {
    let text = |path: &PathBuf| path.to_string_lossy().into_owned();
    let mut wholes = Vec::new();
    for found in in_folder(names.iter().map(PathBuf::from)) {
        match found {
            InFolder::Whole(whole) => {
                wholes.push(
                    std::iter::once(&whole.path)
                        .chain(&whole.files)
                        .map(text)
                        .collect(),
                );
            }
            InFolder::Incomplete(_, defect) => return Err(defect.detail),
            InFolder::Compressed(..) | InFolder::Other(_) => {}
        }
    }
    Ok(wholes)
}

#[test]
fn the_usual_names_of_parts_join_in_the_order_of_their_numbers() {
    for names in [
        ["x.tar.part0", "x.tar.part1", "x.tar.part2"],
        ["x.tar.00", "x.tar.01", "x.tar.02"],
        ["x.tar.001", "x.tar.002", "x.tar.003"],
        ["x.zip.001", "x.zip.002", "x.zip.003"],
        ["x.tar.partaa", "x.tar.partab", "x.tar.partac"],
        ["x.tar.aa", "x.tar.ab", "x.tar.ac"],
        ["x.taraa", "x.tarab", "x.tarac"],
        ["x.tar_part-1", "x.tar_part-2", "x.tar_part-3"],
        ["x.TAR.part1", "x.TAR.part2", "x.TAR.part3"],
    ] {
        let whole = &names[0][..5];
        let backwards: Vec<&str> = names.iter().rev().copied().collect();
        assert_eq!(
            joined(&backwards).unwrap(),
            [[whole, names[0], names[1], names[2]]],
            "{names:?}"
        );
    }
    let many: Vec<String> = (0..=10).map(|number| format!("x.tar.{number}")).collect();
    let names: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(joined(&names).unwrap()[0][1..], many);
}

#[test]
fn a_gap_is_named() {
    for (names, missing) in [
        (&["x.tar.part00", "x.tar.part02"][..], "x.tar.part01"),
        (&["d/x.tar.2", "d/x.tar.3"], "x.tar.1"),
        (&["x.tar.part10", "x.tar.part09"], "x.tar.part08"),
        (&["x.tar.ab", "x.tar.ac"], "x.tar.aa"),
        (&["x.tar.az", "x.tar.aa", "x.tar.bb"], "x.tar.ay"),
        (&["x.tgz.aa.bin", "x.tgz.ac.bin"], "x.tgz.ab.bin"),
    ] {
        let message = joined(names).unwrap_err();
        assert!(
            message.contains("missing") && message.contains(missing),
            "{message}"
        );
    }
    let message = joined(&["x.tar.part1", "x.tar.part01"]).unwrap_err();
    assert!(message.contains("twice"), "{message}");
}

#[test]
fn files_that_only_look_like_parts_are_left_out() {
    let names = [
        "x.tar",
        "x.tar.log",
        "x.tar.txt",
        "x.tar.2024",
        "y.zip",
        "z.7z",
    ];
    assert_eq!(
        joined(&names).unwrap(),
        [["x.tar", "x.tar"], ["y.zip", "y.zip"]]
    );
    let found = in_folder(names.iter().map(PathBuf::from));
    let others = found
        .iter()
        .filter(|found| matches!(found, InFolder::Other(_)));
    assert_eq!(others.count(), 3);
    // Compressed, and not cut.
    assert_eq!(joined(&["x.tar.gz"]).unwrap(), [["x.tar.gz", "x.tar.gz"]]);
    assert!(joined(&["x.tar.br", "x.tar.xz"]).unwrap().is_empty());
    let is_compressed = |found: &InFolder| matches!(found, InFolder::Compressed(_, ".7z"));
    assert!(found.iter().any(is_compressed));
}

#[test]
fn what_split_makes_joins_whatever_it_counts_with() {
    let letters = |width: u32, count: u64| -> Vec<String> {
        let text = |number: u64| {
            let digit = |place: u32| char::from(b'a' + (number / 26_u64.pow(place) % 26) as u8);
            (0..width).rev().map(digit).collect()
        };
        (0..count).map(text).collect()
    };
    let mut lengthened = letters(2, 650);
    lengthened.extend(letters(3, 3).into_iter().map(|text| format!("z{text}")));
    let mut numbers: Vec<String> = (0..90).map(|number| format!("{number:02}")).collect();
    numbers.extend(["9000".to_owned(), "9001".to_owned()]);
    let mut hex: Vec<String> = (0..240).map(|number| format!("{number:02x}")).collect();
    hex.extend(["f000".to_owned(), "f001".to_owned()]);
    for counters in [
        letters(1, 26),
        letters(3, 700),
        letters(10, 3),
        lengthened,
        numbers,
        hex,
        (0..300).map(|number| format!("{number:04x}")).collect(),
    ] {
        for (prefix, addition) in [("x.tar.", ""), ("x.tgz", ""), ("x.zip.part-", ".bin")] {
            let names = counters
                .iter()
                .map(|part| format!("{prefix}{part}{addition}"));
            let names: Vec<String> = names.collect();
            let mut given: Vec<&str> = names.iter().map(String::as_str).collect();
            given.sort_unstable_by_key(|name| name.bytes().rev().collect::<Vec<_>>());
            let found = joined(&given).unwrap();
            assert_eq!(found.len(), 1, "{prefix}{}", counters[1]);
            assert_eq!(found[0][0], prefix[..5]);
            assert_eq!(found[0][1..], names, "{prefix}{}", counters[1]);
        }
    }
}

#[test]
fn archives_of_several_folders_do_not_mix() {
    let names = ["a/x.tar.0", "a/x.tar.1", "b/x.tar.0", "b/y.tar"];
    let expected = [
        &["a/x.tar", "a/x.tar.0", "a/x.tar.1"][..],
        &["b/x.tar", "b/x.tar.0"],
        &["b/y.tar", "b/y.tar"],
    ];
    assert_eq!(joined(&names).unwrap(), expected);
}

#[test]
fn what_is_not_read_is_refused_with_what_to_do() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "a.tar.bz2",
        "b.7Z",
        "c.zip",
        "c.z01",
        "d.tar.aa",
        "d.tar.ac",
    ] {
        fs::write(dir.path().join(name), "").unwrap();
    }
    for (name, advice) in [
        ("a.tar.bz2", "bunzip2 -k"),
        ("b.7Z", "7z x"),
        ("c.zip", "zip -s 0"),
        ("d.tar.aa", "d.tar.ab"),
    ] {
        let message = whole(&dir.path().join(name)).unwrap_err().to_string();
        assert!(
            message.contains(&name[..2]) && message.contains(advice),
            "{message}"
        );
    }
}
