//! The hand-over of batches between workers and consumer.
//!
//! `depth` slots are used in turn: batch `b` is made in slot `b % depth`. A slot has two atomics.
//! `turn` says whose it is: `2b` while workers fill it with batch `b`, `2b + 1` while batch `b` is
//! complete and the consumer's, [`POISONED`] after a worker has failed in it. `remaining` counts
//! the samples of the current batch that are still missing. A third atomic, `next`, numbers all
//! samples ever: a worker claims one with `fetch_add`, waits until the slot of its batch has come
//! round to it, writes its place and counts `remaining` down; the last one hands the slot over.
//!
//! The consumer waits for the slot of its own next batch, so batches come in order whichever
//! completes first. A slot goes back when its batch is released, from any thread and in any order;
//! a batch that is held while `depth` later ones are asked for stalls the ring until it is
//! released.
//!
//! There is no lock and no queue. A thread without work parks. Whoever changes what it waits for wakes
//! it: the change is always stored before the wake-up token is set, and always read again after the
//! token was taken.
//!
//! Pure protocol: the bytes of a slot lie elsewhere (`slab`). [`Place`] and [`Ready`] are the proof
//! of ownership: each is made once, cannot be copied, and is given back by value.

use crossbeam::utils::CachePadded;

use super::sync::{AtomicU64, Ordering, Parker, Unparker};

/// `turn` of a slot in which a worker has failed.
const POISONED: u64 = u64::MAX;
/// The bit of `next` that says that no more samples are to be made.
const CLOSED: u64 = 1 << 63;

/// The right to write one sample of one slot.
#[derive(Debug)]
pub(crate) struct Place {
    batch: u64,
    slot: usize,
    index: usize,
}

impl Place {
    /// Number of the batch, from 0.
    pub(crate) fn batch(&self) -> u64 {
        self.batch
    }

    /// Slot of the batch.
    pub(crate) fn slot(&self) -> usize {
        self.slot
    }

    /// Sample within the batch.
    pub(crate) fn index(&self) -> usize {
        self.index
    }
}

/// The right to read one slot with a complete batch in it.
#[derive(Debug)]
pub(crate) struct Ready {
    batch: u64,
    slot: usize,
}

impl Ready {
    /// Slot of the batch.
    pub(crate) fn slot(&self) -> usize {
        self.slot
    }
}

/// A worker has failed while making the batch that was waited for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Poisoned;

#[derive(Debug)]
struct Slot {
    turn: CachePadded<AtomicU64>,
    remaining: CachePadded<AtomicU64>,
}

/// The slots' states, the claim counter, and whom to wake.
#[derive(Debug)]
pub(crate) struct Ring {
    next: CachePadded<AtomicU64>,
    slots: Box<[Slot]>,
    batch: u64,
    workers: Box<[Unparker]>,
    consumer: Unparker,
}

/// A ring with the parkers of its worker threads and of its consumer.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The ring.
    pub ring: Ring,
    /// One for every worker.
    pub workers: Vec<Parker>,
    /// The consumer's.
    pub consumer: Parker,
}

impl Ring {
    /// A ring of `depth` slots of `batch` samples, for `num_workers` workers; all at least 1.
    pub(crate) fn with_parkers(depth: usize, batch: usize, num_workers: usize) -> Parts {
        assert!(depth > 0 && batch > 0 && num_workers > 0);
        let workers: Vec<Parker> = (0..num_workers).map(|_| Parker::new()).collect();
        let consumer = Parker::new();
        let slot = |ix: usize| Slot {
            turn: CachePadded::new(AtomicU64::new(filling(ix as u64))),
            remaining: CachePadded::new(AtomicU64::new(batch as u64)),
        };
        let ring = Self {
            next: CachePadded::new(AtomicU64::new(0)),
            slots: (0..depth).map(slot).collect(),
            batch: batch as u64,
            workers: workers
                .iter()
                .map(|parker| parker.unparker().clone())
                .collect(),
            consumer: consumer.unparker().clone(),
        };
        Parts {
            ring,
            workers,
            consumer,
        }
    }

    /// The next sample to make; waits until its slot is free. `None` once the ring is closed.
    pub(crate) fn claim(&self, parker: &Parker) -> Option<Place> {
        // Relaxed: the number alone is what is claimed. What the slot holds is ordered by `turn`,
        // below.
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let batch = number / self.batch;
        let slot = self.slot_of(batch);
        loop {
            // Relaxed: a stale value only means parking, and `close` sets the token after its
            // store; taking the token in `park` makes that store visible.
            if number >= CLOSED || self.next.load(Ordering::Relaxed) >= CLOSED {
                return None;
            }
            // Acquire: pairs with the Release in `release`, so that the reader of the slot's
            // previous batch is done with its bytes before we write them. (Filling batches 0..depth
            // pairs with the creation of the thread.)
            if self.slots[slot].turn.load(Ordering::Acquire) == filling(batch) {
                return Some(Place {
                    batch,
                    slot,
                    index: (number % self.batch) as usize,
                });
            }
            parker.park();
        }
    }

    /// Gives back a place whose sample is written. Returns whether that completed its batch.
    pub(crate) fn finish(&self, place: Place) -> bool {
        let slot = &self.slots[place.slot];
        // Release: our writes to the place come before the count that announces them. Acquire:
        // whoever counts to zero has then seen the writes of all others, and passes them on with
        // its own Release below.
        let last = slot.remaining.fetch_sub(1, Ordering::AcqRel) == 1;
        if last {
            // Relaxed: the next to touch `remaining` are the workers of this slot's next batch, who
            // come here through `turn`: its Release just below, the consumer's Acquire and Release,
            // and their own Acquire.
            slot.remaining.store(self.batch, Ordering::Relaxed);
            // Release: the whole batch, and the reset, before the hand-over.
            slot.turn.store(ready(place.batch), Ordering::Release);
            self.consumer.unpark();
        }
        last
    }

    /// Gives back a place whose sample cannot be made: the consumer gets [`Poisoned`] instead of
    /// this batch.
    pub(crate) fn fail(&self, place: Place) {
        // The batch can no longer complete (its `remaining` stays above zero), so nobody overwrites
        // this. Release: what the failing worker has left as its reason is visible to who finds the
        // poison.
        self.slots[place.slot]
            .turn
            .store(POISONED, Ordering::Release);
        self.consumer.unpark();
    }

    /// Waits for batch number `batch`. To be asked for once per batch, in order.
    pub(crate) fn take(&self, batch: u64, parker: &Parker) -> Result<Ready, Poisoned> {
        let slot = self.slot_of(batch);
        loop {
            // Acquire: pairs with the Release of the last worker's hand-over (or of a failing
            // worker).
            match self.slots[slot].turn.load(Ordering::Acquire) {
                POISONED => return Err(Poisoned),
                turn if turn == ready(batch) => return Ok(Ready { batch, slot }),
                _ => parker.park(),
            }
        }
    }

    /// Whether [`take`](Self::take) would return at once.
    pub(crate) fn is_ready(&self, batch: u64) -> bool {
        // Relaxed: nothing is read on the strength of the answer.
        let turn = self.slots[self.slot_of(batch)].turn.load(Ordering::Relaxed);
        turn == ready(batch) || turn == POISONED
    }

    /// Gives a slot back to the workers, for the batch `depth` after this one.
    pub(crate) fn release(&self, ready: Ready) {
        let next = filling(ready.batch + self.slots.len() as u64);
        // Release: our reads of the bytes come before the workers' writes.
        self.slots[ready.slot].turn.store(next, Ordering::Release);
        self.wake_workers();
    }

    /// Ends all workers: each finishes at most the sample it is making.
    pub(crate) fn close(&self) {
        // Relaxed: `unpark` orders it before the wake-up, and a worker that is not parked reads it
        // at its next claim. Setting the bit keeps the number below it, so that no claim is ever
        // given out twice.
        self.next.fetch_or(CLOSED, Ordering::Relaxed);
        self.wake_workers();
    }

    fn slot_of(&self, batch: u64) -> usize {
        (batch % self.slots.len() as u64) as usize
    }

    fn wake_workers(&self) {
        self.workers.iter().for_each(Unparker::unpark);
    }
}

fn filling(batch: u64) -> u64 {
    2 * batch
}

fn ready(batch: u64) -> u64 {
    2 * batch + 1
}
