//! Which ResNet a set of tensors is; nothing else passes for one.
//!
//! The tensors are read as the nearest ResNet. Then each of them has to fit it, and none may be
//! missing: a deeper one, a grouped one or one with attention is never a chopped ResNet.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail, ensure};
use tch::{Kind, Tensor};

use super::expected::{Expected, Role, tensors};
use super::layout::Candidate;
use crate::arch::Arch;
use crate::files::file_tensor::FileTensor;

/// The ResNet, and its tensors by torchvision's names: float32, and counters in 64 bits.
///
/// # Errors
/// The first tensor that is missing, too many, of another shape or type, or not finite, by its name in
/// the file.
pub(super) fn read(
    candidate: &Candidate,
    all: &BTreeMap<String, FileTensor>,
) -> Result<(Arch, BTreeMap<String, Tensor>)> {
    let arch = nearest(candidate, all);
    let expected = tensors(arch);
    let fits = |name: &str| expected.iter().any(|tensor| tensor.name == name);
    let mut read = BTreeMap::new();
    for tensor in &expected {
        read.insert(tensor.name.clone(), value(tensor, candidate, all, arch)?);
    }
    if let Some((_, name)) = candidate.names.iter().find(|(name, _)| !fits(name)) {
        bail!("{name} is no tensor of a {arch}, the nearest ResNet that is known");
    }
    Ok((arch, read))
}

/// The ResNet that differs from the candidate in the fewest tensors, missing, left over or of another
/// shape.
pub(super) fn nearest(candidate: &Candidate, all: &BTreeMap<String, FileTensor>) -> Arch {
    let fits = |tensor: &Expected| {
        let name = candidate.names.get(&tensor.name);
        name.is_some_and(|name| all[name].shape == tensor.shape)
    };
    let nearest = Arch::ALL.into_iter().min_by_key(|arch| {
        let expected = tensors(*arch);
        let num_fitting = expected.iter().filter(|tensor| fits(tensor)).count();
        expected.len() + candidate.names.len() - 2 * num_fitting
    });
    nearest.expect("there are ResNets")
}

/// The values of one tensor.
fn value(
    expected: &Expected,
    candidate: &Candidate,
    all: &BTreeMap<String, FileTensor>,
    arch: Arch,
) -> Result<Tensor> {
    let found = candidate
        .names
        .get(&expected.name)
        .map(|name| (name, &all[name]));
    match (found, expected.role) {
        (Some((name, tensor)), Role::Values) => {
            ensure!(
                tensor.shape == expected.shape,
                "{name} has shape {:?}; in a {arch}, the nearest ResNet that is known, it has {:?}",
                tensor.shape,
                expected.shape
            );
            finite(tensor, name)
        }
        (Some((name, tensor)), Role::Counter) => {
            ensure!(
                tensor.shape.iter().all(|n| *n == 1),
                "{name} has shape {:?}; it is a number",
                tensor.shape
            );
            Ok(copied(tensor, name)?
                .to_kind(Kind::Int64)
                .reshape([0i64; 0]))
        }
        (None, Role::Counter) => Ok(Tensor::from(0i64)),
        (None, Role::Values) => bail!(
            "it has no {}{}, which a {arch} has, the nearest ResNet that is known",
            candidate.prefix,
            expected.name
        ),
    }
}

/// Floating-point values as float32.
fn finite(tensor: &FileTensor, name: &str) -> Result<Tensor> {
    let values = copied(tensor, name)?;
    ensure!(
        matches!(
            values.kind(),
            Kind::Half | Kind::BFloat16 | Kind::Float | Kind::Double
        ),
        "{name} is of type {:?}; weights are F16, BF16, F32 or F64",
        values.kind()
    );
    let values = values.to_kind(Kind::Float);
    let is_finite = values.isfinite().all().int64_value(&[]) == 1;
    ensure!(is_finite, "{name} holds a NaN or an infinity");
    Ok(values)
}

fn copied(tensor: &FileTensor, name: &str) -> Result<Tensor> {
    tensor
        .to_host(name)?
        .to_tensor()
        .with_context(|| name.to_owned())
}
