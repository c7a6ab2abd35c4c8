//! Weights on disk: what a run writes, and what others wrote.
//!
//! | module | format | read | written |
//! |---|---|---|---|
//! | [`safetensors`] | named tensors with metadata | yes | yes |
//! | [`checkpoint`] | a run's whole state, a safetensors file with checksums | yes | yes |
//! | [`pth`] | PyTorch's state dicts | yes | yes |
//! | [`detectron2`] | `MODEL.WEIGHTS` of Detectron2 | no | yes |
//! | [`weights`] | a backbone out of any of the first three | yes | no |
//!
//! Every file is written under a temporary name and renamed: a reader sees all of it or none.

pub mod checkpoint;
mod content;
pub mod detectron2;
pub mod pth;
mod replace;
pub mod safetensors;
pub mod weights;
