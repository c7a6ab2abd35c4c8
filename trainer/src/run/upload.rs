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
    let host =
        Tensor::f_from_slice(&batch.boxes()).and_then(|t| t.f_view([-1, 2, BOX_VALUES as i64]));
    host.and_then(|t| t.f_to_device_(device, Kind::Float, true, false))
        .map_err(torch)
}
