//! One shard: its bytes against the checksums in its footer and in the catalog, then frame by
//! frame.

use std::path::Path;

use schemas::catalog::{Catalog, ShardInfo};
use schemas::geom::Size;
use schemas::shard::{FrameEntry, LevelEntry, Part, Settings, ShardReader};
use schemas::tiled::{TiledJpeg, embed_index};

use super::bytes::last_bytes;
use super::flipped_bit;
use super::verdict::Problem;
use crate::checksum::checksum;

/// Checks shards, one after the other, on one thread.
pub(super) struct Checker<'a> {
    catalog: Option<&'a Catalog>,
}

/// A shard file as it is found.
struct Found<'a> {
    path: &'a Path,
    name: String,
    bytes: u64,
    crc32c: u32,
    /// What it was when the catalog was written.
    listed: Option<&'a ShardInfo>,
    /// Of the set, by the catalog.
    settings: Option<&'a Settings>,
}

impl<'a> Checker<'a> {
    pub(super) fn new(catalog: Option<&'a Catalog>) -> Self {
        Self { catalog }
    }

    /// The number of frames in the shard at `path`, and what is wrong with it.
    pub(super) fn check(&mut self, path: &'a Path) -> (u64, Vec<Problem>) {
        let name = path
            .file_name()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        let shards = self.catalog.map_or(&[][..], Catalog::shards);
        let listed = shards
            .binary_search_by(|info| info.name.cmp(&name))
            .ok()
            .map(|ix| &shards[ix]);
        let settings = self.catalog.map(Catalog::settings);
        let (bytes, crc32c) = match checksum(path) {
            Ok(found) => found,
            Err(error) => {
                let found = Found {
                    path,
                    name,
                    bytes: 0,
                    crc32c: 0,
                    listed,
                    settings,
                };
                return (0, vec![found.bad(None, error.to_string())]);
            }
        };
        let found = Found {
            path,
            name,
            bytes,
            crc32c,
            listed,
            settings,
        };
        match ShardReader::open(path) {
            Ok(shard) => self.check_open(&found, &shard),
            Err(error) => (0, vec![found.unopenable(&error)]),
        }
    }

    fn check_open(&mut self, found: &Found<'_>, shard: &ShardReader) -> (u64, Vec<Problem>) {
        let rows = shard.rows();
        let frames = rows.as_deref().unwrap_or_default();
        let bad_frames: Vec<Problem> = frames
            .iter()
            .flat_map(|row| self.check_frame(found, shard, row))
            .collect();
        let count = frames.len() as u64;
        if let Some(changed) = found.changed_bytes(shard, frames, &bad_frames) {
            return (count, changed);
        }
        let mut bad = bad_frames;
        if let Err(error) = &rows {
            bad.push(found.bad(Some(shard), detail(error)));
        }
        if shard.id().file_name() != found.name {
            let right = shard.id().file_name();
            let repair = format!("rename frames/{} to frames/{right}", found.name);
            bad.push(Problem {
                repair,
                ..found.bad(Some(shard), format!("it is {right}, renamed"))
            });
        }
        (count, bad)
    }

    fn check_frame(
        &mut self,
        found: &Found<'_>,
        shard: &ShardReader,
        row: &FrameEntry,
    ) -> Vec<Problem> {
        let levels = shard.settings().levels.iter().zip(&row.levels);
        let stored = levels.filter_map(|(&level, entry)| Some((level, entry.as_ref()?)));
        let checked = stored.filter_map(|(level, entry)| {
            let problem = self
                .check_level(shard, row.meta.size.at_level(level), entry)
                .err()?;
            let frame_id = Some(row.meta.frame_id.clone());
            Some(Problem {
                frame_id,
                level: Some(level),
                ..found.bad(Some(shard), problem)
            })
        });
        checked.collect()
    }

    fn check_level(
        &mut self,
        shard: &ShardReader,
        size: Size,
        entry: &LevelEntry,
    ) -> Result<(), String> {
        let jpeg = &shard.jpeg(entry).map_err(|error| detail(&error))?[..];
        if crc32c::crc32c(jpeg) != entry.crc32c {
            return Err("the checksum does not hold".to_owned());
        }
        let tiled = TiledJpeg::parse(jpeg).map_err(|error| error.to_string())?;
        if entry.size != size
            || tiled.size().width < size.width
            || tiled.size().height != size.height
        {
            return Err(format!("the level is {} pixels, not {size}", entry.size));
        }
        if (entry.mcu, entry.tile) != (tiled.mcu().width, tiled.tile().width) {
            return Err("the row gives another tile grid than the JPEG".to_owned());
        }
        // Making the index anew visits every restart marker.
        if embed_index(jpeg).map_err(|error| error.to_string())? != jpeg {
            return Err("the tile index does not match the restart markers".to_owned());
        }
        jpeg::check(jpeg).map_err(|defect| defect.detail)
    }
}

impl Found<'_> {
    /// A problem of this shard, which making it again repairs.
    fn bad(&self, shard: Option<&ShardReader>, problem: String) -> Problem {
        let repair = match self.remake(shard) {
            Some(remake) => format!("delete frames/{} and {remake}", self.name),
            None => format!(
                "move {} away; if it was a shard of this set, ingest its input again",
                self.path.display()
            ),
        };
        Problem {
            file: self.name.clone(),
            problem,
            repair,
            ..Problem::default()
        }
    }

    /// What makes it again, by the catalog, or else by its own footer.
    fn remake(&self, shard: Option<&ShardReader>) -> Option<String> {
        let dir = self.path.parent()?.parent()?;
        match (self.listed, shard) {
            (Some(info), _) => Some(info.remake(self.settings?, dir)),
            (None, Some(shard)) => {
                let of_shard = ShardInfo::of(shard).ok()?;
                Some(of_shard.remake(shard.settings(), dir))
            }
            (None, None) => None,
        }
    }

    fn unopenable(&self, error: &schemas::Error) -> Problem {
        let Some(listed) = self.listed else {
            return self.bad(None, format!("it is no shard: {}", detail(error)));
        };
        if self.bytes != listed.bytes {
            return self.bad(
                None,
                format!(
                    "it has {} bytes, the catalog says {}",
                    self.bytes, listed.bytes
                ),
            );
        }
        let place = flipped_bit::places(listed.crc32c, self.crc32c, self.bytes).next();
        match place.zip(last_bytes(self.path, self.bytes).ok()) {
            Some((position, end)) => {
                let part = Some(Part::of_tail(&end, self.bytes, position).to_string());
                Problem {
                    part,
                    ..self.bad(None, flipped(position))
                }
            }
            None => self.bad(None, detail(error)),
        }
    }

    /// What of the file is not what was written, by the checksum of its pages and the catalog's of
    /// the whole.
    fn changed_bytes(
        &self,
        shard: &ShardReader,
        rows: &[FrameEntry],
        bad_frames: &[Problem],
    ) -> Option<Vec<Problem>> {
        let by_footer = match shard.file_checksum() {
            Ok((_, crc32c)) => crc32c,
            Err(error) => return Some(vec![self.bad(Some(shard), detail(&error))]),
        };
        let listed = self
            .listed
            .filter(|info| info.id == *shard.id())
            .map_or(by_footer, |info| info.crc32c);
        let pages_changed = by_footer != self.crc32c;
        let expected = if pages_changed { by_footer } else { listed };
        if expected == self.crc32c {
            return None;
        }
        let places = flipped_bit::places(expected, self.crc32c, self.bytes).map(|position| {
            let place = Place::of(shard, rows, position);
            (place.is_in_pages == pages_changed)
                .then(|| place.problem(self.bad(Some(shard), flipped(position))))
        });
        let places: Vec<Problem> = places.flatten().collect();
        let is_bad_frame = |place: &&Problem| {
            bad_frames
                .iter()
                .any(|bad| (&bad.frame_id, bad.level) == (&place.frame_id, place.level))
        };
        // In a large file there can be several such places; the one in a JPEG that is bad by its
        // own checksum is it.
        let place = places
            .iter()
            .find(is_bad_frame)
            .or_else(|| places.iter().find(|place| place.part.is_some()));
        if let Some(place) = place {
            return Some(vec![place.clone()]);
        }
        if pages_changed && !bad_frames.is_empty() {
            return Some(bad_frames.to_vec());
        }
        let part = if pages_changed {
            "pages, outside of the JPEGs"
        } else {
            "page index or footer"
        };
        let problem = self.bad(Some(shard), "it does not match its checksum".to_owned());
        Some(vec![Problem {
            part: Some(part.to_owned()),
            ..problem
        }])
    }
}

/// What a byte of a shard belongs to, in a person's words.
struct Place {
    is_in_pages: bool,
    /// `None` for a JPEG, which frame and level name.
    part: Option<String>,
    frame_id: Option<String>,
    level: Option<u8>,
}

impl Place {
    fn of(shard: &ShardReader, rows: &[FrameEntry], position: u64) -> Self {
        let part = shard.part_at(position);
        let is_in_pages = !matches!(part, Part::PageIndex | Part::Footer);
        let nameless = Self {
            is_in_pages,
            part: Some(part.to_string()),
            frame_id: None,
            level: None,
        };
        let Part::Page {
            column,
            rows: range,
        } = part
        else {
            return nameless;
        };
        let levels = &shard.settings().levels;
        let Some(ix) = levels
            .iter()
            .position(|level| column == format!("jpeg_{level}"))
        else {
            return nameless;
        };
        let Some(row) = rows.get(range.start as usize) else {
            return nameless;
        };
        let is_jpeg = row.levels[ix]
            .as_ref()
            .is_some_and(|entry| entry.offset <= position);
        Self {
            is_in_pages,
            part: (!is_jpeg).then(|| format!("page header of column {column}")),
            frame_id: Some(row.meta.frame_id.clone()),
            level: Some(levels[ix]),
        }
    }

    fn problem(self, problem: Problem) -> Problem {
        Problem {
            part: self.part,
            frame_id: self.frame_id,
            level: self.level,
            ..problem
        }
    }
}

fn flipped(position: u64) -> String {
    format!("one bit of byte {position} is flipped")
}

/// The message without place and advice, which the problem has itself.
fn detail(error: &schemas::Error) -> String {
    match error {
        schemas::Error::Damaged { detail, .. } => detail.clone(),
        other => other.to_string(),
    }
}
