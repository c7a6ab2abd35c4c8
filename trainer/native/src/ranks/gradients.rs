//! Gradients averaged over all ranks.

use std::ffi::c_void;
use std::ptr::null_mut;

use tch::Tensor;

use super::Ranks;
use crate::ffi::{Message, Pointers, TensorList, must};

unsafe extern "C" {
    fn trainer_gradients_new(
        group: *const c_void,
        params: TensorList,
        n: usize,
        others: TensorList,
        m: usize,
        bucket_bytes: i64,
        out: *mut *mut c_void,
    ) -> Message;
    fn trainer_gradients_arm(gradients: *mut c_void) -> Message;
    fn trainer_gradients_finish(gradients: *mut c_void) -> Message;
    fn trainer_gradients_free(gradients: *mut c_void);
}

/// Averages gradients over all ranks, and what else has to be the mean of what each of them has.
/// Alone it holds nothing and does nothing.
#[derive(Debug)]
pub struct Gradients(Option<*mut c_void>);

// SAFETY: what it points to is used through `&mut self` alone, and by the backward passes that
// `arm` announces.
unsafe impl Send for Gradients {}

impl Gradients {
    /// For the gradients of `params`, and the `others`, which keep their memory; all of one kind, on
    /// one device. One flat buffer, summed behind the last backward pass; or with `bucket_bytes`,
    /// buckets of about that size which set out during it.
    pub fn new(
        ranks: &Ranks,
        params: &[Tensor],
        others: &[Tensor],
        bucket_bytes: Option<u64>,
    ) -> Self {
        let Some(group) = ranks.group() else {
            return Gradients(None);
        };
        let (params, others) = (Pointers::of(params), Pointers::of(others));
        let mut gradients = null_mut();
        // SAFETY: both lists hold live tensors, whose handles the new object copies; the group lives
        // as long as the process.
        must(unsafe {
            trainer_gradients_new(
                group.as_ptr(),
                params.as_list(),
                params.len(),
                others.as_list(),
                others.len(),
                bucket_bytes.map_or(0, |bytes| bytes as i64),
                &mut gradients,
            )
        });
        Gradients(Some(gradients))
    }

    /// Before the last backward pass of a step: buckets may set out during it.
    pub fn arm(&mut self) {
        if let Some(gradients) = self.0 {
            // SAFETY: made by `new`, and freed by `drop` alone.
            must(unsafe { trainer_gradients_arm(gradients) });
        }
    }

    /// Behind the last backward pass: gradients and the others become the means over all ranks.
    pub fn finish(&mut self) {
        if let Some(gradients) = self.0 {
            // SAFETY: as above.
            must(unsafe { trainer_gradients_finish(gradients) });
        }
    }
}

impl Drop for Gradients {
    fn drop(&mut self) {
        if let Some(gradients) = self.0 {
            // SAFETY: made by `new`, and not used any more; hooks that outlive it do nothing.
            unsafe { trainer_gradients_free(gradients) };
        }
    }
}
