//! Damage costs what it hits, is named, and takes neither memory nor the run.

use super::*;

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

/// A gzipped tar, unpacked as it is walked through.
fn indexed_unrolled(bytes: &[u8]) -> Vec<String> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    io::Write::write_all(&mut encoder, bytes).unwrap();
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), encoder.finish().unwrap()).unwrap();
    let joined = Joined::open(&[file.path().to_owned()]).unwrap();
    let unpacker = Unpacker::begin(&joined.into(), Coding::Gzip).unwrap();
    indexed_by(&mut Unrolled::new(unpacker), bytes)
}

#[test]
fn damage_longer_than_can_be_looked_back_is_one_lost_place() {
    let (first, second) = (tar_of(&[("a.jpg", "a")]), tar_of(&[("b.jpg", "b")]));
    let (zeros, junk) = (vec![0_u8; 10 << 20], vec![b'j'; 512]);
    let mut long = header(10 << 20);
    long.set_entry_type(EntryType::GNULongName);
    long.set_path("long").unwrap();
    long.set_cksum();
    let mut with_long = builder();
    append(&mut with_long, "a.jpg", "a");
    with_long
        .append(&long, vec![b'n'; 10 << 20].as_slice())
        .unwrap();
    append(&mut with_long, "b.jpg", "b");
    let lost = ["a.jpg = a", "@1024: damaged-archive", "b.jpg = b"];
    for (bytes, expected) in [
        ([&first[..], &zeros, &junk].concat(), &lost[..2]),
        ([&first[..], &zeros, &junk, &second].concat(), &lost),
        (with_long.into_inner().unwrap(), &lost),
    ] {
        assert_eq!(indexed(&bytes), expected);
        assert_eq!(indexed_unrolled(&bytes), expected);
    }
}

/// Bytes of which all but the first ones are gone when they are asked for.
struct Forgetful<'a>(Memory<'a>);

impl Forward for Forgetful<'_> {
    fn reach(&mut self, end: u64) -> io::Result<u64> {
        self.0.reach(end)
    }

    fn read_exact_at(&mut self, buffer: &mut [u8], at: u64) -> io::Result<()> {
        match at < 1024 {
            true => self.0.read_exact_at(buffer, at),
            false => Err(io::Error::other(TooFarBack)),
        }
    }
}

#[test]
fn a_look_back_too_far_ends_the_archive_and_not_the_run() {
    let bytes = tar_of(&[("a.jpg", "a"), ("b.jpg", "b")]);
    assert_eq!(
        indexed_by(&mut Forgetful(Memory(&bytes)), &bytes),
        ["a.jpg = a", "@1024: damaged-archive"]
    );
}

#[test]
fn paths_that_no_system_has_cost_no_memory_and_are_named() {
    let long = format!("{}.jpg", "n".repeat(1 << 19));
    // Six digits and what is around the path.
    let record = format!("{} path={long}\n", 6 + " path=\n".len() + long.len());
    let mut global = header(record.len());
    global.set_entry_type(EntryType::XGlobalHeader);
    global.set_path("pax_global_header").unwrap();
    global.set_cksum();
    let mut builder = builder();
    builder.append(&global, record.as_bytes()).unwrap();
    append(&mut builder, "a.jpg", "a");
    for _ in 0..2 {
        builder
            .append_pax_extensions([("path", long.as_bytes())])
            .unwrap();
        append(&mut builder, "b.jpg", "b");
    }
    builder
        .append_pax_extensions([("linkpath", long.as_bytes())])
        .unwrap();
    link(&mut builder, EntryType::Link, "l.jpg", "short");
    append(&mut builder, "c.jpg", "c");
    let found = indexed(&builder.into_inner().unwrap());
    assert_eq!(found.len(), 5);
    let (first, second) = (&found[1], &found[2]);
    assert_eq!(
        [&found[0], &found[3], &found[4]],
        ["a.jpg = a", "l.jpg: unsupported-member", "c.jpg = c"]
    );
    assert_ne!(first, second);
    for shown in [first, second] {
        assert!(shown.starts_with("nnn") && shown.len() < 200, "{shown}");
        assert!(shown.ends_with(".jpg: unsupported-member"), "{shown}");
    }
}
