//! Archives of images, read where they lie: `.tar` and `.zip`, whole or in parts, are never
//! unpacked on disk. `.tar.gz` and `.tar.zst` are unpacked in memory, in one pass.
//!
//! When a run is planned, the names and places of all members are collected: of a tar by going from
//! header to header, of a zip by its directory. Then members are read by their place, in any order,
//! by any thread. What is compressed as a whole is unpacked once for its names and once for what is
//! in it.

mod contents;
mod format;
mod forward;
mod gather;
mod index;
mod joined;
mod kept;
mod magic;
mod members;
mod names;
mod opened;
mod part_name;
pub(super) mod parts;
mod place;
mod stream;
mod tar;
mod unpack;
mod unrolled;
mod zip;

use std::io::{self, BufReader, Read};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::choice::Choose;
use super::naming::short_name;
use super::new_index::NewIndex;
use super::search::Search;
use crate::error::{Defect, Error, Result, Trouble};
use format::Kind;
use forward::Ahead;
use gather::Gather;
use index::Index;
use joined::Joined;
use kept::Kept;
use members::Members;
pub(crate) use opened::{MemberFile, Opened};
use parts::{InFolder, Whole};
use place::Lost;
use unpack::Unpacker;
use unrolled::Unrolled;

/// An archive and what is in it.
#[derive(Debug)]
pub(crate) struct Archive {
    whole: Whole,
    /// `None` if nothing of it can be read.
    kind: Option<Kind>,
    /// Of all parts, when it was indexed.
    bytes: u64,
    index: Index,
    /// What is compressed as a whole stays open from job to job.
    open: Mutex<Weak<Opened>>,
}

impl Archive {
    /// Whether the file at `path` is called like an archive, a compressed one included, or like a
    /// part of one.
    pub(crate) fn may_be(path: &Path) -> bool {
        let name = path.file_name().and_then(|name| name.to_str());
        name.is_some_and(parts::has_archive_name)
    }

    /// Indexes the archive that the file at `path` is, or is a part of: the members that `choose`
    /// takes are its items, the others are counted in `search`.
    ///
    /// # Errors
    /// If it is no archive, a part is missing, or reading fails. Damage is an item.
    pub(crate) fn open(path: &Path, choose: Choose<'_>, search: &mut Search) -> Result<Self> {
        Self::index(parts::whole(path)?, choose, search)
    }

    /// Indexes the archives among the files at `paths` of a folder, which are called like archives
    /// or parts of them. What is none is counted; one that cannot be read is one lost item.
    ///
    /// # Errors
    /// If reading fails.
    pub(crate) fn open_all(
        paths: impl Iterator<Item = PathBuf>,
        choose: Choose<'_>,
        search: &mut Search,
    ) -> Result<Vec<Self>> {
        let mut archives = Vec::new();
        for found in parts::in_folder(paths) {
            match found {
                InFolder::Whole(whole) => match unreadable(&whole) {
                    None => archives.push(Self::index(whole, choose, search)?),
                    Some(defect) => archives.push(Self::lost(whole, defect)),
                },
                InFolder::Incomplete(whole, defect) => archives.push(Self::lost(whole, defect)),
                InFolder::Compressed(path, ending) => {
                    let place = short_name(&path, 2);
                    search.passed_over.add("compressed-archive", ending, &place);
                }
                InFolder::Other(path) => {
                    let place = short_name(&path, 2);
                    let kind = place.rsplit('.').next().unwrap_or_default();
                    search
                        .passed_over
                        .add("other-file", format!(".{kind}"), &place);
                }
            }
        }
        Ok(archives)
    }

    fn index(whole: Whole, choose: Choose<'_>, search: &mut Search) -> Result<Self> {
        let bytes = Arc::new(Joined::open(&whole.files)?);
        let kept = search.index_dir.as_ref().map(|dir| Kept::of(dir, &whole));
        let members = members(&whole, &bytes, kept.as_ref(), search.distrusts_indexes);
        let (kind, members, new) = members.map_err(Error::io("read", &whole.path))?;
        search.new_indexes.extend(new);
        let name = short_name(&whole.path, 2);
        Ok(Self {
            kind: Some(kind),
            bytes: bytes.len(),
            index: Index::of(&members, &name, choose, &mut search.passed_over),
            whole,
            open: Mutex::default(),
        })
    }

    /// An archive of which nothing can be read.
    fn lost(whole: Whole, defect: Defect) -> Self {
        let sizes = whole.files.iter().filter_map(|path| path.metadata().ok());
        let bytes = sizes.map(|metadata| metadata.len()).sum();
        let mut index = Index::default();
        let lost = Lost {
            defect,
            unread_bytes: bytes,
        };
        index.lose("@0", lost);
        Self {
            whole,
            kind: None,
            bytes,
            index,
            open: Mutex::default(),
        }
    }

    /// What it is called.
    pub(crate) fn path(&self) -> &Path {
        &self.whole.path
    }

    /// The file that it is, or its first part.
    pub(crate) fn first_file(&self) -> &Path {
        &self.whole.files[0]
    }

    /// Bytes of all its parts.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why the archive is not whole, if it is not.
    pub(crate) fn lack(&self) -> Option<String> {
        const LACKS: [&str; 7] = [
            "compression-bomb",
            "damaged-archive",
            "damaged-compression",
            "empty-file",
            "incomplete-archive",
            "truncated-archive",
            "unreadable-file",
        ];
        let mut defects = self.index.defects();
        let defect = defects.find(|defect| LACKS.contains(&defect.reason))?;
        Some(format!("{}: {}", defect.reason, defect.detail))
    }

    /// Bytes of the archive that cannot be read because of what is wrong at item `ix`.
    pub(crate) fn unread_bytes(&self, ix: u64) -> u64 {
        self.index
            .place(ix)
            .err()
            .map_or(0, |lost| lost.unread_bytes)
    }

    /// Number of items: chosen members, and places where something is lost.
    pub(crate) fn len(&self) -> u64 {
        self.index.names.len()
    }

    /// Path of item `ix` in the archive; of something that is lost, its place: `@offset`.
    pub(crate) fn relative(&self, ix: u64) -> String {
        self.index.names.get(ix)
    }

    /// Bytes of item `ix`; `None` of what is lost.
    pub(crate) fn bytes_of(&self, ix: u64) -> Option<u64> {
        Some(self.index.place(ix).ok()?.len())
    }

    /// Reads the tag files in the archive. What `read` says of one that it cannot read becomes a
    /// lost item.
    ///
    /// # Errors
    /// If reading the archive fails.
    pub(super) fn read_tag_files(
        &mut self,
        mut read: impl FnMut(&mut dyn Read) -> io::Result<()>,
    ) -> Result<()> {
        if self.index.tag_files.is_empty() {
            return Ok(());
        }
        let opened = self.reopen()?;
        for (path, place) in std::mem::take(&mut self.index.tag_files) {
            let file = MemberFile::new(opened.clone(), place);
            let read = file.contents().and_then(|contents| {
                read(&mut BufReader::new(contents)).map_err(|error| file.trouble(error))
            });
            match read {
                Ok(()) => {}
                Err(Trouble::Item(defect)) => {
                    let defect = Defect::new("bad-tags", defect.detail);
                    self.index.lose(&path, defect.into());
                }
                Err(Trouble::Run(error)) => return Err(error),
            }
        }
        Ok(())
    }

    /// Opens the archive's files again, to read items.
    ///
    /// # Errors
    /// If that fails, or they have another size than when they were indexed.
    pub(super) fn reopen(&self) -> Result<Arc<Opened>> {
        let Some(kind) = self.kind else {
            return Ok(Arc::new(Opened::nothing(&self.whole)));
        };
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(opened) = open.upgrade() {
            return Ok(opened);
        }
        let opened = Arc::new(Opened::open(&self.whole, kind)?);
        if opened.len() != self.bytes {
            let advice = "it is being written: run the same command again when it is complete";
            return Err(Error::input(
                "the archive changes while it is read",
                &self.whole.path,
                advice,
            ));
        }
        if matches!(kind, Kind::Packed(_)) {
            *open = Arc::downgrade(&opened);
        }
        Ok(opened)
    }

    /// The file that item `ix` is.
    ///
    /// # Errors
    /// [`Defect`] if something is wrong with it.
    pub(super) fn file(&self, ix: u64, opened: &Arc<Opened>) -> Result<MemberFile, Defect> {
        let place = self.index.place(ix).map_err(|lost| lost.defect)?;
        Ok(MemberFile::new(opened.clone(), place))
    }
}

/// Kind and members of an archive, kept ones if there are any.
fn members(
    whole: &Whole,
    bytes: &Arc<Joined>,
    kept: Option<&Kept>,
    is_distrusted: bool,
) -> io::Result<(Kind, Members, Option<NewIndex>)> {
    let stamps = bytes.stamps()?;
    let trusted = kept.filter(|_| !is_distrusted);
    if let Some(found) = trusted.and_then(|kept| kept.read(&stamps)) {
        return Ok((found.0, found.1, None));
    }
    let kind = Kind::of(whole, bytes)?;
    let mut gather = Gather::default();
    match kind {
        Kind::Tar => tar::index(&mut Ahead::new(bytes), &mut gather)?,
        Kind::Zip => zip::index(bytes, &mut gather)?,
        Kind::Packed(coding) => {
            let unpacker = Unpacker::begin(bytes, coding)?;
            tar::index(&mut Unrolled::new(unpacker), &mut gather)?;
        }
    }
    let mut members = gather.finish();
    if matches!(kind, Kind::Packed(_)) {
        members = members.in_order_of_places();
    }
    let is_unchanged = bytes.stamps()? == stamps;
    let kept = kept.filter(|_| is_unchanged);
    let new = kept.and_then(|kept| kept.packed(stamps, kind, &members));
    Ok((kind, members, new))
}

/// Why the files of `whole` cannot be read, if it is they and not the disk.
fn unreadable(whole: &Whole) -> Option<Defect> {
    let unreadable = |detail: String| Some(Defect::new("unreadable-file", detail));
    let mut bytes = 0;
    for path in &whole.files {
        let opened = path.metadata().and_then(|metadata| {
            bytes += metadata.len();
            // A pipe would be waited for.
            metadata
                .is_file()
                .then(|| std::fs::File::open(path))
                .transpose()
        });
        match opened {
            Ok(Some(_)) => {}
            Ok(None) => return unreadable("it is a pipe, socket or device".to_owned()),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied || path.is_symlink() => {
                return unreadable(error.to_string());
            }
            Err(_) => return None,
        }
    }
    (bytes == 0).then(|| Defect::new("empty-file", "it holds nothing at all"))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::source::image_files::choose;

    fn tar_of(names: &[&str]) -> Vec<u8> {
        let mut builder = ::tar::Builder::new(Vec::new());
        for name in names {
            let mut header = ::tar::Header::new_gnu();
            header.set_size(name.len() as u64);
            builder
                .append_data(&mut header, name, name.as_bytes())
                .unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn found(archive: &Archive) -> Vec<String> {
        let describe = |ix| match archive.index.place(ix) {
            Ok(_) => archive.relative(ix),
            Err(lost) => format!("{}: {}", archive.relative(ix), lost.defect.reason),
        };
        (0..archive.len()).map(describe).collect()
    }

    #[test]
    fn a_tar_is_walked_once_and_anew_when_it_has_changed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("x.tar");
        let mut search = Search {
            index_dir: Some(dir.path().join("set/.ingest.index")),
            ..Search::default()
        };
        let names = ["a.jpg", "notes.txt", "b.jpg", "a.jpg"];
        fs::write(&path, tar_of(&names)).unwrap();
        let open = |search: &mut Search| {
            let archive = Archive::open(&path, &choose, search).unwrap();
            let counts = search.passed_over.files();
            search.passed_over = Default::default();
            search.new_indexes.drain(..).for_each(|index| index.write());
            (found(&archive), counts)
        };
        let first = open(&mut search);
        assert_eq!(first.0, ["b.jpg", "a.jpg"]);
        assert_eq!(first.1.len(), 2);
        // The same file to all appearances, without a single header.
        let modified = path.metadata().unwrap().modified().unwrap();
        let size = path.metadata().unwrap().len();
        let file = fs::File::create(&path).unwrap();
        file.set_len(size).unwrap();
        file.set_modified(modified).unwrap();
        assert_eq!(open(&mut search), first);
        fs::write(&path, tar_of(&["c.jpg"])).unwrap();
        assert_eq!(open(&mut search).0, ["c.jpg"]);
        search.index_dir = None;
        assert_eq!(open(&mut search).0, ["c.jpg"]);
    }

    #[test]
    fn no_archive_of_a_folder_ends_the_search() {
        let dir = tempfile::tempdir().unwrap();
        let tar = tar_of(&["a.jpg"]);
        for name in [
            "good.tar",
            "gap.tar.aa",
            "gap.tar.ac",
            "packed.7z",
            "good.tar.log",
        ] {
            fs::write(dir.path().join(name), &tar).unwrap();
        }
        fs::write(dir.path().join("empty.tar"), "").unwrap();
        symlink("nowhere", dir.path().join("link.tar")).unwrap();
        fs::create_dir(dir.path().join("folder.tar")).unwrap();
        let mut search = Search::default();
        let mut paths: Vec<PathBuf> = fs::read_dir(dir.path())
            .unwrap()
            .map(|entry| entry.unwrap().path())
            .collect();
        paths.sort();
        let archives = Archive::open_all(paths.into_iter(), &choose, &mut search).unwrap();
        let all: Vec<String> = archives.iter().flat_map(found).collect();
        assert_eq!(
            all,
            [
                "@0: empty-file",
                "@0: unreadable-file",
                "@0: incomplete-archive",
                "a.jpg",
                "@0: unreadable-file",
            ]
        );
        assert_eq!(archives[2].unread_bytes(0), 2 * tar.len() as u64);
        let opened = archives[2].reopen().unwrap();
        let defect = archives[2].file(0, &opened).unwrap_err();
        assert!(defect.detail.contains("gap.tar.ab"), "{}", defect.detail);
        let counted = search.passed_over.files();
        let reasons: Vec<_> = counted
            .iter()
            .map(|files| (&*files.reason, &*files.kind))
            .collect();
        assert_eq!(
            reasons,
            [("compressed-archive", ".7z"), ("other-file", ".log")]
        );
    }
}
