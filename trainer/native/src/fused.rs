//! Fused operations: one pass over memory where libtorch has several.
//!
//! On a GPU they run kernels of ours, once [`load_kernels`](crate::load_kernels) has loaded them.
//! Without (on the CPU, with `run.fused_kernels = false`, or where they cannot be compiled) the
//! same results, up to rounding, are composed of libtorch's operations. The tests run the kernels'
//! source on the CPU and hold both against float64.

use std::ffi::{c_int, c_void};

use anyhow::Result;
use tch::{Kind, Tensor};
use torch_sys::C_tensor;

use crate::autocast::BFLOAT16;
use crate::ffi::{Message, Pointers, TensorList, must, outcome};
use crate::foreach::{foreach_copy, foreach_restore};
use crate::ranks::Team;

/// `at::ScalarType` of float32.
const FLOAT: c_int = 6;

unsafe extern "C" {
    fn trainer_norms(
        lanes: *const RawLane,
        n: usize,
        momentum: f64,
        eps: f64,
        group: *const c_void,
        first: i64,
        count: i64,
        out: *mut *mut C_tensor,
    ) -> Message;
    fn trainer_normalise(
        bytes: *const C_tensor,
        scale_shift: *const C_tensor,
        dtype: c_int,
        out: *mut *mut C_tensor,
    ) -> Message;
    fn trainer_restore_table(
        to: TensorList,
        from: TensorList,
        n: usize,
        out: *mut *mut C_tensor,
    ) -> Message;
    fn trainer_restore_unless(keep: *const C_tensor, table: *const C_tensor) -> Message;
}

/// What follows a batch norm.
#[derive(Clone, Copy, Debug)]
pub enum After<'a> {
    /// Nothing.
    Nothing,
    /// relu(y).
    Relu,
    /// relu(y + residual), the residual shaped as y.
    AddRelu(&'a Tensor),
}

/// Scale, shift and running statistics of a batch norm, each `[c]`.
#[derive(Clone, Copy, Debug)]
pub struct NormTensors<'a> {
    /// γ.
    pub weight: &'a Tensor,
    /// β.
    pub bias: &'a Tensor,
    /// Mean of what was seen.
    pub running_mean: &'a Tensor,
    /// Unbiased variance of it.
    pub running_var: &'a Tensor,
    /// The ranks whose batches are one, each with as many rows; `None` for this process alone.
    pub team: Option<&'a Team>,
}

/// A batch norm in training, on what, and what follows it.
#[derive(Clone, Copy, Debug)]
pub struct Lane<'a> {
    /// `[n, c]` or `[n, c, h, w]`.
    pub x: &'a Tensor,
    /// Of its channels.
    pub norm: NormTensors<'a>,
    /// Behind it.
    pub after: After<'a>,
}

/// [`Lane`], as norm.cpp has it; the residual may be null.
#[repr(C)]
struct RawLane {
    x: *const C_tensor,
    residual: *const C_tensor,
    weight: *const C_tensor,
    bias: *const C_tensor,
    running_mean: *const C_tensor,
    running_var: *const C_tensor,
    relu: c_int,
}

impl From<&Lane<'_>> for RawLane {
    fn from(lane: &Lane<'_>) -> Self {
        let (relu, residual) = match lane.after {
            After::Nothing => (0, std::ptr::null()),
            After::Relu => (1, std::ptr::null()),
            After::AddRelu(residual) => (1, residual.as_ptr()),
        };
        RawLane {
            x: lane.x.as_ptr(),
            residual,
            weight: lane.norm.weight.as_ptr(),
            bias: lane.norm.bias.as_ptr(),
            running_mean: lane.norm.running_mean.as_ptr(),
            running_var: lane.norm.running_var.as_ptr(),
            relu,
        }
    }
}

/// Batch norms in training, and what follows them: of every lane x to the same shape, by the
/// batch's statistics, which move the running ones by `momentum`. Differentiable in x, residual,
/// weight and bias.
///
/// What ranks tell each other of the lanes travels together.
///
/// # Panics
/// If the lanes have not all the same team; as [`f_batch_norms`] fails.
pub fn batch_norms<const N: usize>(lanes: [Lane<'_>; N], momentum: f64, eps: f64) -> [Tensor; N] {
    f_batch_norms(lanes, momentum, eps).unwrap_or_else(|error| panic!("{error:#}"))
}

/// [`batch_norms`], whose refusal is an error.
///
/// # Errors
/// Shapes that do not fit each other; among ranks, lanes of other channels or kinds than the first.
pub fn f_batch_norms<const N: usize>(
    lanes: [Lane<'_>; N],
    momentum: f64,
    eps: f64,
) -> Result<[Tensor; N]> {
    let team = lanes.first().and_then(|lane| lane.norm.team);
    let (group, first, count) = team.map_or((std::ptr::null(), 0, 1), Team::to_raw);
    assert!(
        lanes
            .iter()
            .all(|lane| lane.norm.team.map(Team::to_raw) == team.map(Team::to_raw)),
        "lanes have one team"
    );
    let raw = lanes.each_ref().map(RawLane::from);
    let mut out = [std::ptr::null_mut(); N];
    // SAFETY: all pointers are those of tensors that live for the time of the call, but for the
    // residuals', which may be null as documented; `out` has a place for every lane.
    outcome(unsafe {
        trainer_norms(
            raw.as_ptr(),
            N,
            momentum,
            eps,
            group,
            first,
            count,
            out.as_mut_ptr(),
        )
    })?;
    // SAFETY: on success each is a new `at::Tensor`, whose only owner this becomes.
    Ok(out.map(|made| unsafe { Tensor::from_ptr(made) }))
}

/// [`batch_norms`] of one lane.
pub fn batch_norm(lane: Lane<'_>, momentum: f64, eps: f64) -> Tensor {
    let [y] = batch_norms([lane], momentum, eps);
    y
}

/// Bytes `[n, h, w, 3]` to `[n, 3, h, w]`, channels innermost in memory: byte × scale + shift of
/// its channel, in `kind` (`Float` or `BFloat16`). `scale_shift` is `[2, 3]`, float32, on the
/// bytes' device.
pub fn normalise(bytes: &Tensor, scale_shift: &Tensor, kind: Kind) -> Tensor {
    f_normalise(bytes, scale_shift, kind).unwrap_or_else(|error| panic!("{error:#}"))
}

/// [`normalise`], whose refusal is an error.
///
/// # Errors
/// Shapes or kinds other than those.
pub fn f_normalise(bytes: &Tensor, scale_shift: &Tensor, kind: Kind) -> Result<Tensor> {
    let dtype = match kind {
        Kind::Float => FLOAT,
        Kind::BFloat16 => BFLOAT16,
        other => panic!("views are Float or BFloat16, not {other:?}"),
    };
    // SAFETY: both tensors live for the time of the call.
    new_tensor(|out| unsafe { trainer_normalise(bytes.as_ptr(), scale_shift.as_ptr(), dtype, out) })
}

/// Copies a state back unless a flag on the device says that it may stay. Nothing waits for the
/// flag.
pub struct Restore {
    state: Vec<Tensor>,
    before: Vec<Tensor>,
    /// Where everything lies, for the kernel.
    table: Option<Tensor>,
}

impl Restore {
    /// A restore of `state`, whose tensors keep their memory from now on. What it goes back to is
    /// [`remember`](Self::remember)ed.
    pub fn new(state: Vec<Tensor>) -> Self {
        let before: Vec<Tensor> = state.iter().map(Tensor::empty_like).collect();
        let (to, from) = (Pointers::of(&state), Pointers::of(&before));
        let mut table: *mut C_tensor = std::ptr::null_mut();
        // SAFETY: both lists hold `len` live tensors for the time of the call; `table` points to a
        // live pointer.
        must(unsafe { trainer_restore_table(to.as_list(), from.as_list(), to.len(), &mut table) });
        // SAFETY: a pointer that is not null is a new `at::Tensor`, whose only owner this becomes.
        let table = (!table.is_null()).then(|| unsafe { Tensor::from_ptr(table) });
        Restore {
            state,
            before,
            table,
        }
    }

    /// Copies the state as it is now. Call under `no_grad`.
    pub fn remember(&self) {
        foreach_copy(&self.before, &self.state);
    }

    /// Takes the state back to what was remembered if the flag `keep`, a bool on its device, is
    /// false; else every tensor stays to the bit. Call under `no_grad`.
    pub fn unless(&self, keep: &Tensor) {
        match &self.table {
            // SAFETY: both tensors live for the time of the call; what the table points to lives in
            // `self`.
            Some(table) => must(unsafe { trainer_restore_unless(keep.as_ptr(), table.as_ptr()) }),
            None => foreach_restore(&self.state, &self.before, keep),
        }
    }
}

/// The tensor that a native function makes.
fn new_tensor(make: impl FnOnce(*mut *mut C_tensor) -> Message) -> Result<Tensor> {
    let mut out: *mut C_tensor = std::ptr::null_mut();
    outcome(make(&mut out))?;
    // SAFETY: on success `out` is a new `at::Tensor`, whose only owner this becomes.
    Ok(unsafe { Tensor::from_ptr(out) })
}
