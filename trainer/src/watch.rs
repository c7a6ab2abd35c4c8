//! Sees trouble: a loss that is no number, a collapse, a starving step.
//!
//! Finiteness is noted on the device at every step and read only when a row is logged or a checkpoint is due, so nothing
//! waits for it; the exact step is known all the same.

use tch::{Device, Kind, Tensor};

use crate::method::Losses;
use crate::metrics::Row;

/// Below this spread the projections have all but collapsed (1 is uniform on the sphere).
const COLLAPSED_BELOW: f64 = 0.05;
/// Above this share of the step, waiting for data is worth a line.
const STARVING_ABOVE: f64 = 0.25;

const TERMS: [&str; 3] = ["loss_1d", "loss_2d", "loss"];

/// Watches one run.
pub struct Watch {
    /// `[3]` int64: per term the first step (1-based) at which it was not finite, 0 as long as there is none.
    first_bad: Tensor,
    told_collapse: bool,
    told_starving: bool,
}

impl Watch {
    /// A watch whose notes lie on `device`.
    pub fn new(device: Device) -> Self {
        Watch {
            first_bad: Tensor::zeros([TERMS.len() as i64], (Kind::Int64, device)),
            told_collapse: false,
            told_starving: false,
        }
    }

    /// Notes whether this step's losses are finite. Does not wait for the device.
    pub fn note(&mut self, step: u64, losses: &Losses) {
        let kind = losses.total.kind();
        let second = losses.loss_2d.as_ref().unwrap_or(&losses.loss_1d);
        let terms = [&losses.loss_1d, second, &losses.total].map(|t| t.detach().to_kind(kind).view([1]));
        let bad_now = Tensor::cat(&terms, 0).isfinite().logical_not();
        let first = bad_now.logical_and(&self.first_bad.eq(0));
        self.first_bad = self.first_bad.masked_fill(&first, step as i64);
    }

    /// The first bad step and its term, if there is one. Waits for the device.
    pub fn first_bad(&self) -> Option<(u64, &'static str)> {
        let steps = Vec::<i64>::try_from(&self.first_bad).expect("three integers");
        let bad = steps.into_iter().zip(TERMS).filter(|(step, _)| *step > 0);
        bad.min_by_key(|(step, _)| *step).map(|(step, term)| (step as u64, term))
    }

    /// Lines worth telling about a row: collapse and starvation, each when it begins.
    pub fn warnings(&mut self, row: &Row) -> Vec<String> {
        let collapsed = row.z_std < COLLAPSED_BELOW;
        let starving = row.data_wait_s > STARVING_ABOVE * row.step_s;
        let mut lines = Vec::new();
        if collapsed && !self.told_collapse {
            lines.push(format!(
                "warning: step {}: projections are collapsing (z_std {:.3}; 1 is spread over the sphere, 0 is one point): a falling loss means nothing now",
                row.step, row.z_std
            ));
        }
        if starving && !self.told_starving {
            lines.push(format!(
                "warning: step {}: {:.0} % of the step waits for data: the loader is the bottleneck (more --threads, faster disk; `sampler bench` measures it)",
                row.step,
                100.0 * row.data_wait_s / row.step_s
            ));
        }
        (self.told_collapse, self.told_starving) = (collapsed, self.told_starving || starving);
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn losses(one: f64, two: f64) -> Losses {
        let scalar = |x: f64| Tensor::from(x).to_kind(Kind::Float);
        Losses {
            total: scalar(one + two),
            loss_1d: scalar(one),
            loss_2d: Some(scalar(two)),
            z_std: scalar(1.0),
            z2d_std: None,
        }
    }

    #[test]
    fn the_first_bad_step_and_term_are_kept() {
        let mut watch = Watch::new(Device::Cpu);
        watch.note(1, &losses(-1.0, -1.0));
        assert_eq!(watch.first_bad(), None);
        watch.note(2, &losses(-1.0, f64::NAN));
        watch.note(3, &losses(f64::INFINITY, f64::NAN));
        assert_eq!(watch.first_bad(), Some((2, "loss_2d")));
    }
}
