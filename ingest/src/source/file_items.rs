//! The items of a job of image files: their names become metadata, nothing is read yet.

use std::sync::Arc;

use schemas::frame::FrameMeta;
use schemas::geom::Size;
use schemas::shard::ShardId;

use super::archive::{Archive, Opened};
use super::dataset::Dataset;
use super::files::Files;
use super::item::{Data, Item, Items, SourceImage};
use super::naming::source_name;
use super::tags::Tags;
use super::{images, soda10m};
use crate::error::{Defect, Result, Trouble};

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
        Files::Archive(archive) => Some(archive.reopen()?),
    };
    let end = id.end_item.unwrap_or(files.len());
    let input = id.input.as_str();
    Ok(Box::new((id.first_item..end).map(move |ix| {
        item(dataset, files, tags, input, ix, opened.as_ref())
    })))
}

fn item(
    dataset: Dataset,
    files: &Files,
    tags: &Tags,
    input: &str,
    ix: u64,
    opened: Option<&Arc<Opened>>,
) -> Result<Item> {
    let relative = files.relative(ix);
    let source = source_name(input, &relative);
    let data = match (files, opened) {
        (Files::Archive(archive), Some(opened)) => member(archive, ix, opened)?,
        _ => Ok(Data::File(files.path().join(&relative))),
    };
    let content = data.map(|data| SourceImage {
        meta: meta(dataset, input, &relative, &source, tags),
        data,
    });
    Ok(Item {
        source,
        weight: 1,
        unread_bytes: match files {
            Files::Archive(archive) => archive.unread_bytes(ix),
            Files::Folder(_) => 0,
        },
        content,
    })
}

/// The file that item `ix` of an archive is. What can only be read in its order is read here.
fn member(archive: &Archive, ix: u64, opened: &Arc<Opened>) -> Result<Result<Data, Defect>> {
    let file = match archive.file(ix, opened) {
        Ok(file) if file.is_sequential() => file,
        other => return Ok(other.map(Data::Member)),
    };
    match file.read() {
        Ok(bytes) => Ok(Ok(Data::Bytes(bytes))),
        Err(Trouble::Item(defect)) => Ok(Err(defect)),
        Err(Trouble::Run(error)) => Err(error),
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
