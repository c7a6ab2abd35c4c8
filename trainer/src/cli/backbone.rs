//! Which backbone a command works with.

use clap::{Args, ValueEnum};
use model::{Arch, Network};

/// Which of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkArg {
    /// The one that was trained.
    Online,
    /// Its moving average.
    Target,
}

impl From<NetworkArg> for Network {
    fn from(arg: NetworkArg) -> Self {
        match arg {
            NetworkArg::Online => Network::Online,
            NetworkArg::Target => Network::Target,
        }
    }
}

/// Form of a random network.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ArchArg {
    /// Basic blocks 2-2-2-2; 11,176,512 parameters, 512 channels out.
    Resnet18,
    /// Bottlenecks 3-4-6-3; 23,508,032 parameters, 2048 channels out.
    Resnet50,
}

impl From<ArchArg> for Arch {
    fn from(arg: ArchArg) -> Self {
        match arg {
            ArchArg::Resnet18 => Arch::Resnet18,
            ArchArg::Resnet50 => Arch::Resnet50,
        }
    }
}

/// Which network of the weights, and where it computes.
#[derive(Debug, Args)]
pub struct BackboneArgs {
    /// Which network of a run.
    #[arg(long, value_enum, default_value = "online")]
    pub network: NetworkArg,
    /// Form of a random network.
    #[arg(long, value_enum, default_value = "resnet50")]
    pub arch: ArchArg,
    /// cpu, cuda, cuda:N or auto.
    #[arg(long, default_value = "auto")]
    pub device: String,
}
