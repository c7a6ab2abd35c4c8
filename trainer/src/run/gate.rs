//! Lets no bad step through: a step at which something is not finite changes nothing, and neither
//! does any step after it.
//!
//! Whether a step is good is known to the device alone until the host asks ([`Gate::first_bad`]),
//! so nothing waits for it: the first bad step of every term is noted there, and one flag over all
//! of them decides what the state becomes, `where(good, after, before)`. A good step is the same to
//! the bit as without a gate.
//!
//! Among ranks the losses are averaged along with the gradients, so that all take the same way, and
//! every rank knows on which of them a loss was bad.
//!
//! A forward pass moves running statistics and queues before the loss is known, and an update may
//! itself overflow; so the whole state is copied before a step. Counters live on the host and are
//! put back when the host asks.

use model::optim::Optimizer;
use native::{Ranks, Restore};
use tch::{Device, Kind, Tensor, no_grad};

use crate::method::{Losses, Method};

/// What has to be finite, in the order of a step: a bad loss makes bad gradients, and is what gets
/// named.
const TERMS: [&str; 5] = [
    "the 1D loss",
    "the 2D loss",
    "the norm of the running statistics",
    "the norm of the gradient",
    "the norm of the weights after the update",
];

/// Guards the state of one run.
pub struct Gate {
    device: Device,
    /// `[5]` int64: for each term the first step (1-based) at which it was not finite, 0 as long as
    /// there is none.
    first_bad: Tensor,
    step: u64,
    /// `[2]`: 1D and 2D loss, summed over the batches of the step. A sum is finite only if all its
    /// parts are.
    losses: Option<Tensor>,
    shared: Option<Shared>,
    grad_norm: Tensor,
    weight_norm: Tensor,
    /// The online network's parameters.
    weights: Vec<Tensor>,
    /// Both networks' running statistics, and queues.
    statistics: Vec<Tensor>,
    /// Of everything that a step moves, these included, but for the counters.
    state: Restore,
    counters: Vec<Tensor>,
    /// The counters before each step since the host last asked: step and `[counters]`.
    counted: Vec<(u64, Tensor)>,
}

/// What ranks tell each other of a step.
struct Shared {
    rank: i64,
    /// `[2 + ranks]`: the losses of this rank, and a 1 in its own place if one is not finite. The mean
    /// over all ranks comes back.
    told: Tensor,
    /// `[ranks]`: not zero for those whose losses were bad at the first bad step.
    culprits: Tensor,
}

impl Gate {
    /// A gate before the state of `method` and `optim` on `device`.
    pub fn new(method: &Method, optim: &Optimizer, device: Device) -> Self {
        Gate::among(&Ranks::alone(), method, optim, device)
    }

    /// The same for one of several ranks. What [`shared`](Self::shared) gives has to become the mean
    /// over all of them between [`share`](Self::share) and [`end`](Self::end).
    pub fn among(ranks: &Ranks, method: &Method, optim: &Optimizer, device: Device) -> Self {
        let is_counter = |tensor: &Tensor| tensor.kind() == Kind::Int64;
        let state = method
            .state()
            .into_iter()
            .chain(optim.state())
            .map(|(_, tensor)| tensor);
        let (counters, state): (Vec<Tensor>, Vec<Tensor>) = state.partition(is_counter);
        let scalar = || Tensor::zeros([], (Kind::Float, device));
        let weights = method.params().trainable_tensors();
        let size = ranks.size() as i64;
        let zeros = |len| Tensor::zeros([len], (weights[0].kind(), device));
        Gate {
            shared: ranks.are_several().then(|| Shared {
                rank: ranks.rank() as i64,
                told: zeros(2 + size),
                culprits: zeros(size),
            }),
            device,
            first_bad: Tensor::zeros([TERMS.len() as i64], (Kind::Int64, device)),
            step: 0,
            losses: None,
            grad_norm: scalar(),
            weight_norm: scalar(),
            weights,
            statistics: method
                .buffers()
                .into_iter()
                .filter(|tensor| !is_counter(tensor))
                .collect(),
            state: Restore::new(state),
            counters,
            counted: Vec::new(),
        }
    }

    /// Begins step `step` (1-based), before its first forward pass.
    pub fn begin(&mut self, step: u64) {
        self.step = step;
        self.losses = None;
        no_grad(|| self.state.remember());
        self.counted.push((step, Tensor::stack(&self.counters, 0)));
    }

    /// Puts back all that the step under way has moved: it will not come to its end.
    pub fn abandon(&mut self) {
        let _guard = tch::no_grad_guard();
        let stays = Tensor::from(false).to_device(self.device);
        self.state.unless(&stays);
        let (_, before) = self.counted.pop().expect("a step has begun");
        self.put_back(&before);
        self.losses = None;
    }

    /// Takes the losses of one of the step's batches.
    pub(crate) fn add_losses(&mut self, losses: &Losses) {
        let second = losses.loss_2d.as_ref().unwrap_or(&losses.loss_1d);
        let now = Tensor::stack(&[&losses.loss_1d, second], 0);
        self.losses = Some(match self.losses.take() {
            None => now,
            Some(before) => before + now,
        });
    }

    /// What has to become the mean over all ranks; nothing where there is one.
    pub(crate) fn shared(&self) -> Option<&Tensor> {
        self.shared.as_ref().map(|shared| &shared.told)
    }

    /// Puts there what this rank has to tell of the step, after its last backward pass.
    pub fn share(&mut self) {
        let (Some(shared), Some(losses)) = (&self.shared, &self.losses) else {
            return;
        };
        let _guard = tch::no_grad_guard();
        let _ = shared.told.shallow_clone().zero_();
        shared.told.narrow(0, 0, 2).copy_(losses);
        let is_bad = losses.isfinite().all().logical_not();
        shared.told.get(2 + shared.rank).copy_(&is_bad);
    }

    /// Ends the step, after its last backward pass: what `update` makes of the state stays if the
    /// step is good.
    pub fn end(&mut self, update: impl FnOnce()) {
        let _guard = tch::no_grad_guard();
        let grads: Vec<Tensor> = self
            .weights
            .iter()
            .map(Tensor::grad)
            .filter(Tensor::defined)
            .collect();
        self.grad_norm = norm(&grads);
        update();
        self.weight_norm = norm(&self.weights);
        let losses = self.losses.take().expect("a step has at least one batch");
        let losses = match &self.shared {
            None => losses,
            Some(shared) => shared.told.narrow(0, 0, 2),
        };
        let losses = losses.to_kind(Kind::Float);
        let norms = [&norm(&self.statistics), &self.grad_norm, &self.weight_norm];
        self.note(&Tensor::cat(&[losses, Tensor::stack(&norms, 0)], 0));
        let good = self.first_bad.eq(0).all();
        // On CPU, where reading the flag waits for nothing, a good step need not touch its state
        // again.
        if self.device.is_cuda() || good.int64_value(&[]) == 0 {
            self.state.unless(&good);
        }
    }

    /// The first bad step and its term, if there is one. Waits for the device.
    pub fn first_bad(&mut self) -> Option<(u64, &'static str)> {
        let steps = Vec::<i64>::try_from(&self.first_bad).expect("one integer a term");
        let bad = steps.into_iter().zip(TERMS).filter(|(step, _)| *step > 0);
        let Some((step, term)) = bad
            .min_by_key(|(step, _)| *step)
            .map(|(step, term)| (step as u64, term))
        else {
            self.counted.clear();
            return None;
        };
        let (_, before) = self
            .counted
            .iter()
            .find(|(of, _)| *of == step)
            .expect("the host asks before it forgets");
        self.put_back(before);
        Some((step, term))
    }

    /// The ranks on which a loss was bad at the first bad step.
    pub fn culprits(&self) -> Vec<usize> {
        let Some(shared) = &self.shared else {
            return Vec::new();
        };
        let told = Vec::<f64>::try_from(shared.culprits.to_kind(Kind::Double));
        let told = told.expect("one number a rank").into_iter().enumerate();
        told.filter(|(_, bad)| *bad != 0.0)
            .map(|(rank, _)| rank)
            .collect()
    }

    /// Gives the counters the values that they had `before`.
    fn put_back(&self, before: &Tensor) {
        for (counter, before) in self.counters.iter().zip(before.unbind(0)) {
            counter.shallow_clone().copy_(&before);
        }
    }

    /// Euclidean norms over the gradients of the last step, and over the online network's
    /// parameters after it: scalars on the device.
    pub fn norms(&self) -> [&Tensor; 2] {
        [&self.grad_norm, &self.weight_norm]
    }

    /// Notes this step for the terms whose `values` are not finite now, and were so far.
    fn note(&mut self, values: &Tensor) {
        if let Some(Shared { told, culprits, .. }) = &mut self.shared {
            let so_far = self.first_bad.eq(0).all();
            let now = told.narrow(0, 2, told.size()[0] - 2);
            *culprits = now.where_self(&so_far, culprits);
        }
        let newly = values
            .isfinite()
            .logical_not()
            .logical_and(&self.first_bad.eq(0));
        let _ = self.first_bad.masked_fill_(&newly, self.step as i64);
    }
}

/// Euclidean norm over all of `tensors` (at least one) together, a float32 scalar; not finite if
/// one of them is not.
fn norm(tensors: &[Tensor]) -> Tensor {
    native::foreach_norm(tensors).norm().to_kind(Kind::Float)
}

#[cfg(test)]
mod tests;
