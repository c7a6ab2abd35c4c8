//! How weights start: the distributions that RECIPE 3.1 and 3.2 name.
//!
//! Values come from ChaCha streams keyed by (seed, tensor name), not from libtorch's generator: the
//! same on any machine, and a layer added elsewhere changes no other tensor.

use rand_chacha::ChaCha8Rng;
use tch::Tensor;

use crate::random::{stream, unit};

/// How a weight starts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Init {
    /// Every value the same.
    Constant(f64),
    /// N(0, std²).
    Normal(f64),
    /// U(-bound, bound).
    Uniform(f64),
}

impl Init {
    /// He et al., fan-in, for ReLU: N(0, 2/fan_in).
    pub(crate) fn kaiming_normal(fan_in: i64) -> Self {
        Init::Normal((2.0 / fan_in as f64).sqrt())
    }

    /// PyTorch's default for linear and convolution layers (Kaiming uniform, a = √5):
    /// U(±1/√fan_in), weight and bias.
    pub fn pytorch_default(fan_in: i64) -> Self {
        Init::Uniform((1.0 / fan_in as f64).sqrt())
    }

    /// The values of the tensor called `name`, float64 on the CPU: a function of the arguments
    /// alone.
    pub fn draw(self, seed: u64, name: &str, shape: &[i64]) -> Tensor {
        let num = shape.iter().product::<i64>() as usize;
        Tensor::from_slice(&self.values(num, &mut stream(seed, fnv1a(name)))).view(shape)
    }

    fn values(self, num: usize, rng: &mut ChaCha8Rng) -> Vec<f64> {
        match self {
            Init::Constant(value) => vec![value; num],
            Init::Normal(std) => {
                let mut values = Vec::with_capacity(num + 1);
                while values.len() < num {
                    let (a, b) = normal_pair(rng);
                    values.extend([a * std, b * std]);
                }
                values.truncate(num);
                values
            }
            Init::Uniform(bound) => (0..num).map(|_| (2.0 * unit(rng) - 1.0) * bound).collect(),
        }
    }
}

/// Two independent N(0, 1), Box and Muller; `libm`, so the same on any machine.
fn normal_pair(rng: &mut ChaCha8Rng) -> (f64, f64) {
    let radius = (-2.0 * libm::log(1.0 - unit(rng))).sqrt();
    let angle = std::f64::consts::TAU * unit(rng);
    (radius * libm::cos(angle), radius * libm::sin(angle))
}

/// FNV-1a, 64 bits: a fixed hash for names (<http://www.isthe.com/chongo/tech/comp/fnv/>).
fn fnv1a(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::Kind;

    fn moments(init: Init) -> (f64, f64) {
        let values = init.draw(3, "a.weight", &[300, 200]);
        (
            values.mean(Kind::Double).double_value(&[]),
            values.std(true).double_value(&[]),
        )
    }

    #[test]
    fn draws_have_their_distribution() {
        let standard_error = |std: f64| std / 60_000f64.sqrt();
        let (mean, std) = moments(Init::Normal(0.5));
        assert!(mean.abs() < 4.0 * standard_error(0.5), "mean {mean}");
        assert!((std / 0.5 - 1.0).abs() < 0.02, "std {std}");
        let (mean, std) = moments(Init::Uniform(0.25));
        assert!(mean.abs() < 4.0 * standard_error(0.15), "mean {mean}");
        assert!((std / (0.25 / 3f64.sqrt()) - 1.0).abs() < 0.02, "std {std}");
        let largest = Init::Uniform(0.25)
            .draw(3, "a", &[1000])
            .abs()
            .max()
            .double_value(&[]);
        assert!(largest <= 0.25 && largest > 0.24, "{largest}");
        assert_eq!(Init::kaiming_normal(8), Init::Normal(0.5));
        assert_eq!(Init::pytorch_default(16), Init::Uniform(0.25));
    }

    #[test]
    fn names_are_hashed_as_fnvs_authors_do() {
        // From the test vectors of <http://www.isthe.com/chongo/src/fnv/test_fnv.c>.
        assert_eq!(fnv1a(""), 0xcbf2_9ce4_8422_2325);
        assert_eq!(fnv1a("a"), 0xaf63_dc4c_8601_ec8c);
        assert_eq!(fnv1a("foobar"), 0x8594_4171_f739_67e8);
    }

    #[test]
    fn values_depend_on_seed_and_name_only() {
        let draw = |seed, name| Init::Normal(1.0).draw(seed, name, &[7]);
        assert_eq!(draw(3, "a.weight"), draw(3, "a.weight"));
        assert_ne!(draw(3, "a.weight"), draw(4, "a.weight"));
        assert_ne!(draw(3, "a.weight"), draw(3, "b.weight"));
    }
}
