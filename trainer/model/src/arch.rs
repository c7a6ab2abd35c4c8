//! Which ResNet, and what follows from that: depth, widths, filters.
//!
//! Counts are torchvision's, without `fc`:
//! <https://github.com/pytorch/vision/blob/main/torchvision/models/resnet.py>. The wide ones have
//! twice the channels inside a bottleneck and the same outside (Zagoruyko and Komodakis, "Wide
//! Residual Networks", 2016).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Which ResNet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arch {
    /// Basic blocks 2-2-2-2; 11,176,512 parameters, 512 channels out.
    Resnet18,
    /// Basic blocks 3-4-6-3; 21,284,672 parameters, 512 channels out.
    Resnet34,
    /// Bottlenecks 3-4-6-3; 23,508,032 parameters, 2048 channels out.
    Resnet50,
    /// Bottlenecks 3-4-23-3; 42,500,160 parameters, 2048 channels out.
    Resnet101,
    /// Bottlenecks 3-8-36-3; 58,143,808 parameters, 2048 channels out.
    Resnet152,
    /// Bottlenecks 3-4-6-3 of twice the width; 66,834,240 parameters, 2048 channels out.
    #[serde(rename = "wide_resnet50_2")]
    WideResnet50,
    /// Bottlenecks 3-4-23-3 of twice the width; 124,837,696 parameters, 2048 channels out.
    #[serde(rename = "wide_resnet101_2")]
    WideResnet101,
}

/// Filters of one layer of a residual block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filters {
    /// Channels that they read.
    pub channels_in: i64,
    /// Channels that they give.
    pub channels_out: i64,
    /// Side: 1 or 3.
    pub size: i64,
    /// Whether they have the block's stride: the first 3×3 filters do.
    pub strided: bool,
}

impl Arch {
    /// All of them.
    pub const ALL: [Arch; 7] = [
        Arch::Resnet18,
        Arch::Resnet34,
        Arch::Resnet50,
        Arch::Resnet101,
        Arch::Resnet152,
        Arch::WideResnet50,
        Arch::WideResnet101,
    ];

    /// As torchvision, configs and the command line call it.
    pub fn name(self) -> &'static str {
        match self {
            Arch::Resnet18 => "resnet18",
            Arch::Resnet34 => "resnet34",
            Arch::Resnet50 => "resnet50",
            Arch::Resnet101 => "resnet101",
            Arch::Resnet152 => "resnet152",
            Arch::WideResnet50 => "wide_resnet50_2",
            Arch::WideResnet101 => "wide_resnet101_2",
        }
    }

    /// Channels of the C5 map.
    pub fn channels(self) -> i64 {
        self.channels_of(3)
    }

    /// Channels of the map of a stage, counted from 0.
    pub fn channels_of(self, stage: usize) -> i64 {
        let expansion = if self.has_bottlenecks() { 4 } else { 1 };
        expansion * (64 << stage)
    }

    /// Residual blocks of the four stages.
    pub fn blocks(self) -> [usize; 4] {
        match self {
            Arch::Resnet18 => [2, 2, 2, 2],
            Arch::Resnet34 | Arch::Resnet50 | Arch::WideResnet50 => [3, 4, 6, 3],
            Arch::Resnet101 | Arch::WideResnet101 => [3, 4, 23, 3],
            Arch::Resnet152 => [3, 8, 36, 3],
        }
    }

    /// Whether a block is three layers, 1×1, 3×3 and 1×1; it is two of 3×3 otherwise.
    pub fn has_bottlenecks(self) -> bool {
        !matches!(self, Arch::Resnet18 | Arch::Resnet34)
    }

    /// Layers of a block of a stage, counted from 0, that reads `channels_in` channels.
    pub fn layers(self, stage: usize, channels_in: i64) -> Vec<Filters> {
        let (inner, channels_out) = (self.width(stage), self.channels_of(stage));
        let filters = |channels_in, channels_out, size, strided| Filters {
            channels_in,
            channels_out,
            size,
            strided,
        };
        if self.has_bottlenecks() {
            vec![
                filters(channels_in, inner, 1, false),
                filters(inner, inner, 3, true),
                filters(inner, channels_out, 1, false),
            ]
        } else {
            vec![
                filters(channels_in, inner, 3, true),
                filters(inner, channels_out, 3, false),
            ]
        }
    }

    /// Channels inside a block of a stage.
    fn width(self, stage: usize) -> i64 {
        let factor = match self {
            Arch::WideResnet50 | Arch::WideResnet101 => 2,
            _ => 1,
        };
        factor * (64 << stage)
    }
}

impl fmt::Display for Arch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Arch {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = Arch::ALL.into_iter().find(|arch| arch.name() == name);
        named.ok_or_else(|| {
            format!(
                "{name:?} is none of {}",
                Arch::ALL.map(Arch::name).join(", ")
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configs_and_the_command_line_use_one_name() {
        for arch in Arch::ALL {
            let name = serde_json::to_value(arch).unwrap();
            assert_eq!(name, arch.name());
            assert_eq!(arch.name().parse(), Ok(arch));
        }
        assert!(
            "resnet20"
                .parse::<Arch>()
                .unwrap_err()
                .contains("wide_resnet50_2")
        );
    }
}
