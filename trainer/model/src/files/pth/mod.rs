//! PyTorch's `.pth`, and other pickles of tensors.
//!
//! [`write()`] makes what `torch.load(path, weights_only=True)` reads. [`read_bytes`] reads what
//! `torch.save` wrote in either of its containers, and plain pickles of NumPy arrays, as Detectron2's.
//! Nothing of a foreign pickle is executed.

mod escapes;
mod graph;
mod input;
mod legacy;
mod machine;
mod numpy;
pub(super) mod pickle;
mod read;
mod storages;
mod torch;
mod walk;
mod write;
mod zip;

pub use read::{read, read_bytes};
pub use write::write;
