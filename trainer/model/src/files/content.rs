//! What a file of weights is, whoever wrote it and whatever it is called.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use bytes::Bytes;
use console::usage;

use super::checkpoint::{self, Checkpoint};
use super::file_tensor::FileTensor;
use super::foreign::ForeignFile;
use super::{pth, safetensors};

/// What a file holds.
pub(super) enum Content {
    /// A run's state.
    Checkpoint(Checkpoint),
    /// Tensors of somebody else.
    Foreign(ForeignFile),
}

impl Content {
    /// Reads a checkpoint, a safetensors file, or what `torch.save` or `pickle` wrote. Its bytes
    /// decide. A checkpoint is whole or an error: never a plain file of tensors, of which the wrong
    /// network might be taken.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let bytes = fs::read(path).with_context(|| format!("reading {path:?}"))?;
        if safetensors::is_one(&bytes) {
            return Self::of_safetensors(&bytes, path);
        }
        let foreign = pth::read_bytes(Bytes::from(bytes)).map_err(|error| {
            usage(format!("{path:?} is neither a checkpoint nor safetensors nor a state dict that can be read: {error:#}"))
        })?;
        Ok(Content::Foreign(foreign))
    }

    fn of_safetensors(bytes: &[u8], path: &Path) -> Result<Self> {
        let read = safetensors::read_bytes(bytes);
        let (metadata, tensors) = read.map_err(|error| usage(format!("{error}: {path:?}")))?;
        if checkpoint::is_claimed(&metadata, &tensors) {
            let checkpoint = Checkpoint::of_file(&metadata, &tensors, path)?;
            return Ok(Content::Checkpoint(checkpoint));
        }
        let named = tensors
            .into_iter()
            .map(|tensor| (tensor.name.clone(), FileTensor::in_a_row(tensor)));
        Ok(Content::Foreign(ForeignFile {
            container: "safetensors",
            tensors: named.collect(),
            metadata,
            author: None,
            packages: Default::default(),
        }))
    }
}
