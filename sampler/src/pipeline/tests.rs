//! The pipeline with makers that do not decode: order, ends, failures, delays.

use super::*;
use crate::pixels::augment::Out;
use crate::random::order::mix;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Writes recognisable bytes; delays, panics and fails where told. Counts how many of its kind are
/// alive.
struct Fake {
    alive: Arc<AtomicUsize>,
    delay_seed: Option<u64>,
    panic_at: Option<(Cursor, usize)>,
    replaced_every: Option<u64>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.alive.fetch_sub(1, Ordering::SeqCst);
    }
}

impl Make for Fake {
    fn make(&mut self, at: Cursor, index: usize, place: PlaceMut<'_>) -> Result<()> {
        let number = at.epoch * 1_000_003 + at.step * 1009 + index as u64;
        if let Some(seed) = self.delay_seed {
            std::thread::sleep(Duration::from_micros(mix(seed ^ number) % 200));
        }
        assert!(
            self.panic_at != Some((at, index)),
            "told to panic at {at:?}"
        );
        for (view, byte) in place.views.into_iter().zip([number as u8, !number as u8]) {
            let Out::Bytes(bytes) = view else {
                panic!("bytes were asked for")
            };
            bytes.fill(byte);
        }
        place.meta.key = number;
        place.meta.tries = 1;
        place.meta.replaced = self
            .replaced_every
            .is_some_and(|every| number.is_multiple_of(every))
            .into();
        Ok(())
    }

    fn profile(&self) -> Option<(StageTimes, u64)> {
        None
    }
}

const STEPS: u64 = 7;

fn shape(depth: usize, batch: usize) -> Shape {
    Shape {
        depth,
        batch,
        output: 8,
        pixels: PixelFormat::Bytes,
        pin: Pin::Never,
        steps: STEPS,
    }
}

struct Started {
    batches: Batches,
    alive: Arc<AtomicUsize>,
}

fn start_fakes(shape: Shape, workers: usize, from: Cursor, change: impl Fn(&mut Fake)) -> Started {
    let alive = Arc::new(AtomicUsize::new(workers));
    let maker = |worker_ix| {
        let delay_seed = Some(worker_ix as u64);
        let mut fake = Fake {
            alive: Arc::clone(&alive),
            delay_seed,
            panic_at: None,
            replaced_every: None,
        };
        change(&mut fake);
        fake
    };
    let limit = BrokenLimit {
        share: 0.1,
        last: Arc::default(),
        path: "shards".into(),
    };
    let batches = start(shape, (0..workers).map(maker).collect(), from, limit).unwrap();
    Started { batches, alive }
}

/// Epoch, step, keys and pixels of the next `count` batches.
fn collect(batches: &mut Batches, count: usize) -> Vec<(u64, u64, Vec<u64>, Vec<u8>)> {
    let mut all = Vec::new();
    for _ in 0..count {
        let batch = batches.next().unwrap().unwrap();
        let keys = batch.pairs().iter().map(|pair| pair.key).collect();
        all.push((
            batch.epoch(),
            batch.step(),
            keys,
            [batch.view(0), batch.view(1)].concat(),
        ));
    }
    all
}

#[test]
fn batches_come_in_order_and_are_the_same_for_any_number_of_workers() {
    let one = collect(
        &mut start_fakes(shape(3, 4), 1, Cursor::default(), |_| ()).batches,
        20,
    );
    for (number, (epoch, step, keys, pixels)) in one.iter().enumerate() {
        assert_eq!(
            (*epoch, *step),
            (number as u64 / STEPS, number as u64 % STEPS)
        );
        assert!(
            keys.iter()
                .copied()
                .eq((0..4).map(|index| epoch * 1_000_003 + step * 1009 + index))
        );
        assert_eq!(pixels[0], keys[0] as u8);
    }
    for workers in [2, 7, 16] {
        assert_eq!(
            collect(
                &mut start_fakes(shape(3, 4), workers, Cursor::default(), |_| ()).batches,
                20
            ),
            one
        );
    }
}

#[test]
fn a_cursor_gives_the_same_rest() {
    let mut first = start_fakes(shape(2, 3), 2, Cursor::default(), |_| ()).batches;
    collect(&mut first, 9);
    let cursor = first.cursor();
    assert_eq!(cursor, Cursor { epoch: 1, step: 2 });
    let rest = collect(&mut first, 8);
    assert_eq!(
        collect(&mut start_fakes(shape(4, 3), 3, cursor, |_| ()).batches, 8),
        rest
    );
}

#[test]
fn a_consumer_that_leaves_ends_all_threads() {
    for (dropped, held) in [(0, 0), (0, 1), (5, 2)] {
        let Started { mut batches, alive } = start_fakes(shape(2, 3), 4, Cursor::default(), |_| ());
        for _ in 0..dropped {
            drop(batches.next().unwrap().unwrap());
        }
        let held: Vec<Batch> = (0..held)
            .map(|_| batches.next().unwrap().unwrap())
            .collect();
        drop(batches);
        assert_eq!(
            alive.load(Ordering::SeqCst),
            0,
            "threads are joined and their makers dropped"
        );
        // Batches outlive the pipeline.
        assert!(
            held.iter()
                .all(|batch| batch.view(0)[0] == batch.pairs()[0].key as u8)
        );
    }
}

#[test]
fn batches_may_be_held_sent_away_and_dropped_in_any_order() {
    let mut batches = start_fakes(shape(4, 2), 3, Cursor::default(), |_| ()).batches;
    for round in 0..20 {
        let mut held: Vec<Batch> = (0..3).map(|_| batches.next().unwrap().unwrap()).collect();
        let last = held.swap_remove(round % 3);
        let thread = std::thread::spawn(move || drop(last));
        held.reverse();
        drop(held);
        thread.join().unwrap();
    }
    assert_eq!(batches.counters().batches, 60);
    assert_eq!(batches.counters().pairs, 120);
}

#[test]
fn a_panicking_worker_is_one_error_at_its_batch_and_no_hang() {
    let panic_at = Cursor { epoch: 0, step: 5 };
    let Started { mut batches, alive } = start_fakes(shape(3, 4), 3, Cursor::default(), |fake| {
        fake.panic_at = Some((panic_at, 2))
    });
    collect(&mut batches, 5);
    let error = batches.next().unwrap().unwrap_err();
    assert!(
        matches!(&error, Error::Panicked { message } if message.contains("told to panic")),
        "{error}"
    );
    assert!((0..3).all(|_| batches.next().is_none()), "it is fused");
    assert_eq!(batches.size_hint(), (0, Some(0)));
    drop(batches);
    assert_eq!(alive.load(Ordering::SeqCst), 0);
}

#[test]
fn too_many_broken_frames_stop_at_the_same_step_for_any_number_of_workers() {
    let stop = |workers, every| {
        let change = |fake: &mut Fake| fake.replaced_every = Some(every);
        let mut batches = start_fakes(shape(3, 10), workers, Cursor::default(), change).batches;
        for delivered in 0..50 {
            if let Err(error) = batches.next().unwrap() {
                assert!(batches.next().is_none());
                assert!(error.to_string().contains("ingest verify"), "{error}");
                return Some(delivered);
            }
        }
        None
    };
    let first = stop(1, 2);
    assert!(first.is_some());
    assert_eq!(stop(5, 2), first);
    assert_eq!(stop(2, 50), None, "2 % are below the limit of 10 %");
}

#[test]
fn batches_and_pipelines_can_be_sent_to_other_threads() {
    fn sendable<T: Send>() {}
    sendable::<Batch>();
    sendable::<Batches>();
}

#[test]
fn waits_are_counted() {
    let mut batches = start_fakes(shape(2, 8), 1, Cursor::default(), |_| ()).batches;
    collect(&mut batches, 4);
    assert!(batches.counters().waits > 0 && batches.counters().wait > Duration::ZERO);
}

/// Resident memory of this process in KiB.
fn rss_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmRSS:"))
        .unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}

/// `SAMPLER_SOAK_SECS=600 cargo test -p sampler --release -- --ignored soak`
#[test]
#[ignore = "takes as long as SAMPLER_SOAK_SECS says"]
fn soak_with_random_delays_and_random_stops() {
    let secs = std::env::var("SAMPLER_SOAK_SECS")
        .ok()
        .and_then(|secs| secs.parse().ok())
        .unwrap_or(600);
    let until = Instant::now() + Duration::from_secs(secs);
    let (mut round, mut settled_kib) = (0, 0);
    while Instant::now() < until {
        round += 1;
        if round == 50 {
            settled_kib = rss_kib();
        }
        let draw = |what: u64, bound: u64| mix(round * 8 + what) % bound;
        let (depth, batch, workers) = (1 + draw(0, 5), 1 + draw(1, 9), 1 + draw(2, 9));
        let from = Cursor {
            epoch: draw(3, 3),
            step: draw(4, STEPS),
        };
        let Started { mut batches, alive } = start_fakes(
            shape(depth as usize, batch as usize),
            workers as usize,
            from,
            |_| (),
        );
        for number in 0..draw(5, 300) {
            let taken = batches.next().unwrap().unwrap();
            let at = from.advanced(number, STEPS);
            assert_eq!((taken.epoch(), taken.step()), (at.epoch, at.step));
            assert!(taken.view(0)[0] == taken.pairs()[0].key as u8);
            std::thread::sleep(Duration::from_micros(draw(6, 400)));
        }
        drop(batches);
        assert_eq!(alive.load(Ordering::SeqCst), 0);
    }
    let grown_kib = rss_kib().saturating_sub(settled_kib);
    println!("{round} pipelines; memory grew by {grown_kib} KiB since the 50th");
    assert!(round < 50 || grown_kib < 8 * 1024);
}
