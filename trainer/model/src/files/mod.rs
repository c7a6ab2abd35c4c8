//! Weights on disk: what a run writes, and what others wrote.
//!
//! | module | format | read | written |
//! |---|---|---|---|
//! | [`safetensors`] | named tensors with metadata | yes | yes |
//! | [`checkpoint`] | a run's whole state, a safetensors file with checksums | yes | yes |
//! | [`pth`] | PyTorch's state dicts, pickles of NumPy arrays | yes | yes |
//! | [`detectron2`] | `MODEL.WEIGHTS` of Detectron2, a pickle | by `pth` | yes |
//! | [`timm`] | a folder that timm loads, with a model card | its tensors | yes |
//! | [`weights`] | a backbone out of any of them | yes | no |
//!
//! The bytes of a file decide what it is, not its name. What lies in files of others is a
//! [`FileTensor`], and is copied only if the backbone needs it; which tensors those are, and which ResNet
//! they are, is found by rule (RECIPE 6).
//!
//! Every file is written under a temporary name and renamed: a reader sees all of it or none.

pub mod checkpoint;
mod content;
pub mod detectron2;
mod file_tensor;
mod foreign;
pub mod pth;
mod reading;
mod replace;
pub mod safetensors;
pub mod timm;
mod trunk;
pub mod weights;

pub use file_tensor::FileTensor;
pub use foreign::ForeignFile;
pub use reading::Reading;
