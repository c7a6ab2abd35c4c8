//! TFRecord files: those of version 1, a file a drive and a record a time step, and those of the
//! end-to-end release.
//!
//! Records are read whole, for their checksum; of the message only the declared fields are decoded,
//! and JPEGs stay where they were read. A place in a compressed file is one in what it unpacks to.

use std::collections::BTreeSet;
use std::io::Read;
use std::vec;

use super::compressed::{self, Packed};
use super::frame::images;
use super::place::{LostPlaces, TfRecord};
use super::tfrecord::{Event, Records};
use crate::cpu_time::{Stage, lap};
use crate::error::{Defect, Error, Result, Trouble};
use crate::source::item::{Checksum, Item, Items, SourceImage};
use crate::source::naming::source_name;

/// The images of a file that is stored under the name `input`; only those of `cameras` unless
/// empty.
///
/// # Errors
/// If it cannot be opened.
pub(crate) fn items<'a>(
    file: &'a TfRecord,
    input: &'a str,
    cameras: &'a BTreeSet<String>,
) -> Result<Items<'a>> {
    let unpacked = match compressed::open(&file.place) {
        Ok(unpacked) => unpacked,
        Err(Trouble::Run(error)) => return Err(error),
        Err(Trouble::Item(defect)) => {
            let bytes = file.place.path().metadata().map_or(0, |file| file.len());
            let lost = Item::lost(format!("{input}@0"), bytes, defect);
            return Ok(Items::new(std::iter::once(Ok(lost))));
        }
    };
    let checksum = Checksum::default();
    let frames = Frames {
        file,
        input,
        cameras,
        records: match unpacked.len {
            Some(len) => Records::new(unpacked.reader, len),
            None => Records::of_unknown_length(unpacked.reader),
        },
        packed: unpacked.packed,
        checksum: checksum.clone(),
        is_empty: true,
        is_foreign: true,
        done_before: 0,
        ready: Vec::new().into_iter(),
    };
    Ok(Items::with_checksum(frames, checksum))
}

/// What is lost in a folder or an archive that is stored under the name `input`.
pub(crate) fn lost_places<'a>(lost: &'a LostPlaces, input: &'a str) -> Items<'a> {
    Items::new(lost.places.iter().map(move |(place, defect, bytes)| {
        let source = source_name(input, place);
        Ok(Item::lost(source, *bytes, defect.clone()))
    }))
}

/// The images of one file, record by record.
struct Frames<'a> {
    file: &'a TfRecord,
    input: &'a str,
    cameras: &'a BTreeSet<String>,
    records: Records<Box<dyn Read>>,
    /// What was read of the file, if it is compressed.
    packed: Option<Packed>,
    checksum: Checksum,
    /// Whether nothing stood in the file so far.
    is_empty: bool,
    /// Whether no record was a frame, or lost.
    is_foreign: bool,
    /// Bytes of the file that items before these account for.
    done_before: u64,
    /// Items of the record that was read last.
    ready: vec::IntoIter<Item>,
}

impl Iterator for Frames<'_> {
    type Item = Result<Item>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            if let Some(item) = self.ready.next() {
                return Some(Ok(item));
            }
            let is_empty = std::mem::replace(&mut self.is_empty, false);
            match self.records.next() {
                None if is_empty => return Some(Ok(self.empty())),
                None if std::mem::take(&mut self.is_foreign) => return Some(Ok(self.foreign())),
                None => return self.end().err().map(Err),
                Some(Ok(event)) => self.ready = self.items(event).into_iter(),
                Some(Err(error)) => {
                    return Some(Err(Error::io("read", self.file.place.path())(error)));
                }
            }
        }
    }
}

impl Frames<'_> {
    /// What stands for all items of a file without content.
    fn empty(&mut self) -> Item {
        self.is_foreign = false;
        Item::of_empty_file(self.input)
    }

    /// What stands for all items of a file that holds other messages.
    fn foreign(&self) -> Item {
        let bytes = self.records.checksum().map_or(0, |(bytes, _)| bytes);
        let detail = "none of its records is a frame of Waymo Open Dataset";
        let defect = Defect::new("no-frames", detail);
        Item::lost(format!("{}@0", self.input), bytes, defect)
    }

    fn end(&mut self) -> Result<()> {
        let checksum = match (&self.packed, self.checksum.get()) {
            (_, Some(known)) => Some(known),
            (None, None) => self.records.checksum(),
            (Some(packed), None) => packed.checksum(&self.file.place)?,
        };
        self.checksum.set(checksum);
        Ok(())
    }

    fn items(&mut self, event: Event) -> Vec<Item> {
        let (offset, record_bytes, found) = match event {
            Event::Lost {
                offset,
                unread_bytes,
                defect,
            } => (offset, unread_bytes, Err(defect)),
            Event::Record(record) => (
                record.offset,
                record.framed_bytes(),
                images(record.data, self.file.split, self.cameras),
            ),
        };
        lap(Stage::Parse);
        let source = format!("{}@{offset}", self.input);
        let image = |content: Result<SourceImage, Defect>| Item {
            content: content.map(|image| image.at(&source)),
            source: source.clone(),
            weight: 0,
            unread_bytes: 0,
        };
        self.is_foreign &= matches!(found, Ok(None));
        let mut items: Vec<Item> = match found {
            Ok(images) => images.into_iter().flatten().map(image).collect(),
            Err(defect) => vec![Item::lost(source, record_bytes, defect)],
        };
        // All bytes up to this record are done with its first item.
        if let Some(first) = items.first_mut() {
            let done = self.packed.as_ref().map_or(offset, Packed::bytes);
            first.weight = done - std::mem::replace(&mut self.done_before, done);
        }
        items
    }
}
