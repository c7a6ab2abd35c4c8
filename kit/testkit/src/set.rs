//! Any frames as a set on disk.

use std::fs;
use std::path::Path;

use schemas::catalog::{self, shard_paths};
use schemas::frame::FrameRow;
use schemas::shard::{FRAMES_DIR, Settings, ShardId, ShardWriter};

/// Adds the shards number `chosen` of the set `from` to the folder `to`, without a catalog.
///
/// # Panics
/// If they are not there, or cannot be written.
pub fn add_shards(from: &Path, to: &Path, chosen: impl IntoIterator<Item = usize>) {
    let paths = shard_paths(from).expect("a set");
    let frames = to.join(FRAMES_DIR);
    fs::create_dir_all(&frames).expect("a folder for the shards");
    for ix in chosen {
        let name = paths[ix].file_name().expect("a shard has a name");
        fs::copy(&paths[ix], frames.join(name)).expect("the shard is copied");
    }
}

/// Writes `rows` in shards of `shard_frames`, and their catalog, into `dir`.
pub(crate) fn write(
    dir: &Path,
    settings: &Settings,
    rows: impl IntoIterator<Item = FrameRow>,
    shard_frames: usize,
) {
    let frames = dir.join(FRAMES_DIR);
    fs::create_dir_all(&frames).expect("a folder for the shards");
    let mut rows = rows.into_iter().peekable();
    let mut first_item = 0;
    while rows.peek().is_some() {
        let end_item = first_item + shard_frames as u64;
        let id = ShardId {
            input: "made-up".to_owned(),
            first_item,
            end_item: Some(end_item),
        };
        let mut shard = ShardWriter::create(&frames, &id, settings).expect("a shard");
        for row in rows.by_ref().take(shard_frames) {
            shard.push(row).expect("the row fits the settings");
        }
        shard.finish(&[], None).expect("the shard is written");
        first_item = end_item;
    }
    catalog::build(dir).expect("the shards make a set");
}
