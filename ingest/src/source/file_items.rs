//! The items of a job of image files: their names become metadata, nothing is read yet.

use std::sync::Arc;

use schemas::frame::FrameMeta;
use schemas::geom::Size;
use schemas::shard::ShardId;

use super::archive::{Archive, Opened};
use super::dataset::Dataset;
use super::files::Files;
use super::item::{Data, Item, Items, SourceImage};
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
    let opened = match files.archive() {
        None => None,
        Some(archive) => Some(archive.reopen()?),
    };
    let end = id.end_item.unwrap_or(files.len());
    let input = id.input.as_str();
    Ok(Items::new((id.first_item..end).map(move |place| {
        item(dataset, files, tags, input, place, opened.as_ref())
    })))
}

fn item(
    dataset: Dataset,
    files: &Files,
    tags: &Tags,
    input: &str,
    place: u64,
    opened: Option<&Arc<Opened>>,
) -> Result<Item> {
    let data = match (files.archive(), opened) {
        (Some(archive), Some(opened)) => member(archive, files.ix(place), opened)?,
        _ => files.file(place).map(Data::File),
    };
    let content = data.map(|data| SourceImage {
        meta: meta(dataset, files, tags, input, place),
        data,
    });
    Ok(Item {
        source: files.source(place),
        weight: 1,
        unread_bytes: files
            .archive()
            .map_or(0, |archive| archive.unread_bytes(files.ix(place))),
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

/// What is known of the item at `place` before it is read.
pub(super) fn meta(
    dataset: Dataset,
    files: &Files,
    tags: &Tags,
    input: &str,
    place: u64,
) -> FrameMeta {
    let (source, relative) = (files.source(place), files.relative(place));
    let (frame_id, facts) = match dataset {
        Dataset::Soda10m => (
            soda10m::frame_id(&source),
            soda10m::facts(input, &relative, tags),
        ),
        Dataset::Waymo | Dataset::Images => (source.clone(), images::facts(input, &relative)),
    };
    FrameMeta {
        frame_id,
        source,
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
