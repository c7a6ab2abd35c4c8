//! MoCo's queue: the keys of past batches, which serve as negatives (He et al., 2020, section 3.2).

use model::numeric::unit;
use model::{Init, Scope};
use tch::{Kind, Tensor, no_grad};

/// A ring of unit keys, the oldest overwritten first. Its tensors are part of the state.
pub(crate) struct Queue {
    /// `[size, d]`.
    keys: Tensor,
    /// Row that is overwritten next; int64 on the CPU, where reading it waits for nothing.
    pointer: Tensor,
}

impl Queue {
    /// `size` random unit keys of `dim` values: `queue` and `queue_pointer` below `root`.
    pub(crate) fn new(root: &mut Scope<'_>, size: i64, dim: i64) -> Self {
        let keys = root.filled_buffer("queue", &[size, dim], Init::Normal(1.0));
        keys.shallow_clone().copy_(&unit(&keys, 1));
        Queue {
            keys,
            pointer: root.counter("queue_pointer"),
        }
    }

    /// The keys, `[size, d]`. A backward pass that reads them comes before the next
    /// [`push`](Self::push); libtorch refuses it afterwards.
    pub(crate) fn keys(&self) -> &Tensor {
        &self.keys
    }

    /// Overwrites the oldest rows with `keys` `[n, d]`, n at most the queue's size.
    pub(crate) fn push(&self, keys: &Tensor) {
        let (size, num) = (self.keys.size()[0], keys.size()[0]);
        let at = self.pointer.int64_value(&[]);
        no_grad(|| {
            let rows = (Tensor::arange(num, (Kind::Int64, keys.device())) + at).remainder(size);
            let _ =
                self.keys
                    .shallow_clone()
                    .index_copy_(0, &rows, &keys.to_kind(self.keys.kind()));
            let _ = self.pointer.shallow_clone().fill_((at + num) % size);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::Registry;
    use tch::Device;

    #[test]
    fn new_keys_overwrite_the_oldest_and_wrap_around() {
        let mut registry = Registry::default();
        let queue = Queue::new(
            &mut Scope::root(&mut registry, 3, Kind::Double, Device::Cpu),
            5,
            4,
        );
        let before = queue.keys().copy();
        let lengths = before.norm_scalaropt_dim(2, [1].as_slice(), false);
        assert!((lengths - 1.0).abs().max().double_value(&[]) < 1e-12);
        let batch = |value: f64| Tensor::full([3, 4], value, (Kind::Double, Device::Cpu));
        queue.push(&batch(1.0));
        assert_eq!(queue.keys().narrow(0, 3, 2), before.narrow(0, 3, 2));
        queue.push(&batch(2.0));
        let firsts: Vec<f64> = Vec::try_from(queue.keys().select(1, 0)).unwrap();
        assert_eq!(firsts, [2.0, 1.0, 1.0, 2.0, 2.0]);
        assert_eq!(registry.get("queue_pointer").unwrap().int64_value(&[]), 1);
        assert_eq!(queue.keys().size(), [5, 4]);
    }
}
