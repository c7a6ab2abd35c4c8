//! Networks, the mathematics of their losses, their optimizers, and the files that weights come in.
//!
//! ```no_run
//! use model::{ModelConfig, Registry, ResNet, Scope, device::normalised};
//! use tch::{Device, Kind, Tensor, no_grad};
//!
//! let mut registry = Registry::default();
//! let net = ResNet::new(
//!     Scope::root(&mut registry, 7, Kind::Float, Device::Cpu),
//!     &ModelConfig::default(),
//! );
//! let pixels = Tensor::zeros([1, 224, 224, 3], (Kind::Uint8, Device::Cpu));
//! let map = no_grad(|| net.forward(&normalised(&pixels, Device::Cpu), false));
//! assert_eq!(map.size(), [1, 2048, 7, 7]);
//! ```
//!
//! * A [`ResNet`] and [`Head`]s create their tensors in a [`Registry`] through a [`Scope`]: ordered,
//!   named as in torchvision, each with a [`Role`]. Initial values are explicit ([`Init`]), because
//!   tch's own defaults differ from PyTorch's.
//! * [`align`], [`attention`] and [`cluster`] are the mathematics of the paper, on maps.
//! * [`optim`] has the update rules and their schedules.
//! * [`device`] says where and in which arithmetic. [`random`] has streams that are the same on any
//!   machine.
//! * [`files`] reads and writes weights.
//!
//! Nothing here knows of methods, shards or a command line. A checkpoint carries the run's config and
//! position as opaque values.
#![deny(missing_docs)]

pub mod align;
mod arch;
pub mod attention;
pub mod cluster;
mod config;
pub mod device;
pub mod files;
mod heads;
mod init;
mod network;
mod norm;
pub mod numeric;
pub mod optim;
mod params;
pub mod random;
mod resnet;

pub use arch::{Arch, Filters};
pub use config::{HeadInit, ModelConfig};
pub use heads::{Head, HeadDims, HeadForm, HeadPart, PlainHead};
pub use init::Init;
pub use network::Network;
pub use norm::{BatchNorm, MOMENTUM};
pub use params::{Entry, Registry, Role, Scope, channels_last};
pub use resnet::{Conv, ResNet};
