//! Which backbone a command works with.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use model::{Arch, Network};

/// Which of the two networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum NetworkArg {
    /// The one that was trained: online, query, student.
    #[value(alias = "student")]
    Online,
    /// Its moving average: target, key, momentum, teacher.
    #[value(alias = "teacher")]
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

/// Which network of the weights, and where it computes.
#[derive(Debug, Args)]
pub struct BackboneArgs {
    /// Which network, where the weights have two [default: the one that was trained; of a student and a
    /// teacher the teacher].
    #[arg(long, value_enum)]
    pub network: Option<NetworkArg>,
    /// Form of a random network; that of other weights is read off their tensors.
    #[arg(long, value_name = "NAME", default_value = "resnet50", value_parser = arch_parser())]
    pub arch: Arch,
    /// cpu, cuda, cuda:N or auto.
    #[arg(long, default_value = "auto")]
    pub device: String,
}

fn arch_parser() -> impl TypedValueParser<Value = Arch> {
    PossibleValuesParser::new(Arch::ALL.map(Arch::name)).try_map(|name| name.parse::<Arch>())
}
