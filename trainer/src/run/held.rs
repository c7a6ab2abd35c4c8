//! What one of several ranks does not take apart when it fails.
//!
//! Page-locked memory is freed when the GPU is done, which it never is while it waits for a peer that
//! is gone; and workers are joined that may be waiting for a disk. So the failure would not be told.
//! Such a process ends at once anyway, and the system takes everything.

use std::mem::ManuallyDrop;
use std::ops::{Deref, DerefMut};

use native::Ranks;

/// A value that is dropped with its owner, or among several ranks not at all.
pub(super) enum Held<T> {
    /// By a process alone.
    Alone(T),
    /// By one of several.
    Among(ManuallyDrop<T>),
}

impl<T> Held<T> {
    pub(super) fn of(value: T, ranks: &Ranks) -> Self {
        match ranks.are_several() {
            false => Held::Alone(value),
            true => Held::Among(ManuallyDrop::new(value)),
        }
    }
}

impl<T> Deref for Held<T> {
    type Target = T;

    fn deref(&self) -> &T {
        match self {
            Held::Alone(value) => value,
            Held::Among(value) => value,
        }
    }
}

impl<T> DerefMut for Held<T> {
    fn deref_mut(&mut self) -> &mut T {
        match self {
            Held::Alone(value) => value,
            Held::Among(value) => value,
        }
    }
}
