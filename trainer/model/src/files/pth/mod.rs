//! PyTorch's `.pth`: a zip of one pickle and the bytes of the tensors.
//!
//! [`write()`] makes what `torch.load(path, weights_only=True)` reads, [`read`] reads what `torch.save`
//! wrote. Nothing of a foreign pickle is executed.

pub(super) mod pickle;
mod read;
mod unpickle;
mod write;

pub use read::read;
pub use write::write;
