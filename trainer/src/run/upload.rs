//! How a batch gets to where the run computes.
//!
//! Views travel as bytes, a quarter of the floats that they become, and are normalised on the
//! device. The rule of this file: a batch goes back to the loader's ring only when its copy has
//! finished. On CPU the copy has finished when [`Uploader::upload`] returns; on CUDA an event
//! recorded behind the copy says so, and the batch is held until then.

#![expect(
    unsafe_code,
    reason = "tensors over the loader's memory, which has no owner that libtorch knows"
)]

use std::collections::VecDeque;

use anyhow::Result;
use model::device::{Precision, normalisation};
use native::torch;
use tch::{Device, Kind, Tensor};

use super::host_batch::{BOX_VALUES, HostBatch};
use crate::method::{View, Views};

/// Turns batches into normalised views on one device, on a GPU beside what it computes.
pub(crate) struct Uploader {
    device: Device,
    /// Of the views.
    kind: Kind,
    /// `[2, 3]`: normalised = byte * scale + shift.
    scale_shift: Tensor,
    stream: native::Stream,
    in_flight: VecDeque<(native::Event, Box<dyn HostBatch>)>,
    /// Batches held at most; more would stall the loader's ring.
    most_in_flight: usize,
}

impl Uploader {
    /// An uploader beside a ring of `depth` slots. Views are as a forward pass in `precision` wants
    /// them.
    pub(crate) fn new(device: Device, precision: Precision, depth: usize) -> Result<Self> {
        Ok(Uploader {
            device,
            kind: if precision == Precision::Bf16 {
                Kind::BFloat16
            } else {
                Kind::Float
            },
            scale_shift: normalisation(device),
            stream: native::Stream::beside(device)?,
            in_flight: VecDeque::new(),
            most_in_flight: depth.saturating_sub(2),
        })
    }

    /// Uploads and normalises. The batch's slot is free when that is done.
    pub(crate) fn upload(&mut self, batch: Box<dyn HostBatch>) -> Result<Views> {
        let (views, uploaded) = self.stream.run(|| -> Result<_> {
            let boxes = upload_boxes(&*batch, self.device)?;
            let views = Views {
                a: self.view(&*batch, 0, &boxes)?,
                b: self.view(&*batch, 1, &boxes)?,
            };
            Ok((views, native::Event::record(self.device)?))
        })??;
        uploaded.block_stream()?;
        for View {
            image,
            crop,
            frame,
            flip,
        } in [&views.a, &views.b]
        {
            self.stream
                .keep(&[image, crop, frame, flip].map(Tensor::shallow_clone))?;
        }
        if self.device.is_cuda() {
            self.in_flight.push_back((uploaded, batch));
            self.release()?;
        }
        Ok(views)
    }

    /// Gives slots back whose copies are done; waits for the oldest while too many are held.
    fn release(&mut self) -> Result<()> {
        while let Some((copied, _)) = self.in_flight.front() {
            if self.in_flight.len() > self.most_in_flight {
                copied.wait()?;
            } else if !copied.is_done()? {
                break;
            }
            self.in_flight.pop_front();
        }
        Ok(())
    }

    /// `[n, h, w, 3]` bytes to a view `[n, 3, h, w]`, channels innermost in memory.
    fn view(&self, batch: &dyn HostBatch, which: usize, boxes: &Tensor) -> Result<View> {
        let (n, side) = (boxes.size()[0], batch.side());
        let bytes = batch.view(which);
        assert_eq!(
            bytes.len() as i64,
            n * side * side * 3,
            "a view is n x h x w x 3 bytes"
        );
        let (shape, strides) = ([n, side, side, 3], [side * side * 3, side * 3, 3, 1]);
        // SAFETY: the tensor covers exactly `bytes` (asserted). It does not outlive them: it is
        // dropped in this function, and what it is copied to has its own memory; a copy that is
        // still running keeps `batch` in `in_flight`.
        let host = unsafe {
            Tensor::f_from_blob(bytes.as_ptr(), &shape, &strides, Kind::Uint8, Device::Cpu)
        };
        let on_device = match self.device {
            Device::Cpu => host,
            device => host.and_then(|t| t.f_to_device_(device, Kind::Uint8, true, true)),
        };
        let image = native::normalise(&on_device.map_err(torch)?, &self.scale_shift, self.kind);
        let boxes = boxes.select(1, which as i64);
        Ok(View {
            image,
            crop: boxes.narrow(1, 0, 4),
            frame: boxes.narrow(1, 4, 2),
            flip: boxes.select(1, 6).to_kind(Kind::Bool),
        })
    }
}

/// The boxes `[n, 2, 7]` of a batch: one small copy for both views.
fn upload_boxes(batch: &dyn HostBatch, device: Device) -> Result<Tensor> {
    let host = Tensor::f_from_slice(&batch.boxes())
        .and_then(|t| t.f_view([-1, 2, BOX_VALUES as i64]))
        .map_err(torch)?;
    native::upload(&host, device)
}

#[cfg(test)]
mod tests {
    use std::rc::Rc;

    use super::super::host_batch::FixedBatch;
    use super::*;
    use native::{cuda_device, load_kernels};

    /// A batch that `salt` decides: views `[2, n, side, side, 3]`, boxes `[n, 2, 7]`.
    fn host(n: i64, side: i64, salt: i64) -> (Tensor, Tensor) {
        let shape = [2, n, side, side, 3];
        let index = Tensor::arange(shape.iter().product::<i64>(), (Kind::Int64, Device::Cpu));
        let views = (&index * &index + salt * 7).remainder(251);
        let boxes = Tensor::arange(n * 2 * 7, (Kind::Float, Device::Cpu)) + salt;
        (
            views.to_kind(Kind::Uint8).view(shape),
            boxes.view([n, 2, 7]),
        )
    }

    fn batch((views, boxes): &(Tensor, Tensor), device: Device) -> Box<dyn HostBatch> {
        Box::new(Rc::new(FixedBatch::new(views, boxes, device).unwrap()))
    }

    /// Image, crop, frame and flip of both views, copied to the host.
    fn on_host(views: &Views) -> Vec<Tensor> {
        let tensors = |view: &View| {
            [&view.image, &view.crop, &view.frame, &view.flip].map(|t| t.to_device(Device::Cpu))
        };
        [&views.a, &views.b].into_iter().flat_map(tensors).collect()
    }

    /// The same by definition: byte × scale, rounded, + shift, rounded; and once more to `kind`.
    fn expected((bytes, boxes): &(Tensor, Tensor), kind: Kind) -> Vec<Tensor> {
        let constants = Vec::<f32>::try_from(normalisation(Device::Cpu).view([-1])).unwrap();
        let view = |which: i64| {
            let bytes = bytes.get(which);
            let pixels = Vec::<u8>::try_from(bytes.reshape([-1])).unwrap();
            let normal = pixels.iter().enumerate().map(|(ix, byte)| {
                let product = f32::from(*byte) * constants[ix % 3];
                product + constants[3 + ix % 3]
            });
            let image = Tensor::from_slice(&normal.collect::<Vec<f32>>()).view_as(&bytes);
            let boxes = boxes.select(1, which);
            [
                image.permute([0, 3, 1, 2]).to_kind(kind),
                boxes.narrow(1, 0, 4),
                boxes.narrow(1, 4, 2),
                boxes.select(1, 6).to_kind(Kind::Bool),
            ]
        };
        (0..2).flat_map(view).collect()
    }

    fn assert_views_are_exact(device: Device) {
        for (precision, kind) in [
            (Precision::Fp32, Kind::Float),
            (Precision::Bf16, Kind::BFloat16),
        ] {
            let mut uploader = Uploader::new(device, precision, 4).unwrap();
            for (n, side) in [(3, 5), (2, 32)] {
                let host = host(n, side, 1);
                let views = uploader.upload(batch(&host, device)).unwrap();
                assert_eq!(on_host(&views), expected(&host, kind), "{kind:?}, {side}");
            }
        }
    }

    #[test]
    fn views_are_exact_to_the_bit() {
        assert_views_are_exact(Device::Cpu);
    }

    #[test]
    #[ignore = "needs CUDA"]
    fn views_on_a_gpu_are_exact_to_the_bit() {
        let gpu = cuda_device(0).unwrap();
        assert_views_are_exact(gpu);
        load_kernels(gpu).unwrap();
        assert_views_are_exact(gpu);
    }

    /// Views are read behind long work and dropped before it ends, while more batches are uploaded:
    /// what is read must be the first batch. Without `keep` in `upload` a GPU writes the next
    /// batches over it (`native::Stream`'s tests show that it does).
    fn assert_views_outlive_their_drop(device: Device) {
        let _guard = tch::no_grad_guard();
        let (side, times) = if device.is_cuda() {
            (4096, 200)
        } else {
            (8, 1)
        };
        let x = Tensor::ones([side, side], (Kind::Float, device));
        let mut y = x.matmul(&x); // starts cuBLAS
        let mut uploader = Uploader::new(device, Precision::Fp32, 8).unwrap();
        let first = host(8, 224, 1);
        let views = uploader.upload(batch(&first, device)).unwrap();
        let next: Vec<_> = (2..6)
            .map(|salt| batch(&host(8, 224, salt), device))
            .collect();
        for _ in 0..times {
            y = y.matmul(&x) * 1e-4;
        }
        let read = Views {
            a: copy(&views.a),
            b: copy(&views.b),
        };
        drop(views);
        for batch in next {
            drop(uploader.upload(batch).unwrap());
        }
        assert_eq!(on_host(&read), expected(&first, Kind::Float));
    }

    fn copy(view: &View) -> View {
        View {
            image: view.image.copy(),
            crop: view.crop.copy(),
            frame: view.frame.copy(),
            flip: view.flip.copy(),
        }
    }

    #[test]
    fn views_outlive_their_drop() {
        assert_views_outlive_their_drop(Device::Cpu);
    }

    #[test]
    #[ignore = "needs CUDA"]
    fn views_on_a_gpu_outlive_their_drop() {
        assert_views_outlive_their_drop(cuda_device(0).unwrap());
    }
}
