//! The shards of a set as open files, to be read with `pread`.
//!
//! A process may have only so many files open (`ulimit -n`), and the trainer needs some for itself.
//! So shards take at most half of them. If all fit, as nearly always, each is opened once and found
//! without a lock. If not, every shard has a place that it shares with others, and takes it when it
//! is read. Whatever is open when it changes hands is closed by its last reader.
//!
//! A shard that cannot be read, or has become shorter, is lost: that is an error of the set, never
//! of one frame.

use std::fs::File;
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use schemas::catalog::Catalog;
use schemas::index::LevelSlot;
use schemas::{Error, Result};

/// One in so many of the files that a process may have open is a shard.
const SHARE: u64 = 2;

/// All shards of a set, each opened when it is first needed.
#[derive(Debug)]
pub(crate) struct ShardFiles {
    shards: Box<[Shard]>,
    open: Open,
}

#[derive(Debug)]
struct Shard {
    path: PathBuf,
    bytes: u64,
}

#[derive(Debug)]
enum Open {
    /// By shard.
    Each(Box<[OnceLock<File>]>),
    /// By place; shard `n` has place `n % places`.
    InTurns(Box<[Place]>),
}

/// A shard's number, and its file.
type Place = Mutex<Option<(u32, Arc<File>)>>;

impl ShardFiles {
    /// Those of `catalog`. If they are many, this raises the process's limit of open files, as far
    /// as it may.
    pub(crate) fn new(catalog: &Catalog) -> Self {
        Self::with_places(catalog, most_open(catalog.shards().len() as u64))
    }

    fn with_places(catalog: &Catalog, places: usize) -> Self {
        let shards = (0..).zip(catalog.shards()).map(|(ix, info)| Shard {
            path: catalog.shard_path(ix),
            bytes: info.bytes,
        });
        let shards: Box<[Shard]> = shards.collect();
        let open = if shards.len() <= places {
            Open::Each(shards.iter().map(|_| OnceLock::new()).collect())
        } else {
            Open::InTurns((0..places).map(|_| Mutex::default()).collect())
        };
        Self { shards, open }
    }

    /// The JPEG in `slot`, in `buffer`, which grows if it must.
    ///
    /// # Errors
    /// [`Error::Lost`] if the shard cannot be read, or has not the size that the catalog says;
    /// [`Error::Damaged`] if the slot lies outside of it.
    pub(crate) fn read<'a>(&self, slot: LevelSlot, buffer: &'a mut Vec<u8>) -> Result<&'a [u8]> {
        let shard = &self.shards[slot.shard as usize];
        let len = slot.len as usize;
        if slot.offset.saturating_add(slot.len.into()) > shard.bytes {
            return Err(Error::Damaged {
                detail: "a JPEG lies outside of the file".to_owned(),
                path: shard.path.clone(),
            });
        }
        if buffer.len() < len {
            buffer.resize(len, 0);
        }
        let bytes = &mut buffer[..len];
        self.with(slot.shard, |file| {
            file.read_exact_at(bytes, slot.offset)
                .map_err(|answer| shard.lost(file, answer))
        })?;
        Ok(bytes)
    }

    /// Calls `read` with the shard's file, opened if need be.
    pub(crate) fn with<T>(&self, shard: u32, read: impl FnOnce(&File) -> Result<T>) -> Result<T> {
        let open = || self.shards[shard as usize].open();
        match &self.open {
            Open::Each(files) => {
                let file = &files[shard as usize];
                match file.get() {
                    Some(file) => read(file),
                    None => {
                        let opened = open()?;
                        read(file.get_or_init(|| opened))
                    }
                }
            }
            Open::InTurns(places) => {
                let file = take_turn(&places[shard as usize % places.len()], shard, open)?;
                read(&file)
            }
        }
    }
}

/// The file at `place`, opened if that holds another shard's.
fn take_turn(place: &Place, shard: u32, open: impl FnOnce() -> Result<File>) -> Result<Arc<File>> {
    // A file that is there is whole, whatever panicked.
    let mut place = place.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some((found, file)) = &*place
        && *found == shard
    {
        return Ok(Arc::clone(file));
    }
    // Closed first: it may be the last that the process may have.
    *place = None;
    let file = Arc::new(open()?);
    *place = Some((shard, Arc::clone(&file)));
    Ok(file)
}

impl Shard {
    fn open(&self) -> Result<File> {
        let lost = |answer| Error::lost(&self.path, answer);
        let file = File::open(&self.path).map_err(lost)?;
        match file.metadata().map_err(lost)?.len() {
            found if found == self.bytes => Ok(file),
            found => Err(Error::resized(&self.path, found, self.bytes)),
        }
    }

    /// Why a read failed: what the system says, or, if the file has ended too soon, its length now.
    fn lost(&self, file: &File, answer: io::Error) -> Error {
        match file.metadata() {
            Ok(now) if answer.kind() == ErrorKind::UnexpectedEof => {
                Error::resized(&self.path, now.len(), self.bytes)
            }
            _ => Error::lost(&self.path, answer),
        }
    }
}

/// How many of `shards` may be open at a time.
fn most_open(shards: u64) -> usize {
    let limit = getrlimit(Resource::Nofile);
    let allowed = raised(limit, SHARE * shards);
    if allowed != limit.current {
        // Not being allowed to is no failure: fewer are open then.
        let _ = setrlimit(
            Resource::Nofile,
            Rlimit {
                current: allowed,
                ..limit
            },
        );
    }
    let allowed = getrlimit(Resource::Nofile).current;
    allowed.map_or(usize::MAX, |allowed| (allowed / SHARE).max(1) as usize)
}

/// The soft limit that gives `wanted` files, as near as `limit` allows; `None` is without end.
fn raised(limit: Rlimit, wanted: u64) -> Option<u64> {
    let current = limit.current?;
    Some(current.max(limit.maximum.unwrap_or(u64::MAX).min(wanted)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use testkit::photos;

    /// A set of seven shards of one frame.
    fn set() -> (tempfile::TempDir, Catalog) {
        let dir = tempfile::tempdir().unwrap();
        photos::write(dir.path(), 7, 1);
        let catalog = Catalog::open(dir.path()).unwrap();
        (dir, catalog)
    }

    fn slots(catalog: &Catalog) -> Vec<LevelSlot> {
        let index = catalog.index(&catalog.all()).unwrap();
        (0..index.len())
            .map(|frame| index.level(frame, 1).unwrap())
            .collect()
    }

    fn open_in(dir: &std::path::Path) -> usize {
        let links = fs::read_dir("/proc/self/fd").unwrap();
        let links = links.filter_map(|link| fs::read_link(link.ok()?.path()).ok());
        links
            .filter(|link| link.starts_with(dir.join("frames")))
            .count()
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn more_shards_than_files_give_the_same_bytes() {
        let (dir, catalog) = set();
        let slots = slots(&catalog);
        let (few, all) = (
            ShardFiles::with_places(&catalog, 2),
            ShardFiles::with_places(&catalog, 7),
        );
        let (mut one, mut other) = (Vec::new(), Vec::new());
        for slot in slots.iter().chain(slots.iter().rev()) {
            let bytes = few.read(*slot, &mut one).unwrap();
            assert!(open_in(dir.path()) <= 2 + 7);
            assert!(bytes == all.read(*slot, &mut other).unwrap());
        }
        drop(all);
        assert_eq!(open_in(dir.path()), 2);
    }

    #[test]
    fn a_shard_that_is_cut_or_gone_is_lost_and_named() {
        let (_dir, catalog) = set();
        let (slots, mut buffer) = (slots(&catalog), Vec::new());
        let files = ShardFiles::with_places(&catalog, 7);
        files.read(slots[0], &mut buffer).unwrap();
        let path = catalog.shard_path(0);
        let bytes = fs::metadata(&path).unwrap().len();
        File::options()
            .write(true)
            .open(&path)
            .unwrap()
            .set_len(9)
            .unwrap();
        // Open already, and yet to be opened.
        for files in [files, ShardFiles::with_places(&catalog, 2)] {
            let error = files.read(slots[0], &mut buffer).unwrap_err();
            assert!(!error.is_of_frame());
            let text = error.to_string();
            let parts = [
                path.to_str().unwrap(),
                &format!("it has 9 bytes, the catalog says {bytes}"),
            ];
            assert!(parts.iter().all(|part| text.contains(part)), "{text}");
            files.read(slots[1], &mut buffer).unwrap();
        }
        fs::remove_file(catalog.shard_path(2)).unwrap();
        let error = ShardFiles::with_places(&catalog, 7)
            .read(slots[2], &mut buffer)
            .unwrap_err();
        assert!(matches!(error, Error::Lost { .. }), "{error}");
    }

    #[test]
    fn a_place_outside_of_its_shard_is_the_frames_fault() {
        let (_dir, catalog) = set();
        let mut slot = slots(&catalog)[0];
        slot.offset = u64::MAX - 3;
        let files = ShardFiles::with_places(&catalog, 7);
        assert!(files.read(slot, &mut Vec::new()).unwrap_err().is_of_frame());
    }

    #[test]
    fn the_limit_is_raised_as_far_as_it_is_wanted_and_allowed() {
        let limit = |current, maximum| Rlimit { current, maximum };
        assert_eq!(raised(limit(Some(64), Some(64)), 132), Some(64));
        assert_eq!(raised(limit(Some(64), Some(100)), 132), Some(100));
        assert_eq!(raised(limit(Some(64), None), 132), Some(132));
        assert_eq!(raised(limit(Some(1024), Some(4096)), 132), Some(1024));
        assert_eq!(raised(limit(None, None), 132), None);
    }
}
