//! The ResNet in a file that no run wrote: found by rule, and taken only if it is one.

mod choice;
mod expected;
mod form;
mod layout;
mod refusal;

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use console::usage;
use tch::Tensor;

use super::file_tensor::FileTensor;
use super::foreign::ForeignFile;
use super::reading::Reading;
use crate::arch::Arch;
use crate::network::Network;
use choice::Choice;
use layout::{Candidate, Layout};

/// A ResNet out of a file.
#[derive(Debug)]
pub(super) struct Trunk {
    pub(super) arch: Arch,
    /// By torchvision's names.
    pub(super) tensors: BTreeMap<String, Tensor>,
    pub(super) reading: Reading,
}

/// Words in the names of published files that no tensor tells, and what they mean.
const PUBLISHED: [(&str, &str); 3] = [
    ("msra", CAFFE_STYLE),
    ("caffe", CAFFE_STYLE),
    (
        "res50x1",
        "DeepMind's networks pad at one side more (TensorFlow's SAME); read as a ResNet of torchvision they lose some points",
    ),
];
const CAFFE_STYLE: &str = "weights made for Caffe have the stride on 1×1 filters and read BGR; no tensor tells, and they would be read wrongly";

/// Finds and reads the ResNet of a file called `file_name`, or the `wanted` one of two.
///
/// # Errors
/// What the file holds instead, or the first tensor that does not fit.
pub(super) fn find(file: &ForeignFile, file_name: &str, wanted: Option<Network>) -> Result<Trunk> {
    let candidates = layout::candidates(&file.tensors);
    if candidates.is_empty() {
        return Err(refusal::no_resnet(file));
    }
    let choice = choice::choose(candidates, &file.tensors, wanted)?;
    let candidate = &choice.candidate;
    let read = form::read(candidate, &file.tensors);
    let (arch, tensors) = read.map_err(|error| usage(format!("{error:#}")))?;
    let reading = Reading {
        container: file.container,
        names: candidate.layout.name(),
        prefix: candidate.prefix.clone(),
        arch,
        tensors: candidate.names.len(),
        network: choice.network.map(Network::name),
        twins: choice
            .twins
            .iter()
            .map(|twin| format!("{}*", twin.prefix))
            .collect(),
        left_out: left_out(&choice, &file.tensors),
        warnings: warnings(candidate, file, file_name),
        others: choice.others,
    };
    Ok(Trunk {
        arch,
        tensors,
        reading,
    })
}

/// How many tensors are not taken, by where their names part from the network's.
fn left_out(choice: &Choice, all: &BTreeMap<String, FileTensor>) -> BTreeMap<String, usize> {
    let names = |candidate: &'_ Candidate| candidate.names.values().cloned().collect::<Vec<_>>();
    let taken = std::iter::once(&choice.candidate).chain(&choice.twins);
    let taken: BTreeSet<String> = taken.flat_map(names).collect();
    let mut groups = BTreeMap::new();
    for name in all.keys().filter(|name| !taken.contains(*name)) {
        let mut prefix = choice.candidate.prefix.split('.');
        let mut parts = name
            .split('.')
            .skip_while(|part| prefix.next() == Some(part));
        let part = parts.next().unwrap_or(name);
        *groups.entry(part.to_owned()).or_insert(0) += 1;
    }
    groups
}

/// What no tensor tells: by how they are called, and who made them.
fn warnings(candidate: &Candidate, file: &ForeignFile, file_name: &str) -> Vec<String> {
    let file_name = file_name.to_lowercase();
    let published = PUBLISHED
        .iter()
        .filter(|(word, _)| file_name.contains(word));
    let mut warnings: Vec<String> = published.map(|(_, text)| (*text).to_owned()).collect();
    let is_converted = file
        .author
        .as_ref()
        .is_some_and(|author| ["multisiam trainer", "torchvision"].contains(&author.as_str()));
    if candidate.layout == Layout::Detectron2 && !is_converted && warnings.is_empty() {
        warnings.push(format!(
            "if these are Detectron2's MSRA weights: {CAFFE_STYLE}"
        ));
    }
    warnings
}

#[cfg(test)]
mod tests;
