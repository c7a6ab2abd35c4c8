//! A second stream of a GPU: what is queued there runs beside the main stream's work.

use std::ffi::c_int;

use anyhow::Result;
use tch::{Device, Tensor};

use crate::ffi::{Message, Pointers, TensorList, outcome};

unsafe extern "C" {
    fn trainer_stream_new(ordinal: c_int, id: *mut i64) -> Message;
    fn trainer_stream_enter(ordinal: c_int, id: i64, before: *mut i64) -> Message;
    fn trainer_stream_keep(tensors: TensorList, n: usize) -> Message;
}

/// A stream beside the one that is current. On the CPU there is one line of work only, and this
/// does nothing.
pub struct Stream(Option<(c_int, i64)>);

impl Stream {
    /// A stream of `device`.
    pub fn beside(device: Device) -> Result<Self> {
        let Device::Cuda(ordinal) = device else {
            return Ok(Stream(None));
        };
        let mut id = 0;
        // SAFETY: `id` points to a live integer.
        outcome(unsafe { trainer_stream_new(ordinal as c_int, &mut id) })?;
        Ok(Stream(Some((ordinal as c_int, id))))
    }

    /// Runs `work`, whose operations are queued here. Its results may be used elsewhere behind an
    /// [`Event`](crate::Event) recorded at its end, and need [`keep`](Self::keep) there.
    pub fn run<T>(&self, work: impl FnOnce() -> T) -> Result<T> {
        let Some((ordinal, id)) = self.0 else {
            return Ok(work());
        };
        let _back = Back {
            ordinal,
            id: enter(ordinal, id)?,
        };
        Ok(work())
    }

    /// Lets tensors that were made here live as long as what the current stream has queued by the
    /// time of their drop.
    pub fn keep(&self, tensors: &[Tensor]) -> Result<()> {
        if self.0.is_none() {
            return Ok(());
        }
        let tensors = Pointers::of(tensors);
        // SAFETY: the list holds `len` live tensors for the time of the call.
        outcome(unsafe { trainer_stream_keep(tensors.as_list(), tensors.len()) })
    }
}

/// Makes a stream current; returns the one that was.
fn enter(ordinal: c_int, id: i64) -> Result<i64> {
    let mut before = 0;
    // SAFETY: `before` points to a live integer; `id` is a stream of libtorch's, which are never
    // destroyed.
    outcome(unsafe { trainer_stream_enter(ordinal, id, &mut before) })?;
    Ok(before)
}

/// Returns to a stream when it is dropped, also on a panic.
struct Back {
    ordinal: c_int,
    id: i64,
}

impl Drop for Back {
    fn drop(&mut self) {
        // An error here would be one of CUDA itself, which the next operation reports.
        let _ = enter(self.ordinal, self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Event, cuda_device};
    use tch::{Kind, no_grad};

    #[test]
    fn the_cpu_has_no_second_stream() {
        let stream = Stream::beside(Device::Cpu).unwrap();
        let made = stream
            .run(|| Tensor::ones([2], (Kind::Float, Device::Cpu)))
            .unwrap();
        stream.keep(&[made.shallow_clone()]).unwrap();
        assert_eq!(made, Tensor::from_slice(&[1.0f32, 1.0]));
    }

    /// Tensors made beside are used behind their event.
    fn uses_what_is_made_beside(device: Device) {
        let stream = Stream::beside(device).unwrap();
        for round in 0..50 {
            let (made, event) = stream
                .run(|| {
                    let made = no_grad(|| Tensor::full([1 << 22], round, (Kind::Float, device)));
                    (made, Event::record(device).unwrap())
                })
                .unwrap();
            event.block_stream().unwrap();
            stream.keep(&[made.shallow_clone()]).unwrap();
            assert_eq!(
                f64::try_from(made.mean(Kind::Double)).unwrap(),
                round as f64
            );
        }
    }

    #[test]
    fn what_is_made_beside_is_used_on_the_cpu() {
        uses_what_is_made_beside(Device::Cpu);
    }

    #[test]
    #[ignore = "needs CUDA"]
    fn what_one_stream_makes_another_uses() {
        uses_what_is_made_beside(cuda_device(0).unwrap());
    }

    /// Queues work of half a second or more on the current stream of a GPU.
    fn keep_busy(device: Device) {
        let (side, times) = if device.is_cuda() {
            (4096, 200)
        } else {
            (8, 1)
        };
        let x = Tensor::ones([side, side], (Kind::Float, device));
        let mut y = x.shallow_clone();
        for _ in 0..times {
            y = y.matmul(&x) * 1e-4;
        }
    }

    /// A tensor of ones made beside is read behind long work, and dropped before that has come to
    /// its end; then a tensor of twos is made beside. The mean of what was read, and whether the
    /// second tensor was given the first one's memory.
    fn read_after_its_drop(device: Device, numel: i64, is_kept: bool) -> (f64, bool) {
        let _guard = tch::no_grad_guard();
        let stream = Stream::beside(device).unwrap();
        let filled = |value: f64| Tensor::full([numel], value, (Kind::Float, device));
        let (made, event) = stream
            .run(|| (filled(1.0), Event::record(device).unwrap()))
            .unwrap();
        event.block_stream().unwrap();
        keep_busy(device);
        let read = made.copy();
        if is_kept {
            stream.keep(&[made.shallow_clone()]).unwrap();
        }
        let address = made.data_ptr();
        drop(made);
        let next = stream.run(|| filled(2.0)).unwrap();
        let is_reused = next.data_ptr() == address;
        (read.mean(Kind::Double).double_value(&[]), is_reused)
    }

    #[test]
    fn on_the_cpu_what_was_read_stays() {
        assert_eq!(read_after_its_drop(Device::Cpu, 1 << 16, true).0, 1.0);
        assert_eq!(read_after_its_drop(Device::Cpu, 1 << 16, false).0, 1.0);
    }

    #[test]
    #[ignore = "needs CUDA"]
    fn what_is_kept_outlives_its_drop_and_what_is_not_does_not() {
        let gpu = cuda_device(0).unwrap();
        keep_busy(gpu); // starts cuBLAS
        tch::Cuda::synchronize(0);
        // Another size each, so that no earlier memory fits.
        assert_eq!(read_after_its_drop(gpu, 24 << 20, true), (1.0, false));
        // Without `keep` the test above would see this.
        assert_eq!(read_after_its_drop(gpu, 32 << 20, false), (2.0, true));
    }
}
