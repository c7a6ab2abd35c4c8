//! Damaged shards: whatever is wrong with a file, reading it ends in rows or in an error.

use std::fs;
use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::Index;

use super::tests::example_set;
use super::*;
use crate::Result;
use crate::catalog::shard_paths;

/// A shard of three frames.
static SHARD: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let (set, _) = example_set();
    fs::read(&shard_paths(set.path()).unwrap()[1]).unwrap()
});

/// Everything that can be asked of a shard.
fn read(content: &[u8]) -> Result<Vec<FrameEntry>> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), content).unwrap();
    let shard = ShardReader::open(file.path())?;
    for position in (0..content.len() as u64).step_by(997) {
        shard.part_at(position).to_string();
    }
    let _ = shard.file_checksum();
    let rows = shard.rows()?;
    assert_eq!(rows.len() as u64, shard.num_frames());
    for level in rows.iter().flat_map(|row| row.levels.iter().flatten()) {
        let _ = shard.jpeg(level);
    }
    Ok(rows)
}

/// The lowest bit of a number in the footer is its sign: the Parquet library panics over columns in
/// front of the file.
#[test]
fn no_changed_sign_in_the_footer_panics() {
    for at in (SHARD.len() / 2..SHARD.len()).step_by(5) {
        let mut content = SHARD.clone();
        content[at] ^= 1;
        let _ = read(&content);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn no_changed_bytes_panic(changes in prop::collection::vec((any::<Index>(), any::<u8>()), 2..6)) {
        let mut content = SHARD.clone();
        for (at, byte) in changes {
            let len = content.len();
            content[at.index(len)] = byte;
        }
        let _ = read(&content);
    }

    #[test]
    fn a_cut_off_shard_is_an_error(len in any::<Index>()) {
        prop_assert!(read(&SHARD[..len.index(SHARD.len())]).is_err());
    }
}
