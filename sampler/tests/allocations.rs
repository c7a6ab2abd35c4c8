//! Counts what the pipeline allocates once it is warm: nothing, per sample.
//!
//! Only Rust's allocator is counted. libjpeg-turbo takes and returns its own pools for every image
//! it decodes.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicU64, Ordering};

use sampler::{Cursor, Sampler, SamplerConfig};
use testkit::photos;

struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[expect(unsafe_code, reason = "an allocator is an unsafe trait")]
// SAFETY: everything is passed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_warm_pipeline_does_not_allocate() {
    let dir = tempfile::tempdir().unwrap();
    photos::write(dir.path(), 16, 16);
    let config = SamplerConfig {
        batch: 8,
        depth: 2,
        threads: 2,
        ..SamplerConfig::default()
    };
    let mut batches = Sampler::open(dir.path(), config)
        .unwrap()
        .start(Cursor::default())
        .unwrap();
    let take = |batches: &mut sampler::Batches, count: u32| {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        for _ in 0..count {
            assert_eq!(batches.next().unwrap().unwrap().len(), 8);
        }
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    take(&mut batches, 60);
    let allocations = take(&mut batches, 40);
    // A buffer may still grow when a larger crop than any before comes along.
    assert!(allocations <= 4, "{allocations} allocations for 320 pairs");
}
