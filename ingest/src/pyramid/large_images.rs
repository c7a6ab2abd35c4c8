//! Large images are decoded alone: one whose decoding takes most of the memory of a run is built
//! while no other is.
//!
//! Decoding takes up to ten bytes a pixel, whatever the kind of file. Images of [`LARGE_PX`] and
//! less may be under way on every thread; a larger one waits for them, and they wait for it. So two
//! threads stay at about 1 GiB whatever the images are, and sets of ordinary photographs never
//! wait. The lock is the process's, as its memory is.

use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use schemas::geom::Size;

/// Pixels up to which an image shares the memory with others.
const LARGE_PX: u64 = 40_000_000;

static MEMORY: RwLock<()> = RwLock::new(());

/// The right to decode one image, until it is dropped.
#[must_use]
#[expect(dead_code, reason = "guards are held, not read")]
pub(super) enum Permit {
    /// Beside others.
    Shared(RwLockReadGuard<'static, ()>),
    /// Beside nothing.
    Alone(RwLockWriteGuard<'static, ()>),
}

impl Permit {
    /// Waits until an image of `size` may be decoded. A thread that panicked while it held one
    /// leaves no trace.
    pub(super) fn wait_for(size: Size) -> Self {
        if size.area() <= LARGE_PX {
            Self::Shared(MEMORY.read().unwrap_or_else(PoisonError::into_inner))
        } else {
            Self::Alone(MEMORY.write().unwrap_or_else(PoisonError::into_inner))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn a_large_image_is_alone() {
        let (small, large) = (Size::new(1920, 1280), Size::new(10_000, 10_000));
        let under_way = AtomicUsize::new(0);
        thread::scope(|scope| {
            for thread in 0..4 {
                let under_way = &under_way;
                scope.spawn(move || {
                    for step in 0..200 {
                        let is_large = (thread + step) % 3 == 0;
                        let _permit = Permit::wait_for(if is_large { large } else { small });
                        let others = under_way.fetch_add(1, Ordering::SeqCst);
                        thread::yield_now();
                        assert!(
                            !is_large || (others == 0 && under_way.load(Ordering::SeqCst) == 1)
                        );
                        under_way.fetch_sub(1, Ordering::SeqCst);
                    }
                });
            }
        });
        // Two small ones beside each other, from one thread: the second would wait for ever
        // otherwise.
        let _first = Permit::wait_for(small);
        let _second = Permit::wait_for(small);
    }
}
