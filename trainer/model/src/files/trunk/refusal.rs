//! Why a file has no ResNet, as far as its tensors tell.

use anyhow::Error;
use console::usage;

use super::layout::STEM;
use crate::files::foreign::ForeignFile;

/// Names in the reason.
const NUM_EXAMPLES: usize = 3;

/// The reason, in one line.
pub(super) fn no_resnet(file: &ForeignFile) -> Error {
    usage(match hint(file) {
        Some(hint) => format!("it holds no ResNet: {hint}"),
        None => format!(
            "it holds no ResNet: no tensor *conv1.weight, *0.weight or *stem.conv1.weight of shape {STEM:?}{}",
            examples(file)
        ),
    })
}

fn hint(file: &ForeignFile) -> Option<String> {
    if ["haiku", "jax", "jaxlib", "dm"]
        .iter()
        .any(|package| file.packages.contains(*package))
    {
        return Some("it is JAX's (as DeepMind's BYOL); convert it to a PyTorch state dict first, as byol-convert does".to_owned());
    }
    if file.tensors.keys().any(|name| name.contains("/~/")) {
        return Some("its names are haiku's (as DeepMind's BYOL); convert it to a PyTorch state dict first, as byol-convert does".to_owned());
    }
    if let Some(name) = file
        .tensors
        .keys()
        .find(|name| name.ends_with("res2_0_branch2a_w"))
    {
        return Some(format!(
            "{name} is Caffe2's name; its batch norms have no statistics and its input is BGR"
        ));
    }
    let reads_colours = |shape: &[usize]| matches!(shape, [_, 3, height, width] if height == width);
    let mut first_filters = file
        .tensors
        .iter()
        .filter(|(_, tensor)| reads_colours(&tensor.shape));
    let (name, tensor) = first_filters.next()?;
    Some(match tensor.shape == STEM {
        true => format!(
            "{name} has the shape of a ResNet's first filters, but none of the names conv1.weight, 0.weight, stem.conv1.weight"
        ),
        false => format!(
            "{name} has shape {:?}, a ResNet's first filters have {STEM:?}; deep and wide stems are not supported",
            tensor.shape
        ),
    })
}

fn examples(file: &ForeignFile) -> String {
    let names: Vec<&str> = file
        .tensors
        .keys()
        .take(NUM_EXAMPLES)
        .map(String::as_str)
        .collect();
    match file.tensors.len() {
        0 => ", and no other tensor".to_owned(),
        num => format!(" among its {num} tensors ({}, …)", names.join(", ")),
    }
}
