//! For tests: a ResNet-18 that hands the colour at the centre of each cell through, and images whose
//! cells have the colours of classes. What it ought to score is known.

use model::files::weights::Weights;
use model::{Arch, ModelConfig};
use schemas::geom::Size;
use schemas::imagenet::{MEAN, STD};
use tch::{Kind, Tensor, no_grad};

use crate::segmentation::{IGNORED, NUM_CLASSES};

/// Added to colours by the stem and by every shortcut with filters, so that no ReLU cuts them: also
/// where batch norms use the statistics of images.
const LIFT: f64 = 3.0;
const NUM_LIFTS: f64 = 4.0;

/// Weights with cells `8 * layer3_stride * layer4_stride` pixels apart. Channels 0 to 2 of the last
/// map are the normalised red, green and blue of a cell's centre, lifted; the others are 0. Running
/// statistics are 0 and 1; the stem's pooling takes the largest of nine
/// pixels, at most two away from the centre.
pub(crate) fn weights(layer4_stride: i64) -> Weights {
    let model = ModelConfig {
        arch: Arch::Resnet18,
        layer4_stride,
        ..ModelConfig::default()
    };
    let weights = Weights::random(model, 1);
    no_grad(|| {
        for (name, tensor) in weights.tensors() {
            let mut tensor = tensor.shallow_clone();
            match name.as_str() {
                "conv1.weight" => pass_through(&tensor),
                "bn1.bias" => drop(tensor.narrow(0, 0, 3).fill_(LIFT)),
                name if name.ends_with("downsample.1.bias") => {
                    drop(tensor.narrow(0, 0, 3).fill_(LIFT))
                }
                // Batch norms divide by the root of the variance and 1e-5.
                name if name.ends_with("running_var") => drop(tensor.fill_(1.0 - 1e-5)),
                name if name.ends_with("downsample.0.weight") => pass_through(&tensor),
                name if name.contains("conv") => drop(tensor.zero_()),
                _ => {}
            }
        }
    });
    weights
}

/// Makes filters `[out, in, h, w]` hand channels 0 to 2 of the middle through.
pub(crate) fn pass_through(filters: &Tensor) {
    let (_, _, height, width) = filters.size4().expect("filters have four axes");
    let _ = filters.shallow_clone().zero_();
    for channel in 0..3 {
        let row = filters.get(channel).get(channel).get(height / 2);
        let _ = row.get(width / 2).fill_(1.0);
    }
}

/// A colour of each class, far from the others: of the 27 whose channels are 0, 128 or 255. Halfway
/// between any two of the first four, none of these four is nearer than those two.
fn color(class: u8) -> [u8; 3] {
    const TETRAHEDRON: [u8; 4] = [0, 8, 20, 24];
    let mut others = (0..27).filter(|code| !TETRAHEDRON.contains(code));
    let code = match TETRAHEDRON.get(usize::from(class)) {
        Some(code) => *code,
        None => others
            .nth(usize::from(class) - 4)
            .expect("there are 19 classes"),
    };
    [code % 3, code / 3 % 3, code / 9].map(|level| [0, 128, 255][usize::from(level)])
}

/// What the network's map holds of a cell of this class.
fn feature(class: u8) -> [f64; 3] {
    let color = color(class);
    std::array::from_fn(|c| {
        (f64::from(color[c]) / 255.0 - f64::from(MEAN[c])) / f64::from(STD[c]) + NUM_LIFTS * LIFT
    })
}

/// Filters `[19, channels, 1, 1]` and biases `[19]` that answer with the class whose feature is
/// nearest. Biases differ a little, so that no two classes are equally near between two cells.
pub(crate) fn nearest_class(channels: i64) -> (Tensor, Tensor) {
    let weight = Tensor::zeros(
        [NUM_CLASSES as i64, channels],
        (Kind::Double, tch::Device::Cpu),
    );
    let bias: Vec<f64> = (0..NUM_CLASSES as u8)
        .map(|class| {
            let of = feature(class);
            let mut of_class = weight.get(class.into()).narrow(0, 0, 3);
            of_class.copy_(&Tensor::from_slice(&of));
            f64::from(class) * 0.01 - of.iter().map(|x| x * x).sum::<f64>() / 2.0
        })
        .collect();
    (weight.view([-1, channels, 1, 1]), Tensor::from_slice(&bias))
}

/// Classes of cells `px` pixels apart, the first one centred on the first pixel.
pub(crate) struct Scene {
    size: Size,
    px: usize,
    columns: usize,
    num_classes: u8,
    classes: Vec<u8>,
}

impl Scene {
    /// Random ones of the first `num_classes` classes. Sides are `k * px + 1` pixels, or end on the
    /// farther side of half a cell: the cell beyond the edge is seen then.
    pub(crate) fn random(size: Size, px: usize, num_classes: u8, seed: u64) -> Self {
        for side in [size.width, size.height] {
            let over = (side as usize - 1) % px;
            assert!(over == 0 || over >= px / 2, "{size} hides its last cells");
        }
        let [columns, rows] = [size.width, size.height].map(|n| (n as usize - 1).div_ceil(px) + 1);
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut draw = || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            (state % u64::from(num_classes)) as u8
        };
        Self {
            size,
            px,
            columns,
            num_classes,
            classes: (0..rows * columns).map(|_| draw()).collect(),
        }
    }

    fn class(&self, row: usize, column: usize) -> u8 {
        self.classes[row * self.columns + column]
    }

    /// Bytes of an image: each pixel has the colour of the nearest cell.
    pub(crate) fn rgb(&self) -> Vec<u8> {
        let half = self.px / 2;
        self.pixels(|y, x| color(self.class((y + half) / self.px, (x + half) / self.px)))
            .concat()
    }

    /// The class of every pixel that wins when the cells' logits are interpolated between their
    /// centres, in double precision. Pixels where it wins by less than 0.01 are ignored.
    pub(crate) fn labels(&self) -> Vec<u8> {
        let logits: Vec<[f64; NUM_CLASSES]> = (0..NUM_CLASSES as u8).map(logits_of).collect();
        self.pixels(|y, x| {
            let (row, column) = (y / self.px, x / self.px);
            let [down, right] = [y, x].map(|at| (at % self.px) as f64 / self.px as f64);
            let corners = [
                (0, 0, (1.0 - down) * (1.0 - right)),
                (0, 1, (1.0 - down) * right),
                (1, 0, down * (1.0 - right)),
                (1, 1, down * right),
            ];
            let mut sum = [0.0; NUM_CLASSES];
            for (below, beside, weight) in corners.into_iter().filter(|corner| corner.2 > 0.0) {
                let class = self.class(row + below, column + beside);
                for (sum, logit) in sum.iter_mut().zip(&logits[usize::from(class)]) {
                    *sum += weight * logit;
                }
            }
            winner(&sum[..usize::from(self.num_classes)])
        })
    }

    fn pixels<T>(&self, of: impl Fn(usize, usize) -> T) -> Vec<T> {
        let (height, width) = (self.size.height as usize, self.size.width as usize);
        let places = (0..height).flat_map(|y| (0..width).map(move |x| (y, x)));
        places.map(|(y, x)| of(y, x)).collect()
    }
}

/// The logits of [`nearest_class`] in a cell of this class.
fn logits_of(class: u8) -> [f64; NUM_CLASSES] {
    let seen = feature(class);
    std::array::from_fn(|other| {
        let of = feature(other as u8);
        let products: f64 = of.iter().zip(seen).map(|(a, b)| a * b - a * a / 2.0).sum();
        products + other as f64 * 0.01
    })
}

/// The class of the largest logit; ignored if another one is nearly as large.
fn winner(logits: &[f64]) -> u8 {
    let (mut best, mut second) = (0, f64::NEG_INFINITY);
    for (class, &logit) in logits.iter().enumerate().skip(1) {
        if logit > logits[best] {
            (best, second) = (class, logits[best]);
        } else {
            second = second.max(logit);
        }
    }
    match logits[best] - second < 0.01 {
        true => IGNORED,
        false => best as u8,
    }
}
