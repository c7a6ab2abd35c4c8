//! A tensor where it lies in somebody's file: its shape is known, its values are copied when they are
//! asked for.
//!
//! Files hold much that nobody needs (heads, queues, optimizers), in types that nobody here reads. So
//! what is wrong with a tensor is an error only when the tensor is wanted. Nothing is allocated for
//! what a file claims before its bytes are known to be there.

use anyhow::{Result, bail, ensure};
use bytes::Bytes;
use safetensors::Dtype;

use super::safetensors::HostTensor;

/// Most axes of a tensor, as in PyTorch.
const MAX_AXES: usize = 64;
/// Most elements of a view that has more of them than its storage (an expanded tensor).
const MAX_EXPANDED: usize = 1 << 24;

/// A tensor in a file.
#[derive(Clone, Debug)]
pub struct FileTensor {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Where its values are, or why they cannot be read.
    values: Result<View, String>,
}

/// Elements of a storage.
#[derive(Clone, Debug)]
pub(super) struct View {
    pub(super) dtype: Dtype,
    pub(super) storage: Storage,
    /// Place of the first one.
    pub(super) offset: usize,
    /// Distance of neighbours along each axis.
    pub(super) strides: Vec<usize>,
}

/// Values in a row.
#[derive(Clone, Debug)]
pub(super) struct Storage {
    pub(super) bytes: Bytes,
    pub(super) big_endian: bool,
}

impl FileTensor {
    /// A tensor of that shape, whose values lie in a view or cannot be read.
    pub(super) fn new(shape: Vec<usize>, values: Result<View, String>) -> Self {
        FileTensor { shape, values }
    }

    /// A tensor whose values lie in a row.
    pub(super) fn in_a_row(host: HostTensor) -> Self {
        let view = View {
            dtype: host.dtype,
            storage: Storage {
                bytes: host.bytes.into(),
                big_endian: false,
            },
            offset: 0,
            strides: row_major(&host.shape),
        };
        FileTensor::new(host.shape, Ok(view))
    }

    /// Copies the values out of the file.
    ///
    /// # Errors
    /// Why they cannot be read; `name` is in it.
    pub fn to_host(&self, name: &str) -> Result<HostTensor> {
        let view = match &self.values {
            Ok(view) => view,
            Err(reason) => bail!("{name} {reason}"),
        };
        Ok(HostTensor {
            name: name.to_owned(),
            dtype: view.dtype,
            shape: self.shape.clone(),
            bytes: view.gather(&self.shape, name)?,
        })
    }

    /// Whether both have the same values, in the same type.
    pub(super) fn is_same_as(&self, other: &FileTensor) -> bool {
        let (Ok(ours), Ok(theirs)) = (&self.values, &other.values) else {
            return false;
        };
        if self.shape != other.shape || ours.dtype != theirs.dtype {
            return false;
        }
        ours.is_at(theirs)
            || match (self.to_host(""), other.to_host("")) {
                (Ok(ours), Ok(theirs)) => ours.bytes == theirs.bytes,
                _ => false,
            }
    }
}

impl View {
    /// Whether both are the same place of the same file.
    fn is_at(&self, other: &View) -> bool {
        let place = |view: &View| {
            (
                view.storage.bytes.as_ptr(),
                view.storage.bytes.len(),
                view.offset,
            )
        };
        place(self) == place(other) && self.strides == other.strides
    }

    /// The values in row-major order, little-endian.
    fn gather(&self, shape: &[usize], name: &str) -> Result<Vec<u8>> {
        let size = self.dtype.bitsize() / 8;
        ensure!(
            size > 0,
            "{name} is of type {:?}, which is not read",
            self.dtype
        );
        let held = self.storage.bytes.len() / size;
        let num = self.num_reachable(shape, held);
        let num = num.ok_or_else(|| {
            anyhow::anyhow!(
                "{name} of shape {shape:?} reaches beyond its storage of {held} elements"
            )
        })?;
        let bytes = &self.storage.bytes;
        let mut out = if self.strides == row_major(shape) {
            bytes[self.offset * size..(self.offset + num) * size].to_vec()
        } else {
            let mut out = Vec::with_capacity(num * size);
            if num > 0 {
                self.gather_axis(shape, 0, self.offset, size, &mut out);
            }
            out
        };
        if self.storage.big_endian {
            out.chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        Ok(out)
    }

    /// Number of elements, if all of them lie in a storage of `held`.
    fn num_reachable(&self, shape: &[usize], held: usize) -> Option<usize> {
        if shape.len() != self.strides.len() || shape.len() > MAX_AXES {
            return None;
        }
        if shape.contains(&0) {
            return (self.offset <= held).then_some(0);
        }
        let mut last = self.offset;
        for (n, stride) in shape.iter().zip(&self.strides) {
            last = last.checked_add((n - 1).checked_mul(*stride)?)?;
        }
        let num = shape
            .iter()
            .try_fold(1usize, |num, n| num.checked_mul(*n))?;
        (last < held && num <= held.max(MAX_EXPANDED)).then_some(num)
    }

    fn gather_axis(&self, shape: &[usize], axis: usize, at: usize, size: usize, out: &mut Vec<u8>) {
        if axis == shape.len() {
            out.extend_from_slice(&self.storage.bytes[at * size..(at + 1) * size]);
            return;
        }
        for ix in 0..shape[axis] {
            self.gather_axis(shape, axis + 1, at + ix * self.strides[axis], size, out);
        }
    }
}

/// Strides of values in a row, the last axis fastest; saturated where no file is as large.
pub(super) fn row_major(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1usize; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis].saturating_mul(shape[axis]);
    }
    strides
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(strides: &[usize], offset: usize) -> View {
        let values: Vec<u8> = (0..6u16).flat_map(u16::to_le_bytes).collect();
        View {
            dtype: Dtype::I16,
            storage: Storage {
                bytes: values.into(),
                big_endian: false,
            },
            offset,
            strides: strides.to_vec(),
        }
    }

    fn values(shape: &[usize], view: View) -> Result<Vec<u16>> {
        let host = FileTensor::new(shape.to_vec(), Ok(view)).to_host("x")?;
        let pairs = host.bytes.as_chunks().0.iter();
        Ok(pairs.map(|pair| u16::from_le_bytes(*pair)).collect())
    }

    #[test]
    fn views_are_gathered_in_row_major_order() {
        assert_eq!(
            values(&[2, 3], view(&[3, 1], 0)).unwrap(),
            [0, 1, 2, 3, 4, 5]
        );
        assert_eq!(
            values(&[3, 2], view(&[1, 3], 0)).unwrap(),
            [0, 3, 1, 4, 2, 5]
        );
        assert_eq!(values(&[2], view(&[2], 1)).unwrap(), [1, 3]);
        assert_eq!(values(&[2, 2], view(&[0, 1], 4)).unwrap(), [4, 5, 4, 5]);
        assert!(values(&[0, 9], view(&[9, 1], 6)).unwrap().is_empty());
        let mut swapped = view(&[1], 1);
        swapped.storage.big_endian = true;
        assert_eq!(values(&[2], swapped).unwrap(), [0x100, 0x200]);
    }

    #[test]
    fn what_lies_beyond_the_storage_is_refused_without_allocating() {
        let huge = usize::MAX;
        for (shape, strides, offset) in [
            (vec![7], vec![1], 0),
            (vec![2], vec![huge], 1),
            (vec![huge, huge], vec![0, 0], 0),
            (vec![1 << 40], vec![0], 0),
            (vec![1; 65], vec![1; 65], 0),
            (vec![2], vec![], 0),
            (vec![0], vec![1], huge),
        ] {
            let message = values(&shape, view(&strides, offset))
                .unwrap_err()
                .to_string();
            assert!(message.contains("x of shape"), "{message}");
        }
    }
}
