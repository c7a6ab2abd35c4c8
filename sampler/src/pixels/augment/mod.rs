//! BYOL's augmentation of one view, byte for byte as Pillow and torchvision do it (RECIPE 1.1 and
//! 1.3).
//!
//! [`Resizer`](super::resize::Resizer) leaves a view as [`Planes`] in a [`Workspace`]; [`apply`]
//! runs the drawn operations on it in the order jitter, grayscale, blur, solarize and writes the
//! slot's RGB bytes (or floats, see [`Out`]). What was drawn is data ([`ViewOps`]): nothing here is
//! random. Nothing here allocates, locks or makes a system call either.
//!
//! torchvision flips before the jitter; here the flip happens on the way to the slot. The result is
//! the same: what lies between acts on pixels alone, on the mean, or alike to left and right.

mod block;
mod blur;
mod color;
mod hue;
mod planes;
mod solarize;

use color::Step;
pub(crate) use planes::deinterleave;
pub use planes::{Out, Planes};

use crate::pixels::simd::Simd;
use crate::stages::{Stage, StageTimes};

/// One of the four operations of a colour jitter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum JitterOp {
    /// Blend with black.
    Brightness,
    /// Blend with the mean luma of the view.
    Contrast,
    /// Blend with the grey view.
    Saturation,
    /// Turn the hue.
    Hue,
}

/// A drawn colour jitter.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Jitter {
    /// 0 is black, 1 leaves the view as it is.
    pub brightness: f32,
    /// 0 is flat grey, 1 leaves the view as it is.
    pub contrast: f32,
    /// 0 is grey, 1 leaves the view as it is.
    pub saturation: f32,
    /// Turns, -0.5 to 0.5. Even 0 goes through HSV bytes and back, as in torchvision.
    pub hue: f32,
    /// The order in which the four act.
    pub order: [JitterOp; 4],
}

/// What happens to one view: everything drawn, nothing left to chance. The default changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ViewOps {
    /// Left becomes right.
    pub flip: bool,
    /// Colour jitter.
    pub jitter: Option<Jitter>,
    /// Luma in all three channels.
    pub grayscale: bool,
    /// The grayscale comes before the jitter instead of after it: MoCo v1's order.
    pub grayscale_first: bool,
    /// Standard deviation in pixels of Pillow's `GaussianBlur`; finite, not negative.
    pub blur_sigma: Option<f32>,
    /// Invert values of 128 and more.
    pub solarize: bool,
}

/// All memory that the augmentation of a view needs, made once.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The view that [`apply`] works on: resize into it, or [`load`](Planes::load) it.
    pub planes: Planes,
    blur: blur::Scratch,
    simd: Simd,
}

impl Workspace {
    /// For views of `side` × `side` pixels (at least 1), with the best instructions of this CPU.
    pub fn new(side: usize) -> Self {
        Self::with_simd(side, Simd::detect())
    }

    /// As [`new`](Self::new) with the instructions that `simd` names; the pixels are the same.
    pub fn with_simd(side: usize, simd: Simd) -> Self {
        Self {
            planes: Planes::new(side),
            blur: blur::Scratch::new(side),
            simd,
        }
    }
}

/// Augments the view in `workspace.planes`, which is used up, and writes it to `out`.
///
/// Charges each operation to its stage of `times`; what is fused (the grayscale of a jittered view)
/// to the first.
///
/// # Panics
///
/// If `out` does not hold `3 * side * side` values.
pub fn apply(ops: &ViewOps, workspace: &mut Workspace, out: Out<'_>, times: &mut StageTimes) {
    let Workspace { planes, blur, simd } = workspace;
    if ops.jitter.is_some() || ops.grayscale {
        let stage = if ops.jitter.is_some() {
            Stage::Jitter
        } else {
            Stage::Grayscale
        };
        change_colors(ops, *simd, planes);
        times.lap(stage);
    }
    // From here on the three channels of a grey view are equal (a jitter leaves grey grey): one
    // does for all.
    let num_planes = if ops.grayscale { 1 } else { 3 };
    if let Some(sigma) = ops.blur_sigma {
        blur::blur(
            *simd,
            sigma,
            planes.split_mut().into_iter().take(num_planes),
            blur,
        );
        times.lap(Stage::Blur);
    }
    if ops.solarize {
        for plane in planes.split_mut().into_iter().take(num_planes) {
            solarize::solarize(*simd, plane);
        }
        times.lap(Stage::Solarize);
    }
    if ops.grayscale {
        planes.store_grey(*simd, ops.flip, out);
    } else {
        planes.store(*simd, ops.flip, out);
    }
    times.lap(Stage::Store);
}

/// Jitter and grayscale in as few passes as the contrast allows: its mean is that of the view as
/// the operations before it left it, so it begins a pass of its own.
fn change_colors(ops: &ViewOps, simd: Simd, planes: &mut Planes) {
    let mut steps = [Step::Grayscale; 5];
    let mut num_steps = usize::from(ops.grayscale && ops.grayscale_first);
    if let Some(jitter) = &ops.jitter {
        for (step, op) in steps[num_steps..].iter_mut().zip(jitter.order) {
            *step = step_from_op(op, jitter);
        }
        num_steps += jitter.order.len();
    }
    num_steps += usize::from(ops.grayscale && !ops.grayscale_first); // behind the jitter, the array holds it already
    let area = (planes.side() * planes.side()) as f64;
    let mut done = 0;
    for ix in 0..num_steps {
        if let Step::Contrast { factor, .. } = steps[ix] {
            let luma_sum = color::run_steps_and_sum(simd, planes.split_mut(), &steps[done..ix]);
            steps[ix] = Step::Contrast {
                factor,
                mean: (luma_sum as f64 / area + 0.5).trunc() as f32,
            };
            done = ix;
        }
    }
    color::run_steps(simd, planes.split_mut(), &steps[done..num_steps]);
}

/// The step for `op`; a contrast still lacks its mean.
fn step_from_op(op: JitterOp, jitter: &Jitter) -> Step {
    match op {
        JitterOp::Brightness => Step::Brightness {
            factor: jitter.brightness,
        },
        JitterOp::Contrast => Step::Contrast {
            factor: jitter.contrast,
            mean: 0.0,
        },
        JitterOp::Saturation => Step::Saturation {
            factor: jitter.saturation,
        },
        JitterOp::Hue => Step::Hue {
            shift: hue::shift_from_factor(jitter.hue),
        },
    }
}
