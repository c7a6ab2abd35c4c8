//! Which rank looks at which images of a split, and how what all have found comes together.
//!
//! Images pass through a backbone [`BATCH`] at a time, in order, however many ranks there are: what
//! a network makes of an image may depend, in its last bits, on how many others pass with it. The
//! batches are dealt out by turns. So every rank has at most one in a round, and what it found of
//! that is gathered before the next round: a rank that keeps nothing never holds more than a round.

use std::array;

use native::Ranks;
use tch::{Tensor, no_grad};

/// Images that pass through the backbone together.
pub(crate) const BATCH: usize = 32;

/// The images of a split, dealt out.
#[derive(Clone, Copy)]
pub(crate) struct Deal<'a> {
    /// To these.
    pub ranks: &'a Ranks,
    /// So many images.
    pub len: usize,
}

impl Deal<'_> {
    /// Batches of the split.
    pub(crate) fn num_batches(self) -> usize {
        self.len.div_ceil(BATCH)
    }

    /// This rank's images, in order.
    pub(crate) fn mine(self) -> Vec<usize> {
        let (rank, size) = (self.ranks.rank(), self.ranks.size());
        (0..self.len)
            .filter(|ix| ix / BATCH % size == rank)
            .collect()
    }

    /// What `of` makes of the batches of all ranks, on rank 0: the rows of all images, in order, in
    /// parts. The others, whose lists are empty, have to come too. `mine` has a row for each of this
    /// rank's images; `of` makes `N` tensors of `[n, ..]`, each with a row for an image.
    pub(crate) fn map<const N: usize>(
        self,
        mine: &Tensor,
        of: impl Fn(&Tensor) -> [Tensor; N],
    ) -> [Vec<Tensor>; N] {
        let mut joined = array::from_fn(|_| Vec::new());
        let mut mine_left = batches(mine);
        let size = self.ranks.size();
        for round in 0..self.num_batches().div_ceil(size) {
            // A rank without a batch looks at one black picture, of which nothing is kept.
            let batch = mine_left.next().unwrap_or_else(|| black(mine));
            let num_rows = (self.len - round * size * BATCH).min(size * BATCH);
            for (parts, found) in joined.iter_mut().zip(no_grad(|| of(&batch))) {
                let rows = self.gather(found).narrow(0, 0, num_rows as i64);
                if self.ranks.is_first() {
                    parts.push(rows);
                }
            }
        }
        joined
    }

    /// The rows of all ranks, one rank after the other, each padded to a whole batch.
    fn gather(self, found: Tensor) -> Tensor {
        if !self.ranks.are_several() {
            return found;
        }
        let mut padded = found.size();
        padded[0] = BATCH as i64 - padded[0];
        let padding = Tensor::zeros(&padded, (found.kind(), found.device()));
        let whole = Tensor::cat(&[&found, &padding], 0);
        match whole.dim() {
            // As a network lays its maps out: sums over channels round as they do in one process.
            4 => {
                let rows = whole.permute([0, 2, 3, 1]).contiguous();
                self.ranks.gather(&rows).permute([0, 3, 1, 2])
            }
            _ => self.ranks.gather(&whole.contiguous()),
        }
    }
}

/// One row like those of `rows`, of zeros.
fn black(rows: &Tensor) -> Tensor {
    let mut size = rows.size();
    size[0] = 1;
    Tensor::zeros(&size, (rows.kind(), rows.device()))
}

/// The next rows of `tensor`, at most [`BATCH`] of them at a time.
pub(crate) fn batches(tensor: &Tensor) -> impl Iterator<Item = Tensor> + '_ {
    let (len, batch) = (tensor.size()[0], BATCH as i64);
    (0..len)
        .step_by(BATCH)
        .map(move |start| tensor.narrow(0, start, batch.min(len - start)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tch::{Device, Kind};

    #[test]
    fn batches_cover_every_image_once() {
        let images = Tensor::arange(2 * BATCH as i64 + 3, (Kind::Int64, Device::Cpu));
        let batches: Vec<Tensor> = batches(&images).collect();
        let sizes: Vec<i64> = batches.iter().map(|batch| batch.size()[0]).collect();
        assert_eq!(sizes, [32, 32, 3]);
        assert_eq!(Tensor::cat(&batches, 0), images);
    }

    /// Of each image its number, and as a map of two channels: of all batches, in order. Batches
    /// are whole but for the last one.
    #[test]
    fn what_all_ranks_find_is_in_the_order_of_the_images() {
        for (size, len) in [(1, 70), (2, 70), (2, 64), (4, 70), (4, 200), (4, 3)] {
            let found = Ranks::in_threads(size, |ranks| {
                let deal = Deal { ranks, len };
                let mine: Vec<i64> = deal.mine().iter().map(|&ix| ix as i64).collect();
                deal.map(&Tensor::from_slice(&mine), |rows| {
                    let columns = rows.view([-1, 1]);
                    let maps = Tensor::cat(&[&columns, &(-&columns)], 1);
                    let num = Tensor::full_like(rows, rows.size()[0]);
                    [rows.shallow_clone(), maps.view([-1, 2, 1, 1]), num]
                })
            });
            let [numbers, maps, of_batch] = found[0].each_ref().map(|parts| Tensor::cat(parts, 0));
            let expected = Tensor::arange(len as i64, (Kind::Int64, Device::Cpu));
            assert_eq!(numbers, expected, "{size} ranks");
            assert_eq!(maps.view([-1, 2]).select(1, 0), expected);
            assert_eq!(maps.view([-1, 2]).select(1, 1), -&expected);
            let whole = (len / BATCH * BATCH) as i64;
            let of_whole = of_batch.narrow(0, 0, whole);
            assert_eq!(of_whole, Tensor::full_like(&of_whole, 32));
            for parts in &found[1..] {
                assert!(parts.iter().all(Vec::is_empty));
            }
        }
    }

    /// Channels lie innermost in what a network makes, and other sums round otherwise.
    #[test]
    fn maps_come_together_as_they_are_laid_out() {
        let found = Ranks::in_threads(2, |ranks| {
            let deal = Deal { ranks, len: 40 };
            let mine = Tensor::zeros([deal.mine().len() as i64], (Kind::Float, Device::Cpu));
            deal.map(&mine, |rows| {
                let maps = Tensor::ones([rows.size()[0], 2, 3, 5], (Kind::Float, Device::Cpu));
                [maps.permute([0, 3, 1, 2])]
            })
        });
        let [parts] = &found[0];
        let maps = Tensor::cat(parts, 0);
        assert_eq!(maps.size(), [40, 5, 2, 3]);
        assert!(maps.permute([0, 2, 3, 1]).is_contiguous());
    }
}
