//! Brings the bytes of a level into memory.
//!
//! Shards are read with one `pread` a level, or mapped. While the set is in the page cache nothing
//! more is asked of the system. Cold bytes are noticed by the time they take; then every worker asks for all of a level before it waits for a
//! part of it, and for the levels of the sample [`AHEAD_SAMPLES`] after its own. Getting a cold
//! level page fault by page fault takes ten times as long as asking for it and waiting once, and a
//! hundred times as long as having asked for it ahead.
//!
//! Bytes that were asked for come fast whether the set is cold or not. So one sample in
//! [`PROBE_EVERY`] is a probe that nobody asks for ahead; when some probes in a row have come fast,
//! the set is warm. Asking ahead changes when bytes arrive, never which bytes are used.

use std::time::Duration;

use rustix::fs::{Advice, fadvise};
use schemas::catalog::Catalog;
use schemas::index::{LevelSlot, ShardSet};
use serde::{Deserialize, Serialize};

use crate::frames::files::ShardFiles;
use crate::pixels::decode::Fetched;

/// How the bytes of a frame come into memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reading {
    /// Levels are read into a buffer: one system call and one copy a level. A file that fails or
    /// shrinks is an error.
    #[default]
    Pread,
    /// Shards are mapped: no copy, and no system call once they are in memory. A mapped file that
    /// fails or shrinks ends the process (SIGBUS).
    Mmap,
}

/// How many samples lie between the one that a worker makes and the one that it asks for.
pub(crate) const AHEAD_SAMPLES: u64 = 64;

/// One in so many samples is a probe.
const PROBE_EVERY: u64 = 16;
/// So many probes in a row must come fast.
const WARM_PROBES: u32 = 3;
/// A fetch that takes longer than this and [`WARM_NS_PER_BYTE`] has waited for a disk: from memory,
/// a mapped level takes a few µs, and one that is read 0.2 ns a byte.
const WARM_FETCH: Duration = Duration::from_micros(20);
const WARM_NS_PER_BYTE: f64 = 0.25;
/// Mapped pages come in groups of as many bytes, or of more: one touch brings them all.
const TOUCH_BYTES: usize = 16 * 1024;

/// All shards of a set, each opened when it is first needed.
#[derive(Debug)]
pub(crate) struct Shards {
    maps: ShardSet,
    files: ShardFiles,
}

impl Shards {
    pub(crate) fn new(catalog: &Catalog) -> Self {
        Self {
            maps: ShardSet::new(catalog),
            files: ShardFiles::new(catalog),
        }
    }

    /// The JPEG in `slot`; it was waited for, if it was not in memory. `buffer` holds it if it had
    /// to be read.
    pub(crate) fn bytes<'a>(
        &'a self,
        reading: Reading,
        slot: LevelSlot,
        buffer: &'a mut Vec<u8>,
    ) -> schemas::Result<&'a [u8]> {
        match reading {
            Reading::Pread => self.files.read(slot, buffer),
            Reading::Mmap => {
                let bytes = self.maps.bytes(slot)?;
                touch(bytes);
                Ok(bytes)
            }
        }
    }

    /// Tells the system that `slot` will be read soon. A hint: failures show when it is read.
    pub(crate) fn will_need(&self, reading: Reading, slot: LevelSlot) {
        match reading {
            Reading::Mmap => self.maps.will_need(slot),
            Reading::Pread => {
                let len = u64::from(slot.len).try_into().ok();
                let _ = self.files.with(slot.shard, |file| {
                    let _ = fadvise(file, slot.offset, len, Advice::WillNeed);
                    Ok(())
                });
            }
        }
    }
}

/// Reads a byte here and there, so that waiting for pages is over before the work on them begins.
fn touch(bytes: &[u8]) {
    std::hint::black_box(
        bytes
            .iter()
            .step_by(TOUCH_BYTES)
            .fold(0, |sum: u8, byte| sum ^ byte),
    );
}

/// Whether sample `number` of an epoch is a probe: not to be asked for ahead of time.
pub(crate) fn is_probe(number: u64) -> bool {
    number.is_multiple_of(PROBE_EVERY)
}

/// What one worker knows of the page cache.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Lookahead {
    /// Probes in a row that came fast.
    warm_probes: u32,
}

impl Lookahead {
    /// Whether to ask for bytes: from the start, until all is warm, and again when a fetch was
    /// slow.
    pub(crate) fn is_cold(&self) -> bool {
        self.warm_probes < WARM_PROBES
    }

    /// The bytes of sample `number` of an epoch have come.
    pub(crate) fn note(&mut self, number: u64, fetched: Fetched) {
        if fetched.time
            > WARM_FETCH + Duration::from_nanos((fetched.bytes as f64 * WARM_NS_PER_BYTE) as u64)
        {
            self.warm_probes = 0;
        } else if is_probe(number) {
            self.warm_probes = self.warm_probes.saturating_add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(lookahead: &mut Lookahead, number: u64, micros: u64) {
        lookahead.note(
            number,
            Fetched {
                time: Duration::from_micros(micros),
                bytes: 150_000,
            },
        );
    }

    #[test]
    fn fast_probes_end_requests_and_a_slow_fetch_starts_them_again() {
        let mut lookahead = Lookahead::default();
        assert!(lookahead.is_cold(), "nothing is known at the start");
        (0..=PROBE_EVERY * u64::from(WARM_PROBES - 1))
            .for_each(|number| note(&mut lookahead, number, 3));
        assert!(!lookahead.is_cold());
        note(&mut lookahead, 5, 40);
        assert!(!lookahead.is_cold(), "a copy of 150 kB may take so long");
        note(&mut lookahead, 6, 2000);
        assert!(lookahead.is_cold());
    }

    #[test]
    fn samples_that_were_asked_for_do_not_make_a_set_warm() {
        let mut lookahead = Lookahead::default();
        for number in 0..1000 {
            note(
                &mut lookahead,
                number,
                if is_probe(number) { 200 } else { 3 },
            );
            assert!(lookahead.is_cold());
        }
    }
}
