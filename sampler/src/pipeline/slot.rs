//! Slots: the slab cut into batches, and the only way to reach their bytes.
//!
//! A slot holds the pixels of view 0 of all its samples, then those of view 1 (each
//! `[n, side, side, 3]` bytes or `[n, 3, side, side]` floats, starting on a page), and one
//! [`PairMeta`] a sample. A worker writes through the [`Place`] it has claimed, a consumer reads
//! through the [`Ready`] it has taken; the ring makes either of them only once at a time.
#![expect(
    unsafe_code,
    reason = "bytes are handed out by right of a token of the ring"
)]

use std::cell::UnsafeCell;

use crossbeam::sync::Parker;

use crate::config::PixelFormat;
use crate::error::Result;
use crate::meta::PairMeta;
use crate::pipeline::ring::{Parts, Place, Poisoned, Ready, Ring};
use crate::pipeline::slab::{PAGE_BYTES, Pin, Slab};
use crate::pixels::augment::Out;

/// A ring together with the memory that its tokens give access to.
#[derive(Debug)]
pub(crate) struct Slots {
    ring: Ring,
    slab: Slab,
    metas: Box<[UnsafeCell<PairMeta>]>,
    batch: usize,
    pixels: PixelFormat,
    sample_bytes: usize,
    view_bytes: usize,
}

// SAFETY: pixels and metas are reached only through a `Place` or a `Ready` of the ring that lies in
// the same struct and is not exposed; that these exclude each other and order all accesses is the
// ring's promise (loom-tested).
unsafe impl Sync for Slots {}

/// What a worker writes for one sample.
pub(crate) struct PlaceMut<'a> {
    /// The pixels of both views.
    pub views: [Out<'a>; 2],
    /// What is known of the pair.
    pub meta: &'a mut PairMeta,
}

impl Slots {
    /// `depth` slots of `batch` pairs of views of `side` × `side` pixels, with the parkers of
    /// workers and consumer.
    pub(crate) fn new(
        depth: usize,
        batch: usize,
        side: usize,
        num_workers: usize,
        pixels: PixelFormat,
        pin: Pin,
    ) -> Result<(Self, Vec<Parker>, Parker)> {
        let sample_bytes = side * side * 3 * pixels.value_bytes();
        let view_bytes = (batch * sample_bytes).next_multiple_of(PAGE_BYTES);
        let slab = Slab::new(depth * 2 * view_bytes, pin)?;
        let metas = (0..depth * batch)
            .map(|_| UnsafeCell::new(PairMeta::default()))
            .collect();
        let Parts {
            ring,
            workers,
            consumer,
        } = Ring::with_parkers(depth, batch, num_workers);
        Ok((
            Self {
                ring,
                slab,
                metas,
                batch,
                pixels,
                sample_bytes,
                view_bytes,
            },
            workers,
            consumer,
        ))
    }

    /// Whether the pixels lie in page-locked memory.
    pub(crate) fn is_pinned(&self) -> bool {
        self.slab.is_pinned()
    }

    /// Claims the next sample; see [`Ring::claim`].
    pub(crate) fn claim(&self, parker: &Parker) -> Option<Place> {
        self.ring.claim(parker)
    }

    /// The bytes that belong to `place`.
    pub(crate) fn write<'a>(&'a self, place: &'a mut Place) -> PlaceMut<'a> {
        assert!(place.index() < self.batch, "a place of another ring");
        let bytes = |view_ix: usize| {
            let offset =
                self.view_offset(place.slot(), view_ix) + place.index() * self.sample_bytes;
            // SAFETY: `view_offset` checked that the view lies in the slab, and `index < batch`
            // that the sample lies in the view. `place` was made once for this sample and is
            // borrowed mutably for as long as the slice lives, and the ring makes no `Ready` for
            // the slot before `place` is given back: no other access can exist.
            unsafe {
                std::slice::from_raw_parts_mut(
                    self.slab.start().as_ptr().add(offset),
                    self.sample_bytes,
                )
            }
        };
        let views = [bytes(0), bytes(1)].map(|bytes| match self.pixels {
            PixelFormat::Bytes => Out::Bytes(bytes),
            PixelFormat::Floats => Out::Floats(bytemuck::cast_slice_mut(bytes)),
        });
        let meta = self.metas[place.slot() * self.batch + place.index()].get();
        // SAFETY: as above: one meta for every sample, reached by right of `place` alone.
        let meta = unsafe { &mut *meta };
        PlaceMut { views, meta }
    }

    /// Gives back a written place.
    pub(crate) fn finish(&self, place: Place) {
        self.ring.finish(place);
    }

    /// Gives back a place that cannot be written.
    pub(crate) fn fail(&self, place: Place) {
        self.ring.fail(place);
    }

    /// Waits for a batch; see [`Ring::take`].
    pub(crate) fn take(&self, batch: u64, parker: &Parker) -> Result<Ready, Poisoned> {
        self.ring.take(batch, parker)
    }

    /// Whether [`take`](Self::take) would not wait.
    pub(crate) fn is_ready(&self, batch: u64) -> bool {
        self.ring.is_ready(batch)
    }

    /// What the pixels are.
    pub(crate) fn pixels(&self) -> PixelFormat {
        self.pixels
    }

    /// The bytes of the pixels of one view of a batch.
    pub(crate) fn view<'a>(&'a self, ready: &'a Ready, view_ix: usize) -> &'a [u8] {
        let offset = self.view_offset(ready.slot(), view_ix);
        // SAFETY: inside the slab, as `view_offset` checked. While `ready` lives the slot is the
        // consumer's: workers write to it only after `release` has taken `ready` by value.
        unsafe {
            std::slice::from_raw_parts(
                self.slab.start().as_ptr().add(offset),
                self.batch * self.sample_bytes,
            )
        }
    }

    /// What is known of the pairs of a batch.
    pub(crate) fn metas<'a>(&'a self, ready: &'a Ready) -> &'a [PairMeta] {
        let cells = &self.metas[ready.slot() * self.batch..][..self.batch];
        // SAFETY: `UnsafeCell<T>` has the layout of `T`, and `ready` excludes writers as in `view`.
        unsafe { std::slice::from_raw_parts(cells.as_ptr().cast::<PairMeta>(), cells.len()) }
    }

    /// See [`Slab::upload_bytes_per_s`].
    pub(crate) fn upload_bytes_per_s(&self, ready: &Ready) -> Option<f64> {
        self.slab.upload_bytes_per_s(self.view(ready, 0))
    }

    /// Gives a slot back to the workers.
    pub(crate) fn release(&self, ready: Ready) {
        self.ring.release(ready);
    }

    /// Ends all workers.
    pub(crate) fn close(&self) {
        self.ring.close();
    }

    fn view_offset(&self, slot: usize, view_ix: usize) -> usize {
        assert!(view_ix < 2, "a pair has two views");
        let offset = (slot * 2 + view_ix) * self.view_bytes;
        assert!(
            offset + self.view_bytes <= self.slab.bytes(),
            "a token of another ring"
        );
        offset
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_of_all_slots_are_apart_and_come_back_as_written() {
        let (slots, workers, consumer) =
            Slots::new(3, 4, 8, 1, PixelFormat::Bytes, Pin::Never).unwrap();
        for batch in 0..7u8 {
            for index in 0..4u8 {
                let mut place = slots.claim(&workers[0]).unwrap();
                let written = slots.write(&mut place);
                for (view, add) in written.views.into_iter().zip([0, 100]) {
                    let Out::Bytes(bytes) = view else {
                        panic!("bytes were asked for")
                    };
                    bytes.fill(batch * 10 + index + add);
                }
                written.meta.key = u64::from(batch * 10 + index);
                slots.finish(place);
            }
            let ready = slots.take(u64::from(batch), &consumer).unwrap();
            for (view_ix, add) in [(0, 0), (1, 100)] {
                let view = slots.view(&ready, view_ix);
                let expected = (0..4).flat_map(|index| [batch * 10 + index + add; 8 * 8 * 3]);
                assert!(view.iter().copied().eq(expected));
            }
            assert!(
                slots
                    .metas(&ready)
                    .iter()
                    .map(|meta| meta.key)
                    .eq((0..4).map(|index| u64::from(batch * 10 + index)))
            );
            slots.release(ready);
        }
    }
}
