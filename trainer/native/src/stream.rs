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

    #[test]
    #[ignore = "needs CUDA"]
    fn what_one_stream_makes_another_uses() {
        let device = cuda_device(0).unwrap();
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
}
