//! Damaged TFRecord files: a length that cannot be trusted ends its file, anything else costs one
//! record.

use std::fs;
use std::path::{Path, PathBuf};

use ingest::source::waymo::tfrecord::masked_crc;

use crate::support::{framed, frames_of, ingest_json, record, skipped_in};
use testkit::real_data;

/// Length of a record's header, and of the checksum behind its data.
const HEADER: usize = 12;
const FOOTER: usize = 4;

/// One file of three records, its undamaged set, and a place for damaged ones.
struct Case {
    dir: tempfile::TempDir,
    file: Vec<u8>,
    /// First byte of each record, and the end of the file.
    starts: [usize; 4],
    undamaged: PathBuf,
    runs: usize,
}

impl Case {
    fn new() -> Self {
        let records: Vec<Vec<u8>> = (0..3).map(|step| framed(&record("drive", step))).collect();
        let mut starts = [0; 4];
        for ix in 0..3 {
            starts[ix + 1] = starts[ix] + records[ix].len();
        }
        let dir = tempfile::tempdir().unwrap();
        let undamaged = dir.path().join("undamaged");
        let mut case = Self {
            file: records.concat(),
            starts,
            undamaged: undamaged.clone(),
            dir,
            runs: 0,
        };
        let set = case.ingest(&case.file.clone());
        fs::rename(set, undamaged).unwrap();
        case
    }

    fn ingest(&mut self, file: &[u8]) -> PathBuf {
        self.runs += 1;
        let (input, out) = (
            self.dir.path().join("in/drive.tfrecord"),
            self.dir.path().join(self.runs.to_string()),
        );
        fs::create_dir_all(input.parent().unwrap()).unwrap();
        fs::write(&input, file).unwrap();
        ingest_json("waymo", &input, &out, &["--max-bad", "100%"]);
        out
    }

    /// Ingests a damaged file, of which the records `lost` must be missing, listed as `expected`
    /// (record and reason), and all others be as they were.
    #[track_caller]
    fn check(&mut self, damaged: &[u8], lost: &[usize], expected: &[(usize, &str)]) {
        let set = self.ingest(damaged);
        let place = |ix: usize| format!("in/drive.tfrecord@{}", self.starts[ix]);
        let expected: Vec<_> = expected
            .iter()
            .map(|&(ix, reason)| (place(ix), reason.to_owned()))
            .collect();
        assert_eq!(skipped_in(&set), expected);
        let mut frames = frames_of(&self.undamaged);
        assert_eq!(frames.len(), 6);
        frames.retain(|_, (meta, _)| !lost.iter().any(|&ix| meta.source == place(ix)));
        assert_eq!(frames_of(&set), frames);
        fs::remove_dir_all(set).unwrap();
    }

    fn flipped(&self, at: usize, bit: usize) -> Vec<u8> {
        let mut file = self.file.clone();
        file[at] ^= 1 << bit;
        file
    }

    /// The file with other data in its second record, under right checksums.
    fn replaced(&self, data: &[u8]) -> Vec<u8> {
        [
            &self.file[..self.starts[1]],
            &framed(data),
            &self.file[self.starts[2]..],
        ]
        .concat()
    }
}

#[test]
fn a_truncated_file_loses_only_its_last_record() {
    let mut case = Case::new();
    let [_, second, third, end] = case.starts;
    let file = case.file.clone();
    for (cut, lost) in [(second, vec![1, 2]), (third, vec![2])] {
        case.check(&file[..cut], &lost, &[]);
    }
    case.check(&[], &[0, 1, 2], &[(0, "empty-file")]);
    for cut in [
        1,
        8,
        11,
        HEADER,
        HEADER + 1,
        second / 2,
        second - FOOTER,
        second - 1,
    ] {
        case.check(&file[..cut], &[0, 1, 2], &[(0, "truncated-tfrecord")]);
    }
    for cut in [third + 1, third + HEADER, end - FOOTER - 1, end - 1] {
        case.check(&file[..cut], &[2], &[(2, "truncated-tfrecord")]);
    }
}

#[test]
fn a_damaged_length_ends_the_file_and_damaged_data_one_record() {
    let mut case = Case::new();
    let [_, second, third, _] = case.starts;
    for byte in 0..HEADER {
        let damaged = case.flipped(second + byte, byte % 8);
        case.check(&damaged, &[1, 2], &[(1, "bad-length-crc")]);
    }
    let data = [second + HEADER, (second + third) / 2, third - FOOTER - 1];
    for at in data.into_iter().chain(third - FOOTER..third) {
        let damaged = case.flipped(at, at % 8);
        case.check(&damaged, &[1], &[(1, "bad-data-crc")]);
    }
}

#[test]
fn a_length_that_claims_terabytes_ends_the_file() {
    let mut case = Case::new();
    let left = (case.file.len() - case.starts[1] - HEADER) as u64;
    for length in [
        left - FOOTER as u64 + 1,
        left,
        1 << 31,
        1 << 42,
        u64::MAX - 15,
        u64::MAX,
    ] {
        let bytes = length.to_le_bytes();
        let header = [&bytes[..], &masked_crc(&bytes).to_le_bytes()].concat();
        let mut damaged = case.file.clone();
        damaged[case.starts[1]..case.starts[1] + HEADER].copy_from_slice(&header);
        case.check(&damaged, &[1, 2], &[(1, "truncated-tfrecord")]);
    }
}

#[test]
fn a_damaged_message_under_right_checksums_costs_its_record() {
    let mut case = Case::new();
    let good = record("drive", 1);
    let nested_too_far = b"\x0b".repeat(200);
    let nameless = [&[0x0a, 0x03, 0x0a, 0x01, 0xff][..], &good].concat();
    for data in [
        &good[..7],
        b"\xff",
        b"\x22\xff\xff\xff\xff\x0f",
        &nested_too_far,
        &nameless,
    ] {
        // Same length, so that the third record stays where it is.
        let mut padded = data.to_vec();
        padded.resize(good.len(), 0xff);
        let damaged = case.replaced(&padded);
        case.check(&damaged, &[1], &[(1, "bad-protobuf")]);
    }
    // An unknown field is no damage.
    let mut unknown = vec![0xfa, 0x3f];
    let rest = good.len() - unknown.len() - 3;
    unknown.extend([
        (rest & 0x7f) as u8 | 0x80,
        (rest >> 7 & 0x7f) as u8 | 0x80,
        (rest >> 14) as u8,
    ]);
    unknown.resize(good.len(), 0);
    let damaged = case.replaced(&unknown);
    case.check(&damaged, &[1], &[]);
}

/// What is true of any flipped bit: no frame is wrong, and what is missing is listed.
fn check_flip(case: &mut Case, at: usize, bit: usize) {
    let damaged = case.flipped(at, bit);
    let set = case.ingest(&damaged);
    let undamaged = frames_of(&case.undamaged);
    let (frames, skipped) = (frames_of(&set), skipped_in(&set));
    for (name, frame) in &frames {
        assert_eq!(
            Some(frame),
            undamaged.get(name),
            "byte {at}, bit {bit}: {name} is not what it was"
        );
    }
    let hit = case.starts.iter().rposition(|&start| start <= at).unwrap();
    let expected = match skipped.first().map(|(_, reason)| reason.as_str()) {
        Some("bad-data-crc") => 4,
        Some("bad-length-crc") => 2 * hit,
        other => panic!("byte {at}, bit {bit}: {other:?}"),
    };
    let place = format!("in/drive.tfrecord@{}", case.starts[hit]);
    assert_eq!(
        (frames.len(), &skipped[0].0, skipped.len()),
        (expected, &place, 1),
        "byte {at}, bit {bit}"
    );
    fs::remove_dir_all(set).unwrap();
}

#[test]
fn no_flipped_bit_makes_a_wrong_frame() {
    let mut case = Case::new();
    // A linear congruential generator (Knuth's MMIX): the same bits in every run.
    let mut state = 1u64;
    let mut next = |below: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % below
    };
    let len = case.file.len();
    for ix in 0..200 {
        // Every other one in a record's framing, which is a small part of the file.
        let at = match ix % 2 {
            0 => next(len),
            _ => (case.starts[1 + next(3)] - FOOTER + next(FOOTER + HEADER)) % len,
        };
        check_flip(&mut case, at, next(8));
    }
}

#[test]
fn flipped_bits_of_real_records_are_listed() {
    let Some(file) = real_data("waymo/pvps_data_one_frame.tfrecord") else {
        return;
    };
    let bytes = fs::read(&file).unwrap();
    let dir = tempfile::tempdir().unwrap();
    for ix in 0..8 {
        let at = ix * (bytes.len() - 1) / 7;
        let mut damaged = bytes.clone();
        damaged[at] ^= 1 << ix;
        check_real(dir.path(), &damaged, at);
    }
}

fn check_real(dir: &Path, damaged: &[u8], at: usize) {
    let (input, out) = (dir.join("in/frame.tfrecord"), dir.join(at.to_string()));
    fs::create_dir_all(dir.join("in")).unwrap();
    fs::write(&input, damaged).unwrap();
    let summary = ingest_json("waymo", &input, &out, &["--max-bad", "1"]);
    let reason = if at < HEADER {
        "bad-length-crc"
    } else {
        "bad-data-crc"
    };
    assert_eq!(
        skipped_in(&out),
        [("in/frame.tfrecord@0".to_owned(), reason.to_owned())],
        "byte {at}"
    );
    assert_eq!(summary["frames_written"], 0);
}
