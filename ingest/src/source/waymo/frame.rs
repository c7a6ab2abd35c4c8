//! One record: a `Frame`, or one wrapped as the end-to-end release has it.
//!
//! Which it is shows in the content. A `Frame` with images is one. Only what is none is taken for a
//! wrapper, and only if images in it begin like images: a damaged or imageless frame read as a
//! wrapper can look like something, but not like that.

use std::collections::BTreeSet;

use prost::Message;
use prost::bytes::Bytes;

use super::drive::{Drive, camera};
use super::messages::{CameraImage, EndToEndFrame, Frame};
use crate::error::Defect;
use crate::source::item::SourceImage;

/// What a record yields: images, each with what is wrong with it.
pub(super) type Images = Vec<Result<SourceImage, Defect>>;

/// How files begin that cameras make: JPEG, PNG, WebP.
const IMAGE_BEGINNINGS: [&[u8]; 3] = [&[0xFF, 0xD8, 0xFF], b"\x89PNG", b"RIFF"];

/// The images of one record; only those of `cameras` unless empty. A frame without images has none.
/// `None` if it is a message that has nothing of a frame, not even a time.
///
/// # Errors
/// [`Defect`] if it is no message, or does not say of what drive and time.
pub(super) fn images(
    record: Bytes,
    split: Option<&str>,
    cameras: &BTreeSet<String>,
) -> Result<Option<Images>, Defect> {
    let frame = Frame::decode(record.clone());
    if let Ok(frame) = &frame
        && !frame.images.is_empty()
    {
        return images_of_drive(frame, split, cameras).map(Some);
    }
    if let Some(frame) = end_to_end(record) {
        return Ok(Some(images_of_moment(&frame, split, cameras)));
    }
    match frame {
        Ok(frame) => Ok(frame.timestamp_micros.map(|_| Vec::new())),
        Err(error) => Err(Defect::new("bad-protobuf", error.to_string())),
    }
}

/// The frame in a record of the end-to-end release, if that is what it is.
fn end_to_end(record: Bytes) -> Option<Frame> {
    let frame = EndToEndFrame::decode(record).ok()?.frame?;
    let name = frame.context.as_ref()?.name.as_deref()?;
    let is_frame = match frame.images.is_empty() {
        true => sequence(name) != name,
        false => !name.is_empty() && frame.images.iter().any(looks_like_image),
    };
    is_frame.then_some(frame)
}

fn looks_like_image(image: &CameraImage) -> bool {
    let image = image.image.as_deref().unwrap_or_default();
    IMAGE_BEGINNINGS
        .iter()
        .any(|beginning| image.starts_with(beginning))
}

/// `8e737334b520fdd0` of `8e737334b520fdd0-085`.
fn sequence(context: &str) -> &str {
    let is_index = |index: &str| {
        !index.is_empty() && index.len() <= 6 && index.bytes().all(|byte| byte.is_ascii_digit())
    };
    context
        .rsplit_once('-')
        .filter(|(sequence, index)| !sequence.is_empty() && is_index(index))
        .map_or(context, |(sequence, _)| sequence)
}

/// The images of a frame of the perception data set: its context is the drive.
fn images_of_drive(
    frame: &Frame,
    split: Option<&str>,
    cameras: &BTreeSet<String>,
) -> Result<Images, Defect> {
    let context = frame.context.clone().unwrap_or_default();
    let (Some(context_name), Some(timestamp)) = (context.name, frame.timestamp_micros) else {
        return Err(Defect::new(
            "bad-protobuf",
            "the frame has images but no context name or timestamp",
        ));
    };
    let drive = Drive {
        split,
        context: &context_name,
        segment: &context_name,
        stats: &context.stats.unwrap_or_default(),
        cameras,
    };
    Ok(images_at(frame, Some(timestamp), &drive))
}

/// The images of a frame of the end-to-end release: its context is the frame itself, and its time
/// is left out or 0.
fn images_of_moment(frame: &Frame, split: Option<&str>, cameras: &BTreeSet<String>) -> Images {
    let context = frame.context.clone().unwrap_or_default();
    let context_name = context.name.unwrap_or_default();
    let drive = Drive {
        split,
        context: &context_name,
        segment: sequence(&context_name),
        stats: &context.stats.unwrap_or_default(),
        cameras,
    };
    let timestamp = frame.timestamp_micros.filter(|&micros| micros != 0);
    images_at(frame, timestamp, &drive)
}

fn images_at(frame: &Frame, timestamp: Option<i64>, drive: &Drive<'_>) -> Images {
    let images = frame.images.iter().filter_map(|image| {
        let jpeg = image.image.clone().unwrap_or_default();
        camera(&image.name.unwrap_or_default().to_string())
            .map(|camera| drive.image(timestamp, camera, jpeg))
            .transpose()
    });
    images.collect()
}

#[cfg(test)]
mod tests;
