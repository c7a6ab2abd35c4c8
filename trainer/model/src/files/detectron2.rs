//! Detectron2's `.pkl`: backbone weights for its `MODEL.WEIGHTS`.
//!
//! A pickled dict `{"model": {name: numpy array}, "__author__": …, "matching_heuristics": True}`;
//! without the last two keys Detectron2 takes the file for Caffe2's. Names are its own (RECIPE 6);
//! its heuristics match them by suffix.

use std::io::Write;
use std::path::Path;

use anyhow::{Result, bail};
use safetensors::Dtype;

use super::pth::pickle::Pickle;
use super::replace::replace;
use super::safetensors::HostTensor;

/// Writes the file, atomically. `tensors` have torchvision's names.
///
/// # Errors
/// A tensor of a type that numpy lacks here; a file that cannot be written.
pub fn write(path: &Path, tensors: &[HostTensor]) -> Result<()> {
    let mut pickle = Pickle::new(3);
    pickle.dict().mark().str("model").dict().mark();
    for tensor in tensors {
        pickle.str(&renamed(&tensor.name));
        array(&mut pickle, tensor)?;
    }
    pickle.set_items();
    pickle.str("__author__").str("multisiam trainer");
    pickle.str("matching_heuristics").bool(true).set_items();
    let bytes = pickle.finish();
    replace(path, |out| out.write_all(&bytes))
}

/// Detectron2's name for torchvision's.
fn renamed(name: &str) -> String {
    let mut name = match name.strip_prefix("layer") {
        None => format!("stem.{name}"),
        Some(rest) => {
            let (stage, rest) = rest.split_at(1);
            let stage: u32 = stage
                .parse()
                .expect("torchvision's stages are layer1 to layer4");
            format!("res{}{rest}", stage + 1)
        }
    };
    for ix in 1..=3 {
        name = name.replace(&format!("bn{ix}"), &format!("conv{ix}.norm"));
    }
    name.replace("downsample.0", "shortcut")
        .replace("downsample.1", "shortcut.norm")
}

/// torchvision's name for Detectron2's; `None` for what is no part of a backbone.
pub(super) fn torchvision_name(name: &str) -> Option<String> {
    let (top, rest) = name.split_once('.')?;
    let stage = match top {
        "stem" => None,
        _ => Some(
            top.strip_prefix("res")?
                .parse::<u32>()
                .ok()?
                .checked_sub(1)?,
        ),
    };
    let mut name = rest
        .replace("shortcut.norm.", "downsample.1.")
        .replace("shortcut.", "downsample.0.");
    for ix in 1..=3 {
        name = name.replace(&format!("conv{ix}.norm."), &format!("bn{ix}."));
    }
    Some(match stage {
        None => name,
        Some(stage) => format!("layer{stage}.{name}"),
    })
}

/// Pushes a numpy array. `numpy.core` is the old home of its constructor, which numpy 1 and 2 both
/// know.
fn array(pickle: &mut Pickle, tensor: &HostTensor) -> Result<()> {
    let dtype = match tensor.dtype {
        Dtype::F32 => "f4",
        Dtype::I64 => "i8",
        other => bail!("no numpy type for {other:?} here"),
    };
    pickle
        .global("numpy.core.multiarray", "_reconstruct")
        .mark();
    pickle
        .global("numpy", "ndarray")
        .ints([0])
        .bytes(b"b")
        .tuple()
        .reduce();
    pickle
        .mark()
        .int(1)
        .ints(tensor.shape.iter().map(|n| *n as i64));
    pickle
        .global("numpy", "dtype")
        .mark()
        .str(dtype)
        .bool(false)
        .bool(true)
        .tuple()
        .reduce();
    pickle
        .mark()
        .int(3)
        .str("<")
        .none()
        .none()
        .none()
        .int(-1)
        .int(-1)
        .int(0)
        .tuple()
        .build();
    pickle.bool(false).bytes(&tensor.bytes).tuple().build();
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_detectron2() {
        for (ours, theirs) in [
            ("conv1.weight", "stem.conv1.weight"),
            ("bn1.running_mean", "stem.conv1.norm.running_mean"),
            ("layer1.0.conv2.weight", "res2.0.conv2.weight"),
            ("layer4.2.bn3.bias", "res5.2.conv3.norm.bias"),
            ("layer3.0.downsample.0.weight", "res4.0.shortcut.weight"),
            (
                "layer3.0.downsample.1.weight",
                "res4.0.shortcut.norm.weight",
            ),
        ] {
            assert_eq!(renamed(ours), theirs);
            assert_eq!(torchvision_name(theirs).unwrap(), ours);
        }
        for head in [
            "fc.weight",
            "stem_fc",
            "result.0.weight",
            "res0.0.conv1.weight",
        ] {
            assert_eq!(torchvision_name(head), None, "{head}");
        }
    }
}
