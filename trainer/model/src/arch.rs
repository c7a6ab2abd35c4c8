//! Which ResNet, and what follows from that.

use serde::{Deserialize, Serialize};

/// Which ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arch {
    /// Basic blocks 2-2-2-2; 11,176,512 parameters, 512 channels out.
    Resnet18,
    /// Bottlenecks 3-4-6-3; 23,508,032 parameters, 2048 channels out.
    Resnet50,
}

impl Arch {
    /// Channels of the C5 map.
    pub fn channels(self) -> i64 {
        512 * self.expansion()
    }

    /// Residual blocks of the four stages.
    pub fn blocks(self) -> [usize; 4] {
        match self {
            Arch::Resnet18 => [2, 2, 2, 2],
            Arch::Resnet50 => [3, 4, 6, 3],
        }
    }

    /// Channels out of a block over channels inside it.
    pub fn expansion(self) -> i64 {
        match self {
            Arch::Resnet18 => 1,
            Arch::Resnet50 => 4,
        }
    }
}
