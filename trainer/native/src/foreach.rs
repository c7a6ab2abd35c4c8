//! One operation on many tensors at once, as libtorch's own optimizers have it.

use tch::Tensor;
use torch_sys::C_tensor;

use crate::ffi::{Message, Pointers, TensorList, must};

unsafe extern "C" {
    fn trainer_foreach_mul_scalar(xs: TensorList, n: usize, factor: f64) -> Message;
    fn trainer_foreach_mul(xs: TensorList, ys: TensorList, n: usize) -> Message;
    fn trainer_foreach_add(xs: TensorList, ys: TensorList, n: usize, alpha: f64) -> Message;
    fn trainer_foreach_lerp(xs: TensorList, ys: TensorList, n: usize, weight: f64) -> Message;
    fn trainer_foreach_copy(xs: TensorList, ys: TensorList, n: usize) -> Message;
    fn trainer_foreach_restore(
        xs: TensorList,
        ys: TensorList,
        n: usize,
        keep: *mut C_tensor,
    ) -> Message;
    fn trainer_foreach_norm(xs: TensorList, n: usize, out: *mut *mut C_tensor) -> Message;
    fn trainer_drop_grads(xs: TensorList, n: usize) -> Message;
}

/// `x *= factor` for every tensor. Call under `no_grad`.
pub fn foreach_mul_scalar(xs: &[Tensor], factor: f64) {
    let xs = Pointers::of(xs);
    // SAFETY: the list holds `len` live tensors for the time of the call.
    must(unsafe { trainer_foreach_mul_scalar(xs.as_list(), xs.len(), factor) });
}

/// `x *= y` pairwise; a `y` of one element scales its `x`. Call under `no_grad`.
pub fn foreach_mul(xs: &[Tensor], ys: &[Tensor]) {
    assert_eq!(xs.len(), ys.len(), "one factor per tensor");
    let (xs, ys) = (Pointers::of(xs), Pointers::of(ys));
    // SAFETY: both lists hold `len` live tensors for the time of the call.
    must(unsafe { trainer_foreach_mul(xs.as_list(), ys.as_list(), xs.len()) });
}

/// `x += alpha * y` pairwise. Call under `no_grad`.
pub fn foreach_add(xs: &[Tensor], ys: &[Tensor], alpha: f64) {
    assert_eq!(xs.len(), ys.len(), "one summand per tensor");
    let (xs, ys) = (Pointers::of(xs), Pointers::of(ys));
    // SAFETY: both lists hold `len` live tensors for the time of the call.
    must(unsafe { trainer_foreach_add(xs.as_list(), ys.as_list(), xs.len(), alpha) });
}

/// `x += weight * (y - x)` pairwise. Call under `no_grad`.
pub fn foreach_lerp(xs: &[Tensor], ys: &[Tensor], weight: f64) {
    assert_eq!(xs.len(), ys.len(), "one end point per tensor");
    let (xs, ys) = (Pointers::of(xs), Pointers::of(ys));
    // SAFETY: both lists hold `len` live tensors for the time of the call.
    must(unsafe { trainer_foreach_lerp(xs.as_list(), ys.as_list(), xs.len(), weight) });
}

/// `x = y` pairwise. Call under `no_grad`.
pub fn foreach_copy(xs: &[Tensor], ys: &[Tensor]) {
    assert_eq!(xs.len(), ys.len(), "one source per tensor");
    let (xs, ys) = (Pointers::of(xs), Pointers::of(ys));
    // SAFETY: both lists hold `len` live tensors for the time of the call.
    must(unsafe { trainer_foreach_copy(xs.as_list(), ys.as_list(), xs.len()) });
}

/// `x = y` pairwise where the flag `keep` (a bool on their device) is false; else every `x` stays
/// to the bit. Nothing waits for the flag. Call under `no_grad`.
pub(crate) fn foreach_restore(xs: &[Tensor], ys: &[Tensor], keep: &Tensor) {
    assert_eq!(xs.len(), ys.len(), "one source per tensor");
    let (xs, ys) = (Pointers::of(xs), Pointers::of(ys));
    // SAFETY: both lists hold `len` live tensors for the time of the call; `keep` lives as long and
    // is only read.
    must(unsafe {
        trainer_foreach_restore(
            xs.as_list(),
            ys.as_list(),
            xs.len(),
            keep.as_ptr().cast_mut(),
        )
    });
}

/// The Euclidean norm of every tensor: `[n]`, on their device; nothing waits for it. `xs` is not
/// empty.
pub fn foreach_norm(xs: &[Tensor]) -> Tensor {
    let xs = Pointers::of(xs);
    let mut out: *mut C_tensor = std::ptr::null_mut();
    // SAFETY: the list holds `len` live tensors; `out` points to a live pointer.
    must(unsafe { trainer_foreach_norm(xs.as_list(), xs.len(), &mut out) });
    // SAFETY: on success `out` is a new `at::Tensor`, whose only owner this becomes.
    unsafe { Tensor::from_ptr(out) }
}

/// Frees the gradients of `xs`; the next backward pass writes fresh ones instead of adding.
pub fn drop_grads(xs: &[Tensor]) {
    let xs = Pointers::of(xs);
    // SAFETY: the list holds `len` live tensors for the time of the call.
    must(unsafe { trainer_drop_grads(xs.as_list(), xs.len()) });
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    #[test]
    fn foreach_operations_match_their_formulas() {
        let xs = || vec![Tensor::from_slice(&[1.0, 2.0]), Tensor::from_slice(&[3.0])];
        let ys = vec![
            Tensor::from_slice(&[10.0, 20.0]),
            Tensor::from_slice(&[30.0]),
        ];
        let flat = |ts: &[Tensor]| -> Vec<f64> { Vec::try_from(Tensor::cat(ts, 0)).unwrap() };
        let check = |change: &dyn Fn(&[Tensor]), expected: [f64; 3]| {
            let xs = xs();
            change(&xs);
            assert_eq!(flat(&xs), expected);
        };
        check(&|xs| foreach_mul_scalar(xs, 2.0), [2.0, 4.0, 6.0]);
        check(
            &|xs| foreach_mul(xs, &[Tensor::from(2.0), Tensor::from(0.5)]),
            [2.0, 4.0, 1.5],
        );
        check(&|xs| foreach_add(xs, &ys, 0.5), [6.0, 12.0, 18.0]);
        check(&|xs| foreach_lerp(xs, &ys, 0.25), [3.25, 6.5, 9.75]);
        check(&|xs| foreach_copy(xs, &ys), [10.0, 20.0, 30.0]);
        check(
            &|xs| foreach_restore(xs, &ys, &Tensor::from(true)),
            [1.0, 2.0, 3.0],
        );
        check(
            &|xs| foreach_restore(xs, &ys, &Tensor::from(false)),
            [10.0, 20.0, 30.0],
        );
        let norms = foreach_norm(&[Tensor::from_slice(&[3.0, 4.0]), Tensor::from_slice(&[-2.0])]);
        assert_eq!(flat(&[norms]), [5.0, 2.0]);
    }

    #[test]
    fn dropped_gradients_are_undefined() {
        let x = Tensor::from_slice(&[1.0, 2.0]).set_requires_grad(true);
        x.square().sum(Kind::Double).backward();
        assert!(x.grad().defined());
        drop_grads(&[x.shallow_clone()]);
        assert!(!x.grad().defined());
    }
}
