//! Tars as programs write them, and damaged ones.

use tar::Builder;

use super::*;

/// The image members and what is lost of the tar `bytes`.
fn indexed(bytes: &[u8]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tar");
    std::fs::write(&path, bytes).unwrap();
    let joined = Joined::open(&[path]).unwrap();
    let mut found = Members::default();
    index(&joined, &mut found).unwrap();
    let describe = |(ix, path): (usize, String)| match found.places.get(ix as u64) {
        Err(defect) => format!("{path}: {}", defect.reason),
        Ok(Place::Plain(Span { offset, len })) => {
            let contents = &bytes[offset as usize..(offset + len) as usize];
            format!("{path} = {}", String::from_utf8_lossy(contents))
        }
        Ok(other) => panic!("{other:?} in a tar"),
    };
    found.names.iter().enumerate().map(describe).collect()
}

fn header(size: usize) -> Header {
    let mut header = Header::new_gnu();
    header.set_size(size as u64);
    header.set_mode(0o644);
    header
}

fn builder() -> Builder<Vec<u8>> {
    Builder::new(Vec::new())
}

fn append(builder: &mut Builder<Vec<u8>>, path: &str, contents: &str) {
    builder
        .append_data(&mut header(contents.len()), path, contents.as_bytes())
        .unwrap();
}

fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = builder();
    for (path, contents) in files {
        append(&mut builder, path, contents);
    }
    builder.into_inner().unwrap()
}

#[test]
fn long_names_of_all_kinds_are_read() {
    let long = |kind: &str| {
        format!(
            "{}/{kind}.jpg",
            "folder_with_a_name/".repeat(9).trim_end_matches('/')
        )
    };
    let mut builder = builder();
    append(&mut builder, &long("gnu"), "g");
    builder
        .append_pax_extensions([("path", long("pax").as_bytes())])
        .unwrap();
    append(&mut builder, "short.jpg", "p");
    let mut ustar = Header::new_ustar();
    ustar.set_size(1);
    builder
        .append_data(&mut ustar, long("ustar"), b"u".as_slice())
        .unwrap();
    append(&mut builder, "last.jpg", "l");
    let expected = [("gnu", "g"), ("pax", "p"), ("ustar", "u")]
        .map(|(kind, text)| format!("{} = {text}", long(kind)));
    assert_eq!(
        indexed(&builder.into_inner().unwrap()),
        [&expected[..], &["last.jpg = l".to_owned()]].concat()
    );
}

#[test]
fn a_size_in_an_attribute_counts() {
    let mut builder = builder();
    builder
        .append_pax_extensions([("size", b"5".as_slice())])
        .unwrap();
    let mut small = header(0);
    small.set_path("a.jpg").unwrap();
    small.set_cksum();
    let mut bytes = [
        builder.into_inner().unwrap()[..1024].to_vec(),
        small.as_bytes().to_vec(),
        b"12345".to_vec(),
    ];
    bytes[2].resize(512, 0);
    assert_eq!(
        indexed(&[bytes.concat(), tar_of(&[("b.jpg", "b")])].concat()),
        ["a.jpg = 12345", "b.jpg = b"]
    );
}

#[test]
fn links_folders_and_hidden_files_are_passed_over() {
    let mut builder = builder();
    let mut folder = header(0);
    folder.set_entry_type(EntryType::Directory);
    builder
        .append_data(&mut folder, "x.jpg/", io::empty())
        .unwrap();
    for kind in [EntryType::Link, EntryType::Symlink] {
        let mut link = header(0);
        link.set_entry_type(kind);
        builder.append_link(&mut link, "link.jpg", "a.jpg").unwrap();
    }
    for path in [".hidden.jpg", "__MACOSX/._a.jpg", "notes.txt", "a.jpg"] {
        append(&mut builder, path, "a");
    }
    let mut sparse = header(1);
    sparse.set_entry_type(EntryType::GNUSparse);
    builder
        .append_data(&mut sparse, "sparse.jpg", b"s".as_slice())
        .unwrap();
    append(&mut builder, "b.jpg", "b");
    assert_eq!(
        indexed(&builder.into_inner().unwrap()),
        ["a.jpg = a", "sparse.jpg: unsupported-member", "b.jpg = b"]
    );
}

#[test]
fn a_tar_in_the_tar_is_entered_once() {
    let innermost = tar_of(&[("z.jpg", "z")]);
    let mut builder = builder();
    for (name, image) in [("n01.tar", "a.JPEG"), ("n02.tar", "b.JPEG")] {
        let mut inner = self::builder();
        append(&mut inner, image, image);
        inner
            .append_data(
                &mut header(innermost.len()),
                "deeper.tar",
                innermost.as_slice(),
            )
            .unwrap();
        let inner = inner.into_inner().unwrap();
        builder
            .append_data(
                &mut header(inner.len()),
                format!("train/{name}"),
                inner.as_slice(),
            )
            .unwrap();
    }
    let found = indexed(&builder.into_inner().unwrap());
    assert_eq!(
        found,
        [
            "train/n01.tar/a.JPEG = a.JPEG",
            "train/n02.tar/b.JPEG = b.JPEG"
        ]
    );
}

#[test]
fn a_damaged_header_costs_its_member_alone() {
    let whole = tar_of(&[("a.jpg", "a"), ("b.jpg", "b"), ("c.jpg", "c")]);
    for ix in 1024..1536 {
        let mut damaged = whole.clone();
        damaged[ix] ^= 1;
        let found = indexed(&damaged);
        assert_eq!(
            found,
            ["a.jpg = a", "@1024: damaged-archive", "c.jpg = c"],
            "byte {ix}"
        );
    }
    let mut zeroed = whole;
    zeroed[1024..1536].fill(0);
    assert_eq!(
        indexed(&zeroed),
        ["a.jpg = a", "@1024: damaged-archive", "c.jpg = c"]
    );
}

#[test]
fn no_flipped_bit_is_more_than_damage() {
    let mut builder = builder();
    append(&mut builder, &format!("{}/a.jpg", "long".repeat(40)), "a");
    builder
        .append_pax_extensions([("path", b"pax.jpg".as_slice()), ("size", b"1")])
        .unwrap();
    append(&mut builder, "b.jpg", "b");
    append(&mut builder, "c.jpg", "c");
    let whole = builder.into_inner().unwrap();
    for bit in 0..whole.len() * 8 {
        let mut damaged = whole.clone();
        damaged[bit / 8] ^= 1 << (bit % 8);
        assert!(
            indexed(&damaged)
                .iter()
                .filter(|item| item.contains(" = "))
                .count()
                >= 2,
            "bit {bit}"
        );
    }
}

#[test]
fn a_cut_archive_has_what_is_in_front_of_the_cut() {
    let whole = tar_of(&[("a.jpg", "a"), ("b.jpg", "b")]);
    let complete = indexed(&whole);
    for len in 0..2048 {
        let found = indexed(&whole[..len]);
        let kept = len / 1024 + usize::from(len % 1024 > 512);
        let is_lost = len % 1024 != 0 && len % 1024 <= 512;
        assert_eq!(found[..kept], complete[..kept], "{len} bytes");
        assert_eq!(
            found.len(),
            kept + usize::from(is_lost),
            "{len} bytes: {found:?}"
        );
    }
    assert_eq!(
        indexed(&whole[..1024 + 100]),
        ["a.jpg = a", "@1024: damaged-archive"]
    );
    assert_eq!(
        indexed(&whole[..1024 + 512]),
        ["a.jpg = a", "@1024: truncated-archive"]
    );
}

#[test]
fn archives_joined_by_cat_are_read_and_a_tail_of_zeros_is_noticed() {
    let (first, second) = (tar_of(&[("a.jpg", "a")]), tar_of(&[("b.jpg", "b")]));
    assert_eq!(
        indexed(&[first.clone(), second].concat()),
        ["a.jpg = a", "b.jpg = b"]
    );
    assert_eq!(
        indexed(&[first.clone(), vec![0; 10_240]].concat()),
        ["a.jpg = a"]
    );
    assert_eq!(
        indexed(&[first, vec![0; 2 << 20]].concat()),
        ["a.jpg = a", "@1024: truncated-archive"]
    );
}

#[test]
fn what_is_no_tar_is_one_lost_item() {
    assert_eq!(
        indexed(&b"<html>not found</html>".repeat(100)),
        ["@0: damaged-archive"]
    );
    assert_eq!(indexed(b""), Vec::<String>::new());
}
