//! Tars as programs write them.

mod damage;

use tar::Builder;

use super::super::joined::Joined;
use super::super::unpack::{Coding, Unpacker};
use super::super::unrolled::Unrolled;
use super::*;
use crate::source::choice::Choice;
use crate::source::image_files::choose;

/// A tar in memory.
struct Memory<'a>(&'a [u8]);

impl Forward for Memory<'_> {
    fn reach(&mut self, end: u64) -> io::Result<u64> {
        Ok(end.min(self.0.len() as u64))
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        let start = at as usize;
        buffer.copy_from_slice(&self.0[start..start + buffer.len()]);
        Ok(())
    }
}

/// The image members and what is lost of the tar `bytes`.
fn indexed(bytes: &[u8]) -> Vec<String> {
    indexed_by(&mut Memory(bytes), bytes)
}

/// The same, from what reads them.
fn indexed_by(forward: &mut dyn Forward, bytes: &[u8]) -> Vec<String> {
    let mut gather = Gather::default();
    index(forward, &mut gather).unwrap();
    let found = gather.finish();
    let describe = |ix| {
        let path = found.names.get(ix);
        match found.places.get(ix) {
            Err(lost) => format!("{path}: {}", lost.defect.reason),
            Ok(Place::Plain(Span { offset, len })) => {
                let contents = &bytes[offset as usize..(offset + len) as usize];
                format!("{path} = {}", String::from_utf8_lossy(contents))
            }
            Ok(other) => panic!("{other:?} in a tar"),
        }
    };
    let is_wanted = |ix: &u64| found.is_lost(*ix) || choose(&found.names.get(*ix)) == Choice::Item;
    (0..found.len()).filter(is_wanted).map(describe).collect()
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

fn link(builder: &mut Builder<Vec<u8>>, kind: EntryType, path: &str, target: &str) {
    let mut link = header(0);
    link.set_entry_type(kind);
    builder.append_link(&mut link, path, target).unwrap();
}

#[test]
fn folders_and_hidden_files_are_passed_over() {
    let mut builder = builder();
    let mut folder = header(0);
    folder.set_entry_type(EntryType::Directory);
    builder
        .append_data(&mut folder, "x.jpg/", io::empty())
        .unwrap();
    let mut old = Header::new_old();
    old.set_size(0);
    builder
        .append_data(&mut old, "y.jpg/", io::empty())
        .unwrap();
    let mut label = Header::new_gnu();
    label.as_old_mut().size = [0; 12];
    label.set_entry_type(EntryType::new(b'V'));
    label.set_path("label.jpg").unwrap();
    label.set_cksum();
    builder.append(&label, io::empty()).unwrap();
    for path in [
        ".hidden.jpg",
        "__MACOSX/._a.jpg",
        "._b.tar",
        "notes.txt",
        "a.jpg",
    ] {
        append(&mut builder, path, "a");
    }
    assert_eq!(indexed(&builder.into_inner().unwrap()), ["a.jpg = a"]);
}

#[test]
fn links_are_what_they_lead_to() {
    let mut builder = builder();
    link(&mut builder, EntryType::Symlink, "d/soft.jpg", "../a.jpg");
    append(&mut builder, "a.jpg", "a");
    link(&mut builder, EntryType::Link, "d/hard.jpg", "./a.jpg");
    let long = format!("{}/b.jpg", "long".repeat(40));
    append(&mut builder, &long, "b");
    link(&mut builder, EntryType::Link, "gnu.jpg", &long);
    builder
        .append_pax_extensions([("linkpath", long.as_bytes())])
        .unwrap();
    link(&mut builder, EntryType::Link, "pax.jpg", "short");
    link(&mut builder, EntryType::Symlink, "hole.jpg", "nowhere.jpg");
    link(&mut builder, EntryType::Symlink, "hole.txt", "nowhere.txt");
    link(&mut builder, EntryType::Symlink, "out.jpg", "/etc/x.jpg");
    // As some programs write them: with the size of what they lead to, or with its bytes.
    let mut sized = header(7);
    sized.set_entry_type(EntryType::Link);
    sized.set_link_name("a.jpg").unwrap();
    sized.set_path("sized.jpg").unwrap();
    sized.set_cksum();
    builder.append(&sized, io::empty()).unwrap();
    let mut stored = header(3);
    stored.set_entry_type(EntryType::Link);
    stored.set_link_name("a.jpg").unwrap();
    stored.set_path("stored.jpg").unwrap();
    stored.set_cksum();
    builder.append(&stored, b"own".as_slice()).unwrap();
    assert_eq!(
        indexed(&builder.into_inner().unwrap()),
        [
            "d/soft.jpg = a",
            "a.jpg = a",
            "d/hard.jpg = a",
            &format!("{long} = b"),
            "gnu.jpg = b",
            "pax.jpg = b",
            "hole.jpg: broken-link",
            "out.jpg: broken-link",
            "sized.jpg = a",
            "stored.jpg = own",
        ]
    );
}

#[test]
fn links_of_a_tar_in_the_tar_stay_in_it() {
    let mut inner = builder();
    append(&mut inner, "d/a.jpg", "a");
    link(&mut inner, EntryType::Link, "h.jpg", "d/a.jpg");
    link(&mut inner, EntryType::Symlink, "s.jpg", "d/a.jpg");
    let inner = inner.into_inner().unwrap();
    let mut builder = builder();
    builder
        .append_data(&mut header(inner.len()), "i.tar", inner.as_slice())
        .unwrap();
    assert_eq!(
        indexed(&builder.into_inner().unwrap()),
        ["i.tar/d/a.jpg = a", "i.tar/h.jpg = a", "i.tar/s.jpg = a"]
    );
}

#[test]
fn sparse_files_of_all_kinds_are_named_and_never_taken_for_what_they_store() {
    let mut builder = builder();
    let mut old = header(1);
    old.set_entry_type(EntryType::GNUSparse);
    old.as_gnu_mut().unwrap().set_is_extended(true);
    old.set_path("old.jpg").unwrap();
    old.set_cksum();
    let mut map = [0; 512];
    map[504] = 1;
    let stored = [&map[..], &[0; 512], b"s"].concat();
    builder.append(&old, stored.as_slice()).unwrap();
    for (version, name) in [("0.0", None), ("0.1", None), ("1.0", Some("one.jpg"))] {
        let major = [
            ("GNU.sparse.major", b"1".as_slice()),
            ("GNU.sparse.minor", b"0"),
        ];
        let records = match name {
            Some(name) => [&major[..], &[("GNU.sparse.name", name.as_bytes())]].concat(),
            None => vec![("GNU.sparse.size", b"9".as_slice())],
        };
        builder.append_pax_extensions(records).unwrap();
        let path = match name {
            Some(_) => "GNUSparseFile.7/one.jpg".to_owned(),
            None => format!("{version}.jpg"),
        };
        append(&mut builder, &path, "1\n0\n9\n");
    }
    append(&mut builder, "b.jpg", "b");
    assert_eq!(
        indexed(&builder.into_inner().unwrap()),
        [
            "old.jpg: unsupported-member",
            "0.0.jpg: unsupported-member",
            "0.1.jpg: unsupported-member",
            "one.jpg: unsupported-member",
            "b.jpg = b"
        ]
    );
}

#[test]
fn foreign_letters_are_told_apart_and_the_last_of_one_path_wins() {
    let mut builder = builder();
    for (name, contents) in [(&b"d/\xE4.jpg"[..], "1"), (b"d/\xF6.jpg", "2")] {
        let mut header = header(1);
        header.as_old_mut().name[..name.len()].copy_from_slice(name);
        header.set_cksum();
        builder.append(&header, contents.as_bytes()).unwrap();
    }
    builder
        .append_pax_extensions([("hdrcharset", b"BINARY".as_slice()), ("path", b"\xFF.jpg")])
        .unwrap();
    append(&mut builder, "x", "3");
    append(&mut builder, "a.jpg", "old");
    append(&mut builder, "b.jpg", "b");
    append(&mut builder, "./a.jpg", "new");
    assert_eq!(
        indexed(&builder.into_inner().unwrap()),
        [
            "d/\\xE4.jpg = 1",
            "d/\\xF6.jpg = 2",
            "\\xFF.jpg = 3",
            "b.jpg = b",
            "a.jpg = new"
        ]
    );
}

#[test]
fn global_names_and_sizes_are_not_used_and_sizes_may_be_binary() {
    let mut global = header(0);
    let record = b"20 linkpath=nothing\n14 path=x.jpg\n10 size=7\n";
    global.set_size(record.len() as u64);
    global.set_entry_type(EntryType::XGlobalHeader);
    global.set_path("pax_global_header").unwrap();
    global.set_cksum();
    let mut builder = builder();
    builder.append(&global, record.as_slice()).unwrap();
    let mut binary = header(0);
    binary.as_old_mut().size = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5];
    binary.set_path("c/a.jpg").unwrap();
    binary.set_cksum();
    builder.append(&binary, b"12345".as_slice()).unwrap();
    link(&mut builder, EntryType::Link, "l.jpg", "c/a.jpg");
    binary.as_old_mut().size = [0xFF; 12];
    binary.set_cksum();
    builder.append(&binary, b"".as_slice()).unwrap();
    assert_eq!(
        indexed(&builder.into_inner().unwrap()),
        [
            "c/a.jpg = 12345",
            "l.jpg = 12345",
            "@2560: truncated-archive"
        ]
    );
}

#[test]
fn a_cut_tar_of_tars_has_what_is_in_front_of_the_cut() {
    let inner = tar_of(&[("a.jpg", "a"), ("b.jpg", "b")]);
    let mut builder = builder();
    for name in ["1.tar", "2.tar"] {
        builder
            .append_data(&mut header(inner.len()), name, inner.as_slice())
            .unwrap();
    }
    let whole = builder.into_inner().unwrap();
    let start = 512 + inner.len() + 512;
    assert_eq!(
        indexed(&whole[..start + 1024 + 512]),
        [
            "1.tar/a.jpg = a",
            "1.tar/b.jpg = b",
            "2.tar/a.jpg = a",
            "2.tar@1024: truncated-archive"
        ]
    );
    assert_eq!(
        indexed(&whole[..start + 1024]).last().unwrap(),
        &format!("@{}: truncated-archive", start - 512)
    );
}

#[test]
fn what_is_something_else_says_so() {
    let mut inner = builder();
    append(&mut inner, "a.tar", "BZh91AY");
    append(&mut inner, "b.jpg", "b");
    assert_eq!(
        indexed(&inner.into_inner().unwrap()),
        ["a.tar@0: damaged-archive", "b.jpg = b"]
    );
    assert_eq!(indexed(b"\xFD7zXZ\0\0\x04"), ["@0: damaged-archive"]);
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
