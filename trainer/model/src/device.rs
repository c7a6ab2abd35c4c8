//! Where networks compute, in which arithmetic, and what they are fed with.

use anyhow::Result;
use console::usage;
use native::cuda_device;
use schemas::imagenet::{MEAN, STD};
use serde::{Deserialize, Serialize};
use tch::{Cuda, Device, Kind, Tensor};

/// Resolves `auto`, `cpu`, `cuda` or `cuda:N`.
///
/// # Errors
/// A name that is none of these; CUDA asked for and not to be had.
pub fn select(name: &str) -> Result<Device> {
    let cuda = |ordinal| {
        cuda_device(ordinal).map_err(|e| usage(format!("--device {name}: {e:#}; use --device cpu")))
    };
    match name.split_once(':') {
        None if name == "auto" => Ok(cuda_device(0).unwrap_or(Device::Cpu)),
        None if name == "cpu" => Ok(Device::Cpu),
        None if name == "cuda" => cuda(0),
        Some(("cuda", ordinal)) if ordinal.parse::<usize>().is_ok() => {
            cuda(ordinal.parse().expect("checked by the guard"))
        }
        _ => Err(usage(format!(
            "--device {name}: cpu, cuda, cuda:N or auto is expected"
        ))),
    }
}

/// Arithmetic of convolutions and linear layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Precision {
    /// bf16 on CUDA, fp32 elsewhere. Resolved before the run starts, so that a checkpoint names
    /// what it used.
    Auto,
    /// Single precision, without TensorFloat-32.
    Fp32,
    /// Single precision, multiplied as TensorFloat-32 (10 bits of mantissa); CUDA only.
    Tf32,
    /// bfloat16 autocast.
    Bf16,
}

impl Precision {
    /// `auto` as it turns out on `device`.
    ///
    /// # Errors
    /// For `tf32` on a CPU, which has no such arithmetic.
    pub fn resolve(self, device: Device) -> Result<Self> {
        match self {
            Precision::Auto if device.is_cuda() => Ok(Precision::Bf16),
            Precision::Auto => Ok(Precision::Fp32),
            Precision::Tf32 if !device.is_cuda() => Err(usage(
                "precision = \"tf32\": only GPUs have it; fp32, bf16 or auto is expected on cpu",
            )),
            named => Ok(named),
        }
    }

    /// A line for whoever named what `device` computes slowly.
    pub fn note(self, device: Device) -> Option<&'static str> {
        (self == Precision::Bf16 && device == Device::Cpu).then_some(
            "note: on a CPU bf16 is for checking: fp32 is several times as fast where it was measured",
        )
    }

    /// Lets CUDA multiply single precision as TensorFloat-32 if this says so: all of it, the loss's
    /// products too. Otherwise nothing is, though libtorch would by default.
    ///
    /// # Errors
    /// If libtorch refuses.
    fn switch_tf32(self) -> Result<()> {
        native::set_tf32(self == Precision::Tf32)
    }
}

/// Makes `device` ready for many steps of one shape in `precision`: the fastest convolution of cuDNN
/// for every layer, and fused kernels if they are wanted. A line about those, if they are and are not
/// to be had.
///
/// # Errors
/// If libtorch refuses.
pub fn tune(device: Device, precision: Precision, fused_kernels: bool) -> Result<Option<String>> {
    precision.switch_tf32()?;
    if device.is_cuda() {
        Cuda::cudnn_set_benchmark(true);
    }
    let loaded = match fused_kernels {
        true => native::load_kernels(device),
        false => Ok(()),
    };
    Ok(loaded.err().map(|why| {
        format!("note: no fused kernels ({why:#}): libtorch's are used, which are slower")
    }))
}

/// `[2, 3]`: factors and summands that normalise bytes, `(x / 255 - mean) / std`.
pub fn normalisation(device: Device) -> Tensor {
    let scales = STD.map(|std| 1.0 / (255.0 * std));
    let shifts = std::array::from_fn::<f32, 3, _>(|c| -MEAN[c] / STD[c]);
    Tensor::from_slice2(&[scales, shifts]).to_device(device)
}

/// Bytes `[n, h, w, 3]` on any device to a network's input `[n, 3, h, w]` on `device`: 32-bit
/// floats, normalised.
pub fn normalised(bytes: &Tensor, device: Device) -> Tensor {
    native::normalise(
        &bytes.to_device(device),
        &normalisation(device),
        Kind::Float,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_names_are_parsed_or_refused_in_one_line() {
        assert_eq!(select("cpu").unwrap(), Device::Cpu);
        for bad in ["gpu", "cuda:x", "cpu:0", "cuda:999"] {
            let line = select(bad).unwrap_err().to_string();
            assert!(line.contains(bad) && !line.contains('\n'), "{line}");
        }
    }

    #[test]
    fn only_bf16_on_a_cpu_gets_a_note() {
        assert!(Precision::Bf16.note(Device::Cpu).is_some());
        assert_eq!(Precision::Bf16.note(Device::Cuda(0)), None);
        assert_eq!(Precision::Fp32.note(Device::Cpu), None);
    }

    #[test]
    fn normalisation_is_torchvisions() {
        let bytes = Tensor::full([1, 1, 1, 3], 200, (Kind::Uint8, Device::Cpu));
        let ours = Vec::<f32>::try_from(normalised(&bytes, Device::Cpu).view([3])).unwrap();
        for c in 0..3 {
            let expected = (200.0 / 255.0 - MEAN[c]) / STD[c];
            assert!((ours[c] - expected).abs() < 1e-6);
        }
    }
}
