//! A batch of pairs in the host's memory, ready to be uploaded: the loader's, or one made of
//! tensors.

#![expect(
    unsafe_code,
    reason = "the bytes of a tensor as a slice, which tch does not give"
)]

use std::rc::Rc;
use std::slice;

use anyhow::{Result, bail, ensure};
use native::torch;
use sampler::Batch;
use tch::{Device, Kind, Tensor};

/// Values that say where a view comes from: x, y, width, height of its crop and width, height of
/// the frame in frame pixels, and 1 where it is mirrored.
pub(crate) const BOX_VALUES: usize = 7;

/// What an upload needs of a batch.
pub trait HostBatch {
    /// View 0 or 1 of all pairs: RGB bytes `[n, side, side, 3]`, contiguous.
    fn view(&self, which: usize) -> &[u8];
    /// Side of a view in pixels.
    fn side(&self) -> i64;
    /// `BOX_VALUES` of both views of each pair: `[n, 2, 7]`.
    fn boxes(&self) -> Vec<f32>;
}

impl HostBatch for Batch {
    fn view(&self, which: usize) -> &[u8] {
        self.view(which)
    }

    fn side(&self) -> i64 {
        i64::from(self.output())
    }

    fn boxes(&self) -> Vec<f32> {
        let mut values = Vec::with_capacity(self.len() * 2 * BOX_VALUES);
        for (pair, crop) in self
            .pairs()
            .iter()
            .flat_map(|pair| pair.crops.iter().map(move |crop| (pair, crop)))
        {
            let (b, frame) = (crop.crop_in_frame, pair.frame_size);
            values.extend([b.x0, b.y0, b.width(), b.height()]);
            values.extend([
                frame.width as f32,
                frame.height as f32,
                f32::from(u8::from(crop.flip)),
            ]);
        }
        values
    }
}

/// A batch that stays the same however often it is uploaded.
pub(crate) struct FixedBatch {
    /// `[2, n, side, side, 3]` bytes on the CPU, contiguous; never written after `new`.
    views: Tensor,
    boxes: Vec<f32>,
}

impl FixedBatch {
    /// Both views, `[2, n, side, side, 3]` bytes, and the boxes `[n, 2, 7]`. For a GPU the views
    /// are copied to page-locked memory.
    ///
    /// # Errors
    /// Other shapes or kinds; memory that cannot be page-locked.
    pub(crate) fn new(views: &Tensor, boxes: &Tensor, device: Device) -> Result<Self> {
        let size = views.size();
        let &[2, n, height, width, 3] = size.as_slice() else {
            bail!("views have shape {size:?}; [2, n, side, side, 3] is expected");
        };
        ensure!(
            n > 0 && height > 0 && height == width,
            "views have shape {size:?}; they are squares"
        );
        ensure!(
            views.kind() == Kind::Uint8,
            "views are {:?}; bytes are expected",
            views.kind()
        );
        let expected = [n, 2, BOX_VALUES as i64];
        ensure!(
            boxes.size() == expected,
            "boxes have shape {:?}; {expected:?} is expected",
            boxes.size()
        );
        let views = views
            .f_to_device(Device::Cpu)
            .and_then(|t| t.f_contiguous())
            .map_err(torch)?;
        let views = match device {
            Device::Cuda(_) => native::pinned(&views)?,
            _ => views,
        };
        Ok(FixedBatch {
            views,
            boxes: Vec::try_from(boxes.to_kind(Kind::Float).reshape([-1]))?,
        })
    }
}

impl HostBatch for Rc<FixedBatch> {
    fn view(&self, which: usize) -> &[u8] {
        let bytes = self.views.numel() / 2;
        assert!(which < 2, "a pair has two views");
        // SAFETY: the tensor is contiguous, on the CPU, of `2 * bytes` bytes (`new`), lives as long
        // as `self`, and nobody writes to it.
        unsafe {
            slice::from_raw_parts(self.views.data_ptr().cast::<u8>().add(which * bytes), bytes)
        }
    }

    fn side(&self) -> i64 {
        self.views.size()[2]
    }

    fn boxes(&self) -> Vec<f32> {
        self.boxes.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn views_are_the_two_halves_and_misfits_are_named() {
        let views =
            Tensor::arange(2 * 2 * 4 * 4 * 3, (Kind::Int64, Device::Cpu)).view([2, 2, 4, 4, 3]);
        let bytes = views.to_kind(Kind::Uint8);
        let boxes = Tensor::arange(28, (Kind::Float, Device::Cpu)).view([2, 2, 7]);
        let batch = Rc::new(FixedBatch::new(&bytes, &boxes, Device::Cpu).unwrap());
        assert_eq!(
            (batch.side(), batch.view(0)[5], batch.view(1)[5]),
            (4, 5, 101)
        );
        assert_eq!(batch.boxes()[27], 27.0);
        let refusal =
            |views: &Tensor, boxes: &Tensor| match FixedBatch::new(views, boxes, Device::Cpu) {
                Err(error) => error.to_string(),
                Ok(_) => panic!("it was taken"),
            };
        assert!(refusal(&bytes.narrow(0, 0, 1), &boxes).contains("[2, n, side, side, 3]"));
        assert!(refusal(&bytes.narrow(2, 0, 3), &boxes).contains("squares"));
        assert!(refusal(&views, &boxes).contains("Int64"));
        assert!(refusal(&bytes, &boxes.narrow(0, 0, 1)).contains("[2, 2, 7]"));
    }
}
