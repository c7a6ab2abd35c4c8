//! Jobs and items of image files, in folders and in archives: what SODA10M and other image sets
//! have in common.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use schemas::frame::FrameMeta;
use schemas::geom::Size;
use schemas::shard::ShardId;

use super::archive::parts::has_archive_name;
use super::archive::{Archive, Opened};
use super::listing::Listing;
use super::tags::Tags;
use super::{Content, Data, Dataset, Item, Items, Job, SourceImage, images, short_name, soda10m};
use crate::error::{Error, Result};

/// Consecutive items of one shard.
pub const ITEMS_PER_SHARD: u64 = 2048;

/// Endings of files that are images, whether or not they can be read: a TIFF is a named skip, a
/// label file is ignored.
const IMAGE_ENDINGS: [&str; 9] = [
    "jpg", "jpeg", "jpe", "png", "bmp", "gif", "tif", "tiff", "webp",
];

/// How names of pictures end that are annotations of another one, in Cityscapes and BDD100K.
const LABEL_NAMES: [&str; 8] = [
    "_labelIds",
    "_labelTrainIds",
    "_instanceIds",
    "_instanceTrainIds",
    "_gtFine_color",
    "_gtCoarse_color",
    "_train_id",
    "_train_color",
];

/// The image files of one input.
#[derive(Debug)]
pub enum Files {
    /// Of a folder.
    Folder(Listing),
    /// Of an archive.
    Archive(Archive),
}

impl Files {
    /// Number of items.
    pub fn len(&self) -> u64 {
        match self {
            Self::Folder(listing) => listing.len(),
            Self::Archive(archive) => archive.len(),
        }
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The folder, or the file or first part that is the archive.
    pub fn path(&self) -> &Path {
        match self {
            Self::Folder(listing) => listing.root(),
            Self::Archive(archive) => archive.first_file(),
        }
    }

    /// Path of item `ix` in the folder or archive. What is lost in an archive is a place in it:
    /// `@offset`.
    pub fn relative(&self, ix: u64) -> String {
        match self {
            Self::Folder(listing) => listing.relative(ix),
            Self::Archive(archive) => archive.relative(ix),
        }
    }
}

/// What names and tags say of a frame.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    /// `train`, `0` … `9` of SODA10M, …
    pub split: Option<String>,
    /// Sequence or class folder.
    pub segment: Option<String>,
    /// `CAM_FRONT`, …
    pub camera: Option<String>,
    /// Time of capture.
    pub timestamp_micros: Option<i64>,
    /// `Daytime`, `Night`.
    pub time_of_day: Option<String>,
    /// `Clear`, `Rainy`, …
    pub weather: Option<String>,
    /// Kind of place.
    pub location: Option<String>,
    /// Name or code of the city.
    pub city: Option<String>,
}

/// What is at a path that is an input.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// The images of the folder.
    pub folder: Listing,
    /// The archive, or those in the folder.
    pub archives: Vec<Archive>,
    /// JSON files in the folder.
    pub tag_files: Vec<PathBuf>,
}

/// Finds the image files and archives at `path`, a folder or an archive or a part of one.
///
/// # Errors
/// If it is none of them, or cannot be read.
pub(super) fn find(dataset: Dataset, path: &Path) -> Result<Found> {
    if path.is_dir() {
        let [folder, archives, tag_files] = Listing::by_kind(
            path,
            [&is_image, &has_archive_name, &|name| is_tag_file(name)],
        )?;
        let archives = Archive::open_all(archives.paths())?;
        return Ok(Found {
            folder,
            archives,
            tag_files: tag_files.paths().collect(),
        });
    }
    if !Archive::may_be(path) {
        let advice = format!(
            "`ingest {}` reads folders of JPEG and PNG files, .tar and .zip",
            dataset.name()
        );
        return Err(Error::input(
            "this is neither a folder nor an archive",
            path,
            advice,
        ));
    }
    Ok(Found {
        archives: vec![Archive::open(path)?],
        ..Found::default()
    })
}

/// Cuts the image files at `path` into jobs.
///
/// # Errors
/// If `path` is no folder and no archive, cannot be read, or holds no image.
pub(super) fn jobs(path: &Path) -> Result<Vec<Job>> {
    let found = find(Dataset::Images, path)?;
    found.into_jobs(Dataset::Images, path, &short_name(path, 1), &Arc::default())
}

impl Found {
    /// Jobs of all that was found at `path`; its folder is stored under the name `input`.
    ///
    /// # Errors
    /// If there is no image.
    pub(super) fn into_jobs(
        self,
        dataset: Dataset,
        path: &Path,
        input: &str,
        tags: &Arc<Tags>,
    ) -> Result<Vec<Job>> {
        let archives = self.archives.into_iter().map(|archive| {
            let input = short_name(archive.path(), 2);
            cut(dataset, Files::Archive(archive), &input, tags)
        });
        let folder = cut(dataset, Files::Folder(self.folder), input, tags);
        let jobs: Vec<Job> = folder.into_iter().chain(archives.flatten()).collect();
        if jobs.is_empty() {
            let name = dataset.name();
            let advice = format!(
                "`ingest {name}` looks for .jpg and .png files in it, and for .tar and .zip that hold some"
            );
            return Err(Error::input("it holds no images", path, advice));
        }
        Ok(jobs)
    }
}

fn cut(dataset: Dataset, files: Files, input: &str, tags: &Arc<Tags>) -> Vec<Job> {
    let files = Arc::new(files);
    let starts = (0..files.len()).step_by(ITEMS_PER_SHARD as usize);
    let job = |first_item: u64| {
        let end = (first_item + ITEMS_PER_SHARD).min(files.len());
        Job {
            id: ShardId {
                input: input.to_owned(),
                first_item,
                end_item: Some(end),
            },
            content: Content::Files {
                dataset,
                files: files.clone(),
                tags: tags.clone(),
            },
            weight: end - first_item,
        }
    };
    starts.map(job).collect()
}

/// The items of the shard `id`.
///
/// # Errors
/// If the archive that they are in cannot be opened, or has changed.
pub(super) fn items<'a>(
    dataset: Dataset,
    files: &'a Files,
    tags: &'a Tags,
    id: &'a ShardId,
) -> Result<Items<'a>> {
    let opened = match files {
        Files::Folder(_) => None,
        Files::Archive(archive) => Some(Arc::new(archive.reopen()?)),
    };
    let end = id.end_item.unwrap_or(files.len());
    let input = id.input.as_str();
    Ok(Box::new((id.first_item..end).map(move |ix| {
        Ok(item(dataset, files, tags, input, ix, opened.as_ref()))
    })))
}

fn item(
    dataset: Dataset,
    files: &Files,
    tags: &Tags,
    input: &str,
    ix: u64,
    opened: Option<&Arc<Opened>>,
) -> Item {
    let relative = files.relative(ix);
    let source = source_name(input, &relative);
    let data = match (files, opened) {
        (Files::Archive(archive), Some(opened)) => archive.image(ix, opened).map(Data::Member),
        _ => Ok(Data::File(files.path().join(&relative))),
    };
    let content = data.map(|data| SourceImage {
        meta: meta(dataset, input, &relative, &source, tags),
        data,
    });
    Item {
        source,
        weight: 1,
        content,
    }
}

fn meta(dataset: Dataset, input: &str, relative: &str, source: &str, tags: &Tags) -> FrameMeta {
    let (frame_id, facts) = match dataset {
        Dataset::Soda10m => (
            soda10m::frame_id(source),
            soda10m::facts(input, relative, tags),
        ),
        Dataset::Waymo | Dataset::Images => (source, images::facts(input, relative)),
    };
    FrameMeta {
        frame_id: frame_id.to_owned(),
        source: source.to_owned(),
        dataset: dataset.name().to_owned(),
        split: facts.split,
        segment: facts.segment,
        camera: facts.camera,
        timestamp_micros: facts.timestamp_micros,
        size: Size::new(0, 0),
        time_of_day: facts.time_of_day,
        weather: facts.weather,
        location: facts.location,
        city: facts.city,
    }
}

/// How an item is named in rows and reports: the folder or archive that was given, and the path or
/// place in it.
pub fn source_name(input: &str, relative: &str) -> String {
    if relative.starts_with('@') {
        format!("{input}{relative}")
    } else {
        format!("{input}/{relative}")
    }
}

/// Whether a file called `name` is an image, and no picture of labels.
pub(super) fn is_image(name: &str) -> bool {
    let path = Path::new(name);
    let [stem, ending] =
        [path.file_stem(), path.extension()].map(|part| part.and_then(|part| part.to_str()));
    let ending = ending.unwrap_or_default();
    !name.starts_with('.')
        && IMAGE_ENDINGS
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
        && !LABEL_NAMES
            .iter()
            .any(|label| stem.is_some_and(|stem| stem.ends_with(label)))
}

/// Whether a file called `name` may say something of images.
pub(super) fn is_tag_file(name: &str) -> bool {
    !name.starts_with('.')
        && Path::new(name)
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_from_labels_and_other_files() {
        for name in [
            "a.jpg",
            "a.JPEG",
            "a.b.png",
            "a.tiff",
            "aachen_000000_000019_leftImg8bit.png",
            "labelIds.png",
        ] {
            assert!(is_image(name), "{name}");
        }
        for name in [
            ".a.jpg",
            "a.txt",
            "jpg",
            "a_gtFine_labelIds.png",
            "a_labelTrainIds.png",
            "a_gtFine_color.png",
        ] {
            assert!(!is_image(name), "{name}");
        }
    }

    #[test]
    fn sources_are_paths_or_places() {
        assert_eq!(source_name("train", "a/b.jpg"), "train/a/b.jpg");
        assert_eq!(source_name("d/x.tar", "@512"), "d/x.tar@512");
        assert_eq!(
            source_name("d/x.tar", "inner.tar@512"),
            "d/x.tar/inner.tar@512"
        );
    }

    #[test]
    fn a_file_that_is_no_archive_and_a_folder_without_images_are_named() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("a.txt"), "").unwrap();
        for (path, detail) in [
            ("", "holds no images"),
            ("a.txt", "neither a folder nor an archive"),
        ] {
            let message = jobs(&dir.path().join(path)).unwrap_err().to_string();
            assert!(
                message.contains(detail) && message.contains("ingest images"),
                "{message}"
            );
        }
    }
}
