//! Checkpoints: everything a run needs to go on as if it had never stopped.
//!
//! One safetensors file a checkpoint, `checkpoints/step_0000001234.safetensors`: the method's
//! tensors (`online.*`, `target.*`, both with their batch-norm statistics; `memory.*`, MoCo's queue
//! and counters), the optimizer's (`optim.*`), and one metadata entry with the step, the loader's cursor, the resolved config and
//! the fingerprint of the data. They are taken between optimizer steps, so an accumulation is never
//! half done. CRCs over every tensor and over the metadata tell a damaged file from a good one.
//!
//! [`Snapshot`] is the state copied to the host; [`Snapshot::write`] is pure I/O and may run on
//! another thread. [`Checkpoint`] is what is read back.

mod error;
mod file;
mod folder;
mod header;

pub use error::ReadError;
pub use file::{Checkpoint, Snapshot};
pub use folder::{folder, list, prune, remove_partial};
pub use header::{DataId, Header, LoaderPosition};

pub(super) use header::is_claimed;

#[cfg(test)]
mod tests;
