//! How the pairs of a step are shared out: over ranks, and over the batches that a rank accumulates.
//!
//! A run may go on in another world if a step has as many pairs. Their order is that of the set's
//! epoch, whoever takes them.

use anyhow::Result;
use model::files::checkpoint::Header;

use crate::config::{self, RunConfig};

/// Config keys that say nothing but how a step's pairs are shared out.
pub(super) const SHARES: [&str; 2] = ["data.batch", "data.accumulate"];

/// Who takes how many pairs of a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct World {
    /// Processes.
    pub(super) ranks: u64,
    /// Pairs in a forward pass of one of them.
    batch: u64,
    accumulate: u64,
    /// Parts of a forward pass, over all ranks, that batch norms of the backbone see on their own.
    norm_parts: u64,
}

impl World {
    pub(super) fn new(ranks: u64, config: &RunConfig) -> Self {
        World {
            ranks,
            batch: config.data.batch,
            accumulate: config.data.accumulate,
            norm_parts: config.model.norm_parts(ranks as i64) as u64,
        }
    }

    /// The world in which a checkpoint was made.
    ///
    /// # Errors
    /// A config that this build does not read.
    pub(super) fn of_checkpoint(header: &Header) -> Result<Self> {
        let config = config::parse_resolved(&header.config, "the checkpoint's config")?;
        Ok(World::new(header.world, &config))
    }

    /// Over all ranks.
    pub(super) fn pairs_per_step(&self) -> u64 {
        self.pairs_per_pass() * self.accumulate
    }

    /// Of one forward pass, over all ranks.
    fn pairs_per_pass(&self) -> u64 {
        self.ranks * self.batch
    }
}

/// The next forward pass of an epoch, in the world `now`, if it was pass `step` in the world `then`;
/// and what the change means, if there is one.
pub(super) fn moved(then: &World, now: &World, step: u64) -> (u64, Option<String>) {
    if then == now {
        return (step, None);
    }
    let taken = step * then.pairs_per_pass();
    let next = taken.div_ceil(now.pairs_per_pass());
    let skipped = next * now.pairs_per_pass() - taken;
    (next, Some(describe(then, now, skipped)))
}

fn describe(then: &World, now: &World, skipped: u64) -> String {
    let shares = |world: &World| {
        format!(
            "{} rank(s) x {} pairs x {} accumulated",
            world.ranks, world.batch, world.accumulate
        )
    };
    let seen = |world: &World| world.pairs_per_pass() / world.norm_parts;
    let passes = |world: &World| world.accumulate;
    let what = match (seen(now) == seen(then), passes(now) == passes(then)) {
        (true, true) => "results differ in rounding alone".to_owned(),
        (false, _) => format!("batch norm sees {} pairs, {} before", seen(now), seen(then)),
        (true, false) => format!(
            "running statistics move {} times a step, {} before",
            passes(now),
            passes(then)
        ),
    };
    let skipped = match skipped {
        0 => String::new(),
        pairs => format!("; {pairs} pairs of this epoch are left out"),
    };
    format!(
        "note: the checkpoint was made by {}, this is {}: {what}{skipped}",
        shares(then),
        shares(now)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn world(ranks: u64, batch: u64, accumulate: u64) -> World {
        World {
            ranks,
            batch,
            accumulate,
            norm_parts: 1,
        }
    }

    #[test]
    fn the_same_pairs_come_next_whoever_takes_them() {
        let eight = world(8, 128, 1);
        assert_eq!(moved(&eight, &eight, 7), (7, None));
        let (step, note) = moved(&eight, &world(2, 512, 1), 7);
        assert_eq!(step, 7);
        assert!(note.unwrap().ends_with("results differ in rounding alone"));
        let (step, note) = moved(&eight, &world(2, 128, 4), 7);
        assert_eq!(step, 28);
        assert!(
            note.unwrap()
                .ends_with("batch norm sees 256 pairs, 1024 before")
        );
        let (step, note) = moved(&world(2, 128, 4), &eight, 6);
        assert_eq!(step, 2, "of 1536 pairs taken");
        assert!(
            note.unwrap()
                .ends_with("; 512 pairs of this epoch are left out")
        );
    }

    #[test]
    fn without_syncbn_another_number_of_ranks_is_another_norm() {
        let apart = |ranks, batch, accumulate| World {
            norm_parts: ranks,
            ..world(ranks, batch, accumulate)
        };
        let note = |now: &World| moved(&apart(8, 128, 1), now, 3).1.unwrap();
        let moving = note(&apart(4, 128, 2));
        assert!(
            moving.ends_with("move 2 times a step, 1 before"),
            "{moving}"
        );
        let larger = note(&apart(4, 256, 1));
        assert!(
            larger.ends_with("batch norm sees 256 pairs, 128 before"),
            "{larger}"
        );
    }
}
