//! A frozen backbone's maps of many images, cached in half precision.
//!
//! C4 has cells as near as C5's or twice as near; then C5's cell `o` is centred on C4's cell `2 * o`.

use model::device::normalised;
use model::files::weights::Backbone;
use tch::{Device, Kind, Tensor};

use super::deal::{Deal, batches};
use super::images::Images;
use crate::recalibrate;

/// Maps of a split, C4 brought to C5's grid; mirrored images follow the images as they are. Rank 0
/// has them.
pub(crate) struct Features {
    /// `[n, c4, rows, columns]`, half precision.
    c4: Tensor,
    /// `[n, c5, rows, columns]`, half precision.
    c5: Tensor,
    /// Averages over the cells of the images as they are, `[n, c5]`; not standardised.
    pub pooled: Tensor,
    is_mirrored: bool,
}

/// Mean and standard deviation of the channels of C4 and C5, each `[1, c, 1, 1]`.
pub(crate) struct Standard {
    c4: (Tensor, Tensor),
    c5: (Tensor, Tensor),
}

/// Gives the backbone's batch norms the statistics of the images of all ranks.
pub(crate) fn recalibrate(backbone: &Backbone, images: &Images, deal: Deal<'_>, device: Device) {
    let inputs = batches(&images.pixels).map(|pixels| normalised(&pixels, device));
    let all = (deal.ranks, deal.num_batches());
    recalibrate::recalibrate(&backbone.registry, all, inputs, |input| {
        drop(backbone.net.forward(input, true))
    });
}

impl Features {
    /// Runs the images of all ranks through the backbone, this rank's being `images`; `mirrored` adds
    /// each image's mirror image. `None` on other ranks than the first.
    pub(crate) fn of(
        backbone: &Backbone,
        images: &Images,
        mirrored: bool,
        deal: Deal<'_>,
        device: Device,
    ) -> Option<Self> {
        let maps = |input: &Tensor| {
            let (c4, c5) = backbone.net.maps(input, false);
            let pooled = c5.mean_dim([2, 3].as_slice(), false, None::<Kind>);
            let c4 = around_cells_of(&c5, &c4).to_kind(Kind::Half);
            [c4, c5.to_kind(Kind::Half), pooled]
        };
        let [mut c4, mut c5, pooled] =
            deal.map(&images.pixels, |pixels| maps(&normalised(pixels, device)));
        if mirrored {
            let [more_c4, more_c5, _] = deal.map(&images.pixels, |pixels| {
                maps(&normalised(pixels, device).flip([3]))
            });
            c4.extend(more_c4);
            c5.extend(more_c5);
        }
        let cat = |maps: Vec<Tensor>| Tensor::cat(&maps, 0);
        deal.ranks.is_first().then(|| Self {
            c4: cat(c4),
            c5: cat(c5),
            pooled: cat(pooled),
            is_mirrored: mirrored,
        })
    }

    /// Standardises both maps per channel in place, and says by what.
    pub(crate) fn standardise(&mut self) -> Standard {
        let standard = Standard {
            c4: moments(&self.c4),
            c5: moments(&self.c5),
        };
        self.apply(&standard);
        standard
    }

    /// Standardises both maps by the moments of others.
    pub(crate) fn apply(&mut self, standard: &Standard) {
        for (maps, (mean, std)) in [(&mut self.c4, &standard.c4), (&mut self.c5, &standard.c5)] {
            for mut part in batches(maps) {
                part.copy_(&((part.to_kind(Kind::Float) - mean) / std));
            }
        }
    }

    /// The C5 maps.
    pub(crate) fn c5(&self) -> Tensor {
        self.c5.shallow_clone()
    }

    /// C4 and C5 beside each other.
    pub(crate) fn c4_c5(&self) -> Tensor {
        Tensor::cat(&[&self.c4, &self.c5], 1)
    }

    /// The images' class shares on the device, mirrored where these features are.
    pub(crate) fn mirrored_like(&self, shares: &Tensor, device: Device) -> Tensor {
        let shares = shares.to_device(device);
        if self.is_mirrored {
            Tensor::cat(&[&shares, &shares.flip([3])], 0)
        } else {
            shares
        }
    }
}

/// The means of `c4` around the cells of `c5`, at C5's resolution.
fn around_cells_of(c5: &Tensor, c4: &Tensor) -> Tensor {
    if c4.size()[2..] == c5.size()[2..] {
        return c4.shallow_clone();
    }
    // Three cells wide, every second one; what lies outside the map is not counted.
    c4.avg_pool2d([3, 3], [2, 2], [1, 1], false, false, None::<i64>)
}

/// Over images and cells, in single precision, a part at a time: the whole would need as much
/// memory again.
fn moments(maps: &Tensor) -> (Tensor, Tensor) {
    let axes: &[i64] = &[0, 2, 3];
    let (n, c, h, w) = maps.size4().expect("a map has four axes");
    let zeros = || Tensor::zeros([1, c, 1, 1], (Kind::Double, maps.device()));
    let (mut sum, mut squares) = (zeros(), zeros());
    for part in batches(maps) {
        let part = part.to_kind(Kind::Float);
        sum += part.sum_dim_intlist(axes, true, Kind::Double);
        squares += part.square().sum_dim_intlist(axes, true, Kind::Double);
    }
    let cells = (n * h * w) as f64;
    let mean = sum / cells;
    let std = (squares / cells - mean.square()).clamp_min(1e-12).sqrt();
    (mean.to_kind(Kind::Float), std.to_kind(Kind::Float))
}

#[cfg(test)]
mod tests {
    use super::super::deal::BATCH;
    use super::*;
    use model::Init;

    #[test]
    fn c4_is_averaged_around_the_centres_of_c5() {
        // A ramp keeps its value at every centre but the outer ones, whose neighbours end.
        let ramp = Tensor::arange(9, (Kind::Float, Device::Cpu)).view([1, 1, 1, 9]);
        let c4 = ramp.expand([1, 1, 5, 9], false);
        let c5 = Tensor::zeros([1, 1, 3, 5], (Kind::Float, Device::Cpu));
        let pooled = around_cells_of(&c5, &c4).select(2, 1).view([-1]);
        assert_eq!(
            Vec::<f32>::try_from(pooled).unwrap(),
            [0.5, 2.0, 4.0, 6.0, 7.5]
        );
        assert_eq!(around_cells_of(&c4, &c4), c4);
    }

    #[test]
    fn moments_are_those_of_all_images_and_cells() {
        let maps = Init::Normal(2.0).draw(1, "maps", &[BATCH as i64 + 3, 4, 2, 3]) + 1.0;
        let (mean, std) = moments(&maps);
        let rows = maps.permute([1, 0, 2, 3]).reshape([4, -1]);
        let of_rows = |t: Tensor| t.view([1, 4, 1, 1]).to_kind(Kind::Float);
        let expected = [
            rows.mean_dim([1].as_slice(), false, None::<Kind>),
            rows.std_dim([1].as_slice(), false, false),
        ];
        for (found, expected) in [mean, std].iter().zip(expected.map(of_rows)) {
            assert!((found - expected).abs().max().double_value(&[]) < 1e-5);
        }
    }
}
