//! A warm resizer and a workspace allocate nothing.
#![expect(unsafe_code, reason = "a global allocator that counts")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use sampler::Interpolation;
use sampler::pixels::augment::{Jitter, JitterOp, Out, ViewOps, Workspace, apply};
use sampler::pixels::resize::Resizer;
use sampler::stages::StageTimes;
use schemas::geom::Size;

static NUM_ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        NUM_ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's duty.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's duty; it was allocated above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

/// One view for each crop, augmented in every way.
fn make_views(resizer: &mut Resizer, workspace: &mut Workspace, rgb: &[u8], out: &mut [u8]) {
    use JitterOp::{Brightness, Contrast, Hue, Saturation};
    let mut times = StageTimes::default();
    for step in 0..24 {
        let scale = f64::from(24 - step) / 24.0; // the largest first
        let crop = [1.25, 0.5, 638.0 * scale, 478.75 * scale];
        resizer.resize(
            rgb,
            Size::new(640, 480),
            3 * 640,
            crop,
            Interpolation::Bicubic,
            &mut workspace.planes,
        );
        let ops = ViewOps {
            flip: step % 2 == 0,
            jitter: Some(Jitter {
                brightness: 1.2,
                contrast: 0.7,
                saturation: 1.1,
                hue: -0.05,
                order: [Brightness, Contrast, Hue, Saturation],
            }),
            grayscale: step % 3 == 0,
            blur_sigma: Some(0.2 * step as f32),
            solarize: step % 5 == 0,
            grayscale_first: false,
        };
        apply(&ops, workspace, Out::Bytes(out), &mut times);
    }
}

#[test]
fn views_are_made_without_allocating() {
    let rgb: Vec<u8> = (0..3 * 640 * 480).map(|i| (i * 31 % 251) as u8).collect();
    let mut out = vec![0; 3 * 224 * 224];
    let (mut resizer, mut workspace) = (Resizer::new(), Workspace::new(224));
    make_views(&mut resizer, &mut workspace, &rgb, &mut out);
    let before = NUM_ALLOCATIONS.load(Ordering::Relaxed);
    make_views(&mut resizer, &mut workspace, &rgb, &mut out);
    assert!(before > 0, "the counter counts");
    assert_eq!(NUM_ALLOCATIONS.load(Ordering::Relaxed) - before, 0);
}
