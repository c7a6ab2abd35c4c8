//! Where ResNets lie among the tensors of a file, and what their tensors are called there.
//!
//! A ResNet begins with 64 filters of 3×7×7; what precedes them in their name precedes every name of
//! it. Behind that, three ways of naming are known: torchvision's, that of an `nn.Sequential` of its
//! children, and Detectron2's.

use std::collections::BTreeMap;

use crate::files::detectron2;
use crate::files::file_tensor::FileTensor;

/// Shape of the first filters.
pub(super) const STEM: [usize; 4] = [64, 3, 7, 7];

/// How tensors are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// `conv1`, `bn1`, `layer1` to `layer4`.
    Torchvision,
    /// Numbers of children: 0 and 1 are `conv1` and `bn1`, these the four stages.
    Sequential([u32; 4]),
    /// `stem.conv1`, `res2` to `res5`, norms inside of filters.
    Detectron2,
}

/// What may be a ResNet.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// What precedes all its names in the file.
    pub(super) prefix: String,
    pub(super) layout: Layout,
    /// Names in the file by torchvision's names.
    pub(super) names: BTreeMap<String, String>,
}

/// All candidates of a file, in the order of their names.
pub(super) fn candidates(all: &BTreeMap<String, FileTensor>) -> Vec<Candidate> {
    let stems = all.iter().filter(|(_, tensor)| tensor.shape == STEM);
    let found = stems.filter_map(|(name, _)| {
        let (prefix, layout) = place(all, name)?;
        let names = below(all, prefix)
            .filter_map(|(rest, whole)| Some((layout.torchvision_name(rest)?, whole.clone())));
        Some(Candidate {
            prefix: prefix.to_owned(),
            names: names.collect(),
            layout,
        })
    });
    found
        .filter(|candidate| !is_of_an_optimizer(&candidate.prefix))
        .collect()
}

/// What precedes the name of a ResNet's first filters, and how the rest of it is named.
fn place<'a>(all: &BTreeMap<String, FileTensor>, stem: &'a str) -> Option<(&'a str, Layout)> {
    let ends_with = |suffix: &str| {
        let prefix = stem.strip_suffix(suffix)?;
        (prefix.is_empty() || prefix.ends_with('.')).then_some(prefix)
    };
    if let Some(prefix) = ends_with("stem.conv1.weight")
        && all.contains_key(&format!("{prefix}res2.0.conv1.weight"))
    {
        return Some((prefix, Layout::Detectron2));
    }
    if let Some(prefix) = ends_with("conv1.weight") {
        return Some((prefix, Layout::Torchvision));
    }
    let prefix = ends_with("0.weight")?;
    Some((prefix, Layout::Sequential(stages(all, prefix)?)))
}

/// The four children of a sequence that hold residual blocks, one behind the other. Whether there
/// are a ReLU and a pooling before them decides their numbers.
fn stages(all: &BTreeMap<String, FileTensor>, prefix: &str) -> Option<[u32; 4]> {
    let blocks = below(all, prefix)
        .filter_map(|(rest, _)| rest.strip_suffix(".0.conv1.weight")?.parse().ok());
    let mut numbers: Vec<u32> = blocks.collect();
    numbers.sort_unstable();
    let stages: [u32; 4] = numbers.try_into().ok()?;
    let follow = stages
        .iter()
        .zip(stages[0]..)
        .all(|(number, expected)| *number == expected);
    (follow && (2..=4).contains(&stages[0])).then_some(stages)
}

/// Names that begin with `prefix`: what is behind it, and the whole.
pub(super) fn below<'a>(
    all: &'a BTreeMap<String, FileTensor>,
    prefix: &'a str,
) -> impl Iterator<Item = (&'a str, &'a String)> {
    let from = all.range(prefix.to_owned()..);
    from.map_while(move |(name, _)| Some((name.strip_prefix(prefix)?, name)))
}

/// Whether tensors below it are no weights, but what an optimizer remembers of them.
fn is_of_an_optimizer(prefix: &str) -> bool {
    prefix.split('.').any(|part| part.starts_with("optim"))
}

impl Layout {
    /// For people.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Layout::Torchvision => "torchvision's names",
            Layout::Sequential(_) => "numbers of an nn.Sequential",
            Layout::Detectron2 => "Detectron2's names",
        }
    }

    /// torchvision's name of a tensor of the trunk; `None` for heads.
    fn torchvision_name(&self, name: &str) -> Option<String> {
        let name = match self {
            Layout::Torchvision => name.to_owned(),
            Layout::Sequential(stages) => {
                let (number, rest) = name.split_once('.')?;
                let number: u32 = number.parse().ok()?;
                let stage = stages.iter().position(|stage| *stage == number);
                match (number, stage) {
                    (0, _) => format!("conv1.{rest}"),
                    (1, _) => format!("bn1.{rest}"),
                    (_, stage) => format!("layer{}.{rest}", stage? + 1),
                }
            }
            Layout::Detectron2 => detectron2::torchvision_name(name)?,
        };
        is_of_a_trunk(&name).then_some(name)
    }
}

/// Whether a name is one of a ResNet's without its heads: any `layer…` is, so that one too many is
/// noticed.
fn is_of_a_trunk(name: &str) -> bool {
    let top = name.split('.').next().unwrap_or_default();
    let is_stage = |number: &str| !number.is_empty() && number.bytes().all(|b| b.is_ascii_digit());
    matches!(top, "conv1" | "bn1") || top.strip_prefix("layer").is_some_and(is_stage)
}
