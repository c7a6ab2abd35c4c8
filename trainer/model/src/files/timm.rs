//! A folder that timm loads: `model.safetensors`, `config.json` and a model card, `README.md`.
//!
//! timm's ResNets and their tensors have torchvision's names, so they are written as they are, without
//! `fc`.
//! The keys of `config.json` are those that timm's `save_for_hf` writes and its `local-dir:` and
//! `hf-hub:` read (timm 1.0, `timm/models/_hub.py`). Stages at stride 1 are not among them: timm builds
//! the usual strides, which take the same weights.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Write};
use std::path::Path;

use anyhow::{Error, Result, anyhow};
use console::usage;
use schemas::imagenet::{MEAN, STD};
use serde_json::{Value, json};

use super::replace::replace;
use super::safetensors::{self, HostTensor};
use crate::arch::Arch;

/// What a folder says of its weights.
pub struct About<'a> {
    /// Which ResNet they are.
    pub arch: Arch,
    /// Side of the views they were trained on, in pixels.
    pub view_px: u32,
    /// Licence of the images they were trained on, for people.
    pub license: &'a str,
    /// The model card.
    pub card: &'a str,
    /// Metadata of the file of tensors.
    pub metadata: BTreeMap<String, String>,
}

/// Writes the folder, all of it or none. `tensors` have torchvision's names.
///
/// # Errors
/// If it is there with other content, or cannot be written.
pub fn write(folder: &Path, about: &About<'_>, tensors: &[HostTensor]) -> Result<()> {
    let config = serde_json::to_vec_pretty(&config(about))?;
    let made = host::make_folder(folder, |inside| {
        safetensors::write(&inside.join("model.safetensors"), &about.metadata, tensors)?;
        replace(&inside.join("config.json"), |out| out.write_all(&config))?;
        let card = about.card.as_bytes();
        replace(&inside.join("README.md"), |out| out.write_all(card))
    });
    made.map_err(|error| refusal(folder, error))
}

fn refusal(folder: &Path, error: Error) -> Error {
    let is_taken = |io: &std::io::Error| io.kind() == ErrorKind::DirectoryNotEmpty;
    match error.downcast_ref().is_some_and(is_taken) {
        true => usage(format!(
            "{folder:?} holds other files; remove it, or take another --out"
        )),
        false => anyhow!("cannot write {folder:?}: {error:#}"),
    }
}

fn config(about: &About<'_>) -> Value {
    let (px, cells) = (about.view_px, about.view_px.div_ceil(32));
    json!({
        "architecture": about.arch.name(),
        "num_classes": 0,
        "num_features": about.arch.channels(),
        "global_pool": "avg",
        "pretrained_cfg": {
            "custom_load": false,
            "input_size": [3, px, px],
            "fixed_input_size": false,
            "interpolation": "bicubic",
            "mean": decimal(MEAN),
            "std": decimal(STD),
            "num_classes": 0,
            "pool_size": [cells, cells],
            "first_conv": "conv1",
            "classifier": "fc",
            "license": about.license,
        },
    })
}

/// As people write them: 0.485, not the nearest 32-bit number's sixteen digits.
fn decimal(values: [f32; 3]) -> [f64; 3] {
    values.map(|value| (f64::from(value) * 1e6).round() / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn a_folder_is_written_once_and_others_are_left_alone() {
        let dir = tempfile::tempdir().unwrap();
        let folder = dir.path().join("r50");
        let about = |card| About {
            arch: Arch::Resnet50,
            view_px: 200,
            license: "CC0",
            card,
            metadata: BTreeMap::new(),
        };
        write(&folder, &about("a card"), &[]).unwrap();
        write(&folder, &about("a card"), &[]).unwrap();
        let config = fs::read(folder.join("config.json")).unwrap();
        let config: Value = serde_json::from_slice(&config).unwrap();
        assert_eq!(
            (&config["architecture"], &config["num_features"]),
            (&json!("resnet50"), &json!(2048))
        );
        let input = &config["pretrained_cfg"];
        assert_eq!(
            (&input["input_size"], &input["pool_size"]),
            (&json!([3, 200, 200]), &json!([7, 7]))
        );
        assert_eq!(
            (&input["mean"], &input["std"]),
            (&json!([0.485, 0.456, 0.406]), &json!([0.229, 0.224, 0.225]))
        );

        let refused = write(&folder, &about("another"), &[]).unwrap_err();
        let line = format!("{refused:#}");
        assert!(
            line.contains("r50") && line.contains("--out") && !line.contains('\n'),
            "{line}"
        );
        assert_eq!(fs::read(folder.join("README.md")).unwrap(), b"a card");
        let nowhere = write(&dir.path().join("no/r50"), &about(""), &[]).unwrap_err();
        assert!(
            format!("{nowhere:#}").contains("cannot write"),
            "{nowhere:#}"
        );
    }
}
