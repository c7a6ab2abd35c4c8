//! Where networks compute, in which arithmetic, and what they are fed with.

use std::fmt;

use anyhow::Result;
use console::usage;
use host::Place;
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

/// The same for one of several processes: of the GPUs that it sees, `auto` and `cuda` take the one
/// with its number among the processes of its machine, counted around. Slurm shows each its own.
///
/// # Errors
/// As for [`select`]; and a GPU by its number, which all processes of a machine would share.
pub fn select_for(name: &str, place: &Place) -> Result<Device> {
    let is_alone_here = place.local_size == 1;
    if !is_alone_here && name.starts_with("cuda:") {
        return Err(usage(format!(
            "--device {name}: {} processes on this machine would share that GPU; give cuda or auto, and each takes its own",
            place.local_size
        )));
    }
    Ok(match select(name)? {
        Device::Cuda(_) if !is_alone_here => {
            let seen = Cuda::device_count().max(1) as usize;
            cuda_device(place.local_rank % seen)?
        }
        device => device,
    })
}

/// What [`select`] takes for a device.
pub fn name(device: Device) -> String {
    match device {
        Device::Cuda(ordinal) => format!("cuda:{ordinal}"),
        _ => "cpu".to_owned(),
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

/// Whether the fused kernels of a GPU run, or why libtorch's operations run in their place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FusedKernels {
    /// They run.
    On,
    /// There are none for a CPU.
    OnlyForGpus,
    /// Nobody wants them: `fused_kernels = false`.
    Unwanted,
    /// They cannot be had, for this reason.
    Failed(String),
}

impl FusedKernels {
    /// A line for whoever wanted them and does not get them.
    pub fn warning(&self) -> Option<String> {
        match self {
            FusedKernels::Failed(why) => Some(format!(
                "note: no fused kernels ({why}): libtorch's are used, which are slower"
            )),
            _ => None,
        }
    }
}

/// `on`, or `off: ` and the reason.
impl fmt::Display for FusedKernels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FusedKernels::On => f.write_str("on"),
            FusedKernels::OnlyForGpus => f.write_str("off: the device is a CPU"),
            FusedKernels::Unwanted => f.write_str("off: fused_kernels = false"),
            FusedKernels::Failed(why) => write!(f, "off: {why}"),
        }
    }
}

/// How a device computes many steps of one shape.
#[derive(Clone, Copy, Debug)]
pub struct Tuning {
    /// Of convolutions and products.
    pub precision: Precision,
    /// Whether fused kernels are wanted.
    pub fused_kernels: bool,
    /// Whether the same input has to give the same bits every time, at a cost in speed.
    pub deterministic: bool,
}

/// Makes `device` ready for many steps of one shape: the fastest convolution of cuDNN for every
/// layer, unless all has to be deterministic, and fused kernels. Call it before the first product.
///
/// # Errors
/// If libtorch refuses.
pub fn tune(device: Device, tuning: Tuning) -> Result<FusedKernels> {
    // First of all: cuBLAS reads its environment once.
    native::set_deterministic(tuning.deterministic)?;
    tuning.precision.switch_tf32()?;
    Cuda::cudnn_set_benchmark(!tuning.deterministic);
    if !tuning.fused_kernels {
        return Ok(FusedKernels::Unwanted);
    }
    if !device.is_cuda() {
        return Ok(FusedKernels::OnlyForGpus);
    }
    Ok(match native::load_kernels(device) {
        Ok(()) => FusedKernels::On,
        Err(why) => FusedKernels::Failed(format!("{why:#}").replace('\n', " ")),
    })
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
        for bad in ["gpu", "cuda:x", "cuda:", "cpu:0", ""] {
            let line = select(bad).unwrap_err().to_string();
            let expected = format!("--device {bad}: cpu, cuda, cuda:N or auto is expected");
            assert_eq!(line, expected);
        }
    }

    #[test]
    fn a_gpu_by_its_number_is_for_one_process_of_a_machine() {
        let place = |local_size| Place {
            local_size,
            ..Place::alone()
        };
        let line = select_for("cuda:1", &place(2)).unwrap_err().to_string();
        assert!(line.contains("2 processes on this machine"), "{line}");
        assert_eq!(select_for("cpu", &place(2)).unwrap(), Device::Cpu);
        assert_eq!(name(select_for("cpu", &place(1)).unwrap()), "cpu");
        assert_eq!(name(Device::Cuda(3)), "cuda:3");
    }

    #[test]
    fn a_gpu_is_taken_where_there_is_one() {
        let first = cuda_device(0);
        for name in ["cuda", "cuda:0"] {
            match (select(name), &first) {
                (Ok(found), Ok(first)) => assert_eq!(found, *first),
                (Err(e), Err(why)) => assert_eq!(
                    e.to_string(),
                    format!("--device {name}: {why:#}; use --device cpu")
                ),
                (found, first) => panic!("{name}: {found:?}, where {first:?}"),
            }
        }
        assert_eq!(select("auto").unwrap(), first.unwrap_or(Device::Cpu));
        let line = select("cuda:999").unwrap_err().to_string();
        assert!(
            line.starts_with("--device cuda:999: ")
                && line.ends_with("; use --device cpu")
                && !line.contains('\n'),
            "{line}"
        );
    }

    #[test]
    fn auto_is_bf16_on_a_gpu_and_tf32_is_for_gpus() {
        let (cpu, gpu) = (Device::Cpu, Device::Cuda(0));
        assert_eq!(Precision::Auto.resolve(gpu).unwrap(), Precision::Bf16);
        assert_eq!(Precision::Auto.resolve(cpu).unwrap(), Precision::Fp32);
        for named in [Precision::Fp32, Precision::Bf16] {
            assert_eq!(named.resolve(gpu).unwrap(), named);
            assert_eq!(named.resolve(cpu).unwrap(), named);
        }
        assert_eq!(Precision::Tf32.resolve(gpu).unwrap(), Precision::Tf32);
        assert!(Precision::Tf32.resolve(cpu).is_err());
    }

    #[test]
    fn kernels_that_do_not_run_say_why() {
        let on_cpu = FusedKernels::OnlyForGpus;
        assert_eq!(on_cpu.to_string(), "off: the device is a CPU");
        assert_eq!(on_cpu.warning(), None);
        assert_eq!(FusedKernels::On.to_string(), "on");
        let failed = FusedKernels::Failed("there is no libnvrtc".to_owned());
        assert_eq!(failed.to_string(), "off: there is no libnvrtc");
        assert!(failed.warning().unwrap().contains("there is no libnvrtc"));
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
