//! The linear classifier: one 1×1 filter a class, trained on cached maps.
//!
//! Every pixel of a cell counts as one example with the cell's features: the loss of a cell is the
//! cross-entropy of its class shares, so that labels need not be stored at full resolution and an
//! epoch takes seconds.

use model::Init;
use model::optim::schedule::half_cosine;
use model::random::{shuffled, stream};
use tch::{COptimizer, Kind, Tensor, no_grad};

use crate::segmentation::NUM_CLASSES;

/// How the classifier is trained.
#[derive(Clone, Copy, Debug)]
pub struct LinearConfig {
    /// Passes over the maps; the last one counts.
    pub epochs: u64,
    /// Highest rate of AdamW; it falls along a cosine.
    pub lr: f64,
    /// AdamW's decay.
    pub weight_decay: f64,
    /// Maps in a step.
    pub batch: usize,
    /// Names initial weights and order.
    pub seed: u64,
}

impl Default for LinearConfig {
    fn default() -> Self {
        Self {
            epochs: 30,
            lr: 1e-3,
            weight_decay: 1e-2,
            batch: 16,
            seed: 0,
        }
    }
}

impl LinearConfig {
    /// The learning rate of every step on `n` images: a cosine from the highest towards 0.
    fn rates(self, n: usize) -> impl Iterator<Item = f64> {
        let steps = self.epochs * n.div_ceil(self.batch) as u64;
        (0..steps).map(move |step| self.lr * half_cosine(step as f64 / steps as f64))
    }
}

/// Filters `[19, c, 1, 1]` and biases `[19]`.
pub(crate) struct Classifier {
    weight: Tensor,
    bias: Tensor,
}

impl Classifier {
    /// Maps `[n, c, h, w]` to logits `[n, 19, h, w]`, on the CPU.
    pub(crate) fn logits(&self, maps: &Tensor) -> Tensor {
        let parts = (0..maps.size()[0]).map(|ix| no_grad(|| self.forward(&maps.narrow(0, ix, 1))));
        Tensor::cat(&parts.collect::<Vec<_>>(), 0).to_device(tch::Device::Cpu)
    }

    fn forward(&self, maps: &Tensor) -> Tensor {
        maps.to_kind(Kind::Float)
            .conv2d(&self.weight, Some(&self.bias), [1, 1], [0, 0], [1, 1], 1)
    }
}

/// Trains a classifier on maps `[n, c, h, w]` and class shares `[n, 19, h, w]`.
pub(crate) fn train(maps: &Tensor, shares: &Tensor, config: LinearConfig) -> Classifier {
    let (n, channels, _, _) = maps.size4().expect("maps have four axes");
    let shape = [NUM_CLASSES as i64, channels, 1, 1];
    let weight = Init::pytorch_default(channels).draw(config.seed, "probe.weight", &shape);
    let weight = weight
        .to_kind(Kind::Float)
        .to_device(maps.device())
        .set_requires_grad(true);
    let bias =
        Tensor::zeros([NUM_CLASSES as i64], (Kind::Float, maps.device())).set_requires_grad(true);
    let classifier = Classifier { weight, bias };

    let mut adamw = COptimizer::adamw(config.lr, 0.9, 0.999, config.weight_decay, 1e-8, false)
        .expect("valid constants");
    for tensor in [&classifier.weight, &classifier.bias] {
        adamw
            .add_parameters(tensor, 0)
            .expect("a leaf that is trained");
    }
    let n = n as usize;
    let mut rates = config.rates(n);
    let mut rng = stream(config.seed, 0);
    for _ in 0..config.epochs {
        for chosen in shuffled(n, n, &mut rng).chunks(config.batch) {
            let chosen: Vec<i64> = chosen.iter().map(|&image| image as i64).collect();
            let chosen = Tensor::from_slice(&chosen).to_device(maps.device());
            let logits = classifier.forward(&maps.index_select(0, &chosen));
            let shares = shares.index_select(0, &chosen);
            let log_likelihood = (logits.log_softmax(1, Kind::Float) * &shares).sum(Kind::Float);
            let loss = -log_likelihood / shares.sum(Kind::Float).clamp_min(1.0);
            loss.backward();
            let lr = rates.next().expect("every step has a rate");
            adamw.set_learning_rate(lr).expect("a number");
            adamw.step().expect("the parameters have gradients");
            adamw.zero_grad().expect("the parameters have gradients");
        }
    }
    classifier
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_falls_along_a_cosine_from_step_to_step() {
        let config = LinearConfig {
            epochs: 4,
            lr: 0.1,
            batch: 3,
            ..LinearConfig::default()
        };
        // Three batches of eight images.
        let rates: Vec<f64> = config.rates(8).collect();
        assert_eq!(rates.len(), 12);
        // (1 + cos 0) / 2, cos 60°, cos 90°, cos 120°
        for (step, share) in [(0, 1.0), (4, 0.75), (6, 0.5), (8, 0.25)] {
            assert!((rates[step] - 0.1 * share).abs() < 1e-12, "{rates:?}");
        }
    }

    #[test]
    fn a_linear_rule_is_learned_and_runs_repeat() {
        // Channel c of a cell is high where class c is, for three classes; the rest is noise.
        let classes = [0i64, 1, 2, 2, 1, 0, 1, 0];
        let shares = Tensor::zeros([8, 19, 1, 1], (Kind::Float, tch::Device::Cpu));
        let noise = Init::Normal(0.3)
            .draw(1, "noise", &[8, 6, 1, 1])
            .to_kind(Kind::Float);
        let maps = noise;
        for (image, &class) in classes.iter().enumerate() {
            let _ = shares.get(image as i64).get(class).fill_(1.0);
            let mut cell = maps.get(image as i64).get(class);
            cell += 2.0;
        }
        let config = LinearConfig {
            epochs: 60,
            lr: 0.05,
            batch: 3,
            ..LinearConfig::default()
        };
        let logits = train(&maps, &shares, config).logits(&maps);
        let guesses = Vec::<i64>::try_from(logits.argmax(1, false).view([8])).unwrap();
        assert_eq!(guesses, classes);
        assert_eq!(train(&maps, &shares, config).logits(&maps), logits);
    }
}
