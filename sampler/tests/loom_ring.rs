//! Every interleaving of the slot protocol, for small rings.
//!
//! `ring.rs` is compiled here a second time, against loom's atomics and a parker made of loom's
//! mutex. The bytes of a slot are loom cells: loom reports any access that the protocol has not
//! ordered, any deadlock, and any lost wake-up.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]
#![allow(dead_code, reason = "the models use a part of the ring's interface")]

#[path = "../src/pipeline/ring.rs"]
mod ring;

mod sync {
    use loom::sync::{Arc, Condvar, Mutex};

    pub(crate) use loom::sync::atomic::{AtomicU64, Ordering};

    /// A parker as crossbeam's is documented: one token, set by `unpark`, taken by `park`.
    #[derive(Debug)]
    pub(crate) struct Parker(Unparker);

    #[derive(Clone, Debug)]
    pub(crate) struct Unparker(Arc<(Mutex<bool>, Condvar)>);

    impl Parker {
        pub(crate) fn new() -> Self {
            Self(Unparker(Arc::new((Mutex::new(false), Condvar::new()))))
        }

        pub(crate) fn unparker(&self) -> &Unparker {
            &self.0
        }

        pub(crate) fn park(&self) {
            let (token, signal) = &*self.0.0;
            let mut token = token.lock().unwrap();
            while !*token {
                token = signal.wait(token).unwrap();
            }
            *token = false;
        }
    }

    impl Unparker {
        pub(crate) fn unpark(&self) {
            let (token, signal) = &*self.0;
            *token.lock().unwrap() = true;
            signal.notify_one();
        }
    }
}

use loom::cell::UnsafeCell;
use loom::sync::Arc;
use loom::thread::{self, JoinHandle};
use ring::{Parts, Poisoned, Ring};

/// A ring with one number for every sample.
struct Model {
    ring: Ring,
    bytes: Vec<Vec<UnsafeCell<u64>>>,
}

#[expect(
    unsafe_code,
    reason = "loom checks exactly this claim: a cell is only touched by who owns its place"
)]
mod sharing {
    // SAFETY: the cells are accessed under the ring's protocol only; loom fails the test where that
    // is not enough.
    unsafe impl Sync for super::Model {}
    // SAFETY: as above.
    unsafe impl Send for super::Model {}
}

/// What the sample `index` of batch `batch` must hold.
fn content(batch: u64, index: usize) -> u64 {
    100 * batch + index as u64
}

fn start(
    depth: usize,
    batch: usize,
    num_workers: usize,
    fail_in: Option<u64>,
) -> (Arc<Model>, sync::Parker, Vec<JoinHandle<()>>) {
    let Parts {
        ring,
        workers,
        consumer,
    } = Ring::with_parkers(depth, batch, num_workers);
    let cell = |_| UnsafeCell::new(u64::MAX);
    let bytes = (0..depth).map(|_| (0..batch).map(cell).collect()).collect();
    let model = Arc::new(Model { ring, bytes });
    let threads = workers
        .into_iter()
        .map(|parker| {
            let model = Arc::clone(&model);
            thread::spawn(move || {
                while let Some(place) = model.ring.claim(&parker) {
                    if fail_in == Some(place.batch()) {
                        return model.ring.fail(place);
                    }
                    model.bytes[place.slot()][place.index()]
                        .with_mut(|cell| write(cell, content(place.batch(), place.index())));
                    model.ring.finish(place);
                }
            })
        })
        .collect();
    (model, consumer, threads)
}

#[expect(unsafe_code, reason = "loom checks the access")]
fn write(cell: *mut u64, value: u64) {
    // SAFETY: loom panics if any other access to the cell is not ordered with this one.
    unsafe { *cell = value }
}

#[expect(unsafe_code, reason = "loom checks the access")]
fn read(cell: *const u64) -> u64 {
    // SAFETY: as in `write`.
    unsafe { *cell }
}

fn check(model: &Model, ready: &ring::Ready, batch: u64) {
    for (index, cell) in model.bytes[ready.slot()].iter().enumerate() {
        assert_eq!(cell.with(read), content(batch, index));
    }
}

/// Explores up to `preemptions` forced switches per execution (loom's own advice: 2 or 3 find
/// nearly all bugs).
fn explore(preemptions: usize, model: impl Fn() + Send + Sync + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(model);
}

#[test]
fn one_slot_is_filled_and_read_in_turns() {
    explore(3, || {
        let (model, parker, threads) = start(1, 1, 1, None);
        for batch in 0..2 {
            let ready = model.ring.take(batch, &parker).unwrap();
            check(&model, &ready, batch);
            model.ring.release(ready);
        }
        model.ring.close();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn two_workers_share_a_batch() {
    explore(2, || {
        let (model, parker, threads) = start(1, 2, 2, None);
        for batch in 0..2 {
            let ready = model.ring.take(batch, &parker).unwrap();
            check(&model, &ready, batch);
            model.ring.release(ready);
        }
        model.ring.close();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn batches_come_in_order_whichever_completes_first() {
    explore(2, || {
        let (model, parker, threads) = start(2, 1, 2, None);
        for batch in 0..2 {
            let ready = model.ring.take(batch, &parker).unwrap();
            check(&model, &ready, batch);
            model.ring.release(ready);
        }
        model.ring.close();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn slots_come_back_in_any_order() {
    explore(3, || {
        let (model, parker, threads) = start(2, 1, 1, None);
        let first = model.ring.take(0, &parker).unwrap();
        let second = model.ring.take(1, &parker).unwrap();
        check(&model, &second, 1);
        model.ring.release(second);
        check(&model, &first, 0);
        model.ring.release(first);
        let third = model.ring.take(2, &parker).unwrap();
        check(&model, &third, 2);
        model.ring.close();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_consumer_that_leaves_early_ends_the_workers() {
    explore(2, || {
        let (model, _parker, threads) = start(1, 1, 2, None);
        model.ring.close();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}

#[test]
fn a_failing_worker_reaches_the_consumer_at_its_batch() {
    explore(2, || {
        let (model, parker, threads) = start(2, 1, 2, Some(1));
        let ready = model.ring.take(0, &parker).unwrap();
        check(&model, &ready, 0);
        model.ring.release(ready);
        assert_eq!(model.ring.take(1, &parker).err(), Some(Poisoned));
        model.ring.close();
        threads
            .into_iter()
            .for_each(|thread| thread.join().unwrap());
    });
}
