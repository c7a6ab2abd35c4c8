//! What tch does not expose of libtorch: the Rust face of `cpp/`.
//!
//! ```no_run
//! use tch::{Device, Kind, Tensor};
//!
//! let x = Tensor::ones([2, 3], (Kind::Float, Device::Cpu));
//! let product = {
//!     let _autocast = native::autocast(Device::Cpu, Kind::BFloat16);
//!     x.matmul(&x.tr())
//! };
//! assert_eq!(product.kind(), Kind::BFloat16);
//! ```
//!
//! * [`autocast`] with a dtype; [`foreach_add`] and its kin update many tensors at once;
//!   [`drop_grads`] frees gradients.
//! * [`Event`] and [`Stream`]: work that runs beside other work on a GPU.
//! * [`batch_norm`], [`normalise`], [`Restore`]: fused operations, one pass over memory where
//!   libtorch has several. On a GPU they run kernels of ours once [`load_kernels`] has loaded them.
//! * [`pinned`], [`upload`]: from the host to a GPU without waiting.
//! * [`cuda_device`]: the CUDA library that the linker drops. [`set_tf32`], [`allows_tf32`], [`set_deterministic`],
//!   [`trace()`], [`peak_memory_bytes`], [`reset_peak_memory`]: switches and measurements of the whole process.
//! * [`torch_version`], [`gpu_name`]: what this process computes with.
//! * [`Ranks`]: several processes that compute as one; [`Gradients`] averages over them.
//! * [`torch`]: libtorch's errors in one line.
//!
//! Everything here is safe to call. Functions that a caller cannot provoke to fail with valid
//! tensors (`foreach_*`, guards) panic with libtorch's message, as tch's plain methods do; those
//! that depend on the machine return it.
#![deny(missing_docs)]
#![expect(unsafe_code, reason = "the one boundary to libtorch beside tch itself")]

mod autocast;
mod cuda;
mod error;
mod event;
mod ffi;
mod foreach;
mod fused;
mod kernels;
mod pinned;
mod ranks;
mod self_check;
mod stream;
mod trace;
mod versions;

pub use autocast::{Autocast, autocast, autocast_dtype, autocast_off};
pub use cuda::{allows_tf32, cuda_device, is_deterministic, set_deterministic, set_tf32};
pub use error::{first_line, panicked, torch};
pub use event::Event;
pub use foreach::{
    drop_grads, foreach_add, foreach_copy, foreach_lerp, foreach_mul, foreach_mul_scalar,
    foreach_norm,
};
pub use fused::{
    After, Lane, NormTensors, Restore, batch_norm, batch_norms, f_batch_norms, f_normalise,
    normalise,
};
pub use kernels::load_kernels;
pub use pinned::{pinned, upload};
pub use ranks::{
    Agreement, Counted, Fate, Gradients, Meeting, PeerFailed, Ranks, Team, is_among_ranks,
};
pub use self_check::FusedResults;
pub use stream::Stream;
pub use trace::{peak_memory_bytes, reset_peak_memory, trace};
pub use versions::{gpu_name, torch_version};
