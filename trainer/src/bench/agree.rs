//! One pass over given weights and views, so that two programs can be compared before their speed
//! is.
//!
//! In a folder lie `state.safetensors`, the weights and running statistics of both networks under
//! the names of a checkpoint (`online.*`, `target.*`), and `inputs.safetensors`: `views`
//! `[2, n, side, side, 3]` bytes, `crops` `[2, n, 4]` (x, y, width, height) and `frames` `[n, 2]`
//! (width, height) in frame pixels, float32, `flips` `[2, n]` bytes, 1 where a view is mirrored.
//! `ours.safetensors` is written beside them: `loss`, and the gradient of every parameter of
//! `online.*` that has one, under its name, float32.

use std::collections::BTreeMap;
use std::path::Path;
use std::rc::Rc;

use anyhow::{Context, Error, Result, ensure};
use console::usage;
use model::files::safetensors::{self, HostTensor};
use tch::{Device, Kind, Tensor};

use crate::config::RunConfig;
use crate::run::{FixedBatch, Profile, Stepper};

/// Reads both files of `folder`, passes forward and backward as a step of `config` does, and writes
/// what comes out.
///
/// # Errors
/// A file that is missing or damaged, or does not hold what belongs in it: one line that names it.
pub fn agree(folder: &Path, config: &RunConfig, device: Device) -> Result<()> {
    let refused = |path: &Path, why: Error| usage(format!("--agree {}: {why:#}", path.display()));
    let [state_path, inputs_path] =
        ["state", "inputs"].map(|name| folder.join(name).with_extension("safetensors"));
    let state = read(&state_path)?;
    let batch = batch(&read(&inputs_path)?, device).map_err(|why| refused(&inputs_path, why))?;

    let mut stepper = Stepper::new(config, device, Kind::Float)?;
    stepper
        .method
        .load_state(&state)
        .map_err(|why| refused(&state_path, why))?;
    let mut profile = Profile::new(false, device);
    stepper.begin(1);
    let views = stepper.upload(Box::new(Rc::new(batch)), &mut profile)?;
    let losses = stepper.pass(&views, &mut profile);

    let mut results = vec![HostTensor::copy_of("loss", &losses.total)?];
    for entry in stepper.method.params().trainable() {
        let grad = entry.tensor.grad();
        if grad.defined() {
            results.push(HostTensor::copy_of(
                format!("online.{}", entry.name),
                &grad,
            )?);
        }
    }
    safetensors::write(&folder.join("ours.safetensors"), &BTreeMap::new(), &results)
}

fn read(path: &Path) -> Result<BTreeMap<String, Tensor>> {
    let (_, tensors) = safetensors::read(path).map_err(|why| usage(format!("--agree: {why:#}")))?;
    tensors
        .into_iter()
        .map(|tensor| Ok((tensor.name.clone(), tensor.to_tensor()?)))
        .collect()
}

/// The batch of `inputs`.
fn batch(inputs: &BTreeMap<String, Tensor>, device: Device) -> Result<FixedBatch> {
    let take = |name: &str, kind: Kind, shape: &[Option<i64>]| {
        let tensor = inputs
            .get(name)
            .with_context(|| format!("it lacks {name}"))?;
        let size = tensor.size();
        let fits = size.len() == shape.len()
            && size
                .iter()
                .zip(shape)
                .all(|(n, want)| want.is_none_or(|w| w == *n));
        ensure!(
            fits && tensor.kind() == kind,
            "{name} is {:?} of shape {size:?}",
            tensor.kind()
        );
        Ok(tensor)
    };
    let views = take("views", Kind::Uint8, &[Some(2), None, None, None, Some(3)])?;
    let n = Some(views.size()[1]);
    let crops = take("crops", Kind::Float, &[Some(2), n, Some(4)])?;
    let frames = take("frames", Kind::Float, &[n, Some(2)])?;
    let flips = take("flips", Kind::Uint8, &[Some(2), n])?.to_kind(Kind::Float);
    let boxes = Tensor::cat(
        &[
            crops,
            &frames.unsqueeze(0).expand([2, -1, -1], false),
            &flips.unsqueeze(-1),
        ],
        2,
    );
    FixedBatch::new(views, &boxes.transpose(0, 1).contiguous(), device)
}
