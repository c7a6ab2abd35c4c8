//! What ranks spend on each other: on collectives, and on waiting for the slowest of them.
//!
//! A rank that comes late to a collective finds the others waiting. So of all ranks the slowest spends
//! the least time in collectives, which is about what these cost by themselves; what the others
//! spend beyond it they have waited.

use anyhow::{Context, Result};
use native::Ranks;
use serde::{Deserialize, Serialize};
use tch::Device;

/// Of one row; nothing where there is one rank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct BetweenRanks {
    /// Seconds of a step in collectives, of the rank that spends the least on them: what they cost
    /// without waiting.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub collectives_s: Option<f64>,
    /// Seconds of a step that ranks wait for the slowest one, mean over the ranks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rank_wait_s: Option<f64>,
    /// The slowest one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub slowest_rank: Option<u64>,
}

impl BetweenRanks {
    /// Of the seconds that each rank spends in collectives, by rank; there is one or more.
    fn of(seconds: &[f64]) -> Self {
        let least = seconds.iter().copied().enumerate();
        let least = least.min_by(|a, b| a.1.total_cmp(&b.1));
        let (slowest, collectives_s) = least.expect("there is a rank");
        let mean = seconds.iter().sum::<f64>() / seconds.len() as f64;
        BetweenRanks {
            collectives_s: Some(collectives_s),
            rank_wait_s: Some(mean - collectives_s),
            slowest_rank: Some(slowest as u64),
        }
    }

    /// TensorBoard's tags and values.
    pub fn scalars(&self) -> [(&'static str, Option<f64>); 3] {
        [
            ("speed/collectives_s", self.collectives_s),
            ("speed/rank_wait_s", self.rank_wait_s),
            (
                "speed/slowest_rank",
                self.slowest_rank.map(|rank| rank as f64),
            ),
        ]
    }
}

/// Times the collectives of a run's steps: on the CPU those of all steps, on a GPU those of steps that
/// have a row, since it takes two events for each.
pub(crate) struct CollectiveTimer {
    ranks: Ranks,
    is_cuda: bool,
    /// Steps that have been timed, and the seconds of those on the CPU.
    steps: u64,
    seconds: f64,
}

impl CollectiveTimer {
    pub(crate) fn new(ranks: &Ranks, device: Device) -> Self {
        CollectiveTimer {
            ranks: ranks.clone(),
            is_cuda: device.is_cuda(),
            steps: 0,
            seconds: 0.0,
        }
    }

    /// Before a step, and whether it has a row. What came before it (rows, probes, checkpoints) is
    /// left out.
    ///
    /// # Errors
    /// If the device fails.
    pub(crate) fn begin(&mut self, has_row: bool) -> Result<()> {
        if self.is_cuda {
            self.ranks.time_collectives(has_row);
        }
        if has_row || !self.is_cuda {
            self.ranks.collective_seconds()?;
            self.steps += 1;
        }
        Ok(())
    }

    /// Behind a step.
    ///
    /// # Errors
    /// If the device fails.
    pub(crate) fn end(&mut self) -> Result<()> {
        if !self.is_cuda {
            self.seconds += self.ranks.collective_seconds()?;
        }
        Ok(())
    }

    /// Mean of the timed steps since the last call; nothing where there are none. All ranks call it;
    /// waits for the device.
    ///
    /// # Errors
    /// If a rank does not answer.
    pub(crate) fn read(&mut self) -> Result<BetweenRanks> {
        let (steps, seconds) = (
            std::mem::take(&mut self.steps),
            std::mem::take(&mut self.seconds),
        );
        if !self.ranks.are_several() || steps == 0 {
            return Ok(BetweenRanks::default());
        }
        let seconds = match self.is_cuda {
            true => self.ranks.collective_seconds()?,
            false => seconds,
        };
        let mine = seconds / steps as f64;
        let all = self.ranks.gather_bytes(&mine.to_le_bytes())?;
        let seconds: Option<Vec<f64>> = all
            .iter()
            .map(|bytes| Some(f64::from_le_bytes(bytes.as_slice().try_into().ok()?)))
            .collect();
        Ok(BetweenRanks::of(
            &seconds.context("a rank's time has eight bytes")?,
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_spends_least_on_collectives_is_waited_for() {
        let found = BetweenRanks::of(&[0.5, 0.25, 0.75, 0.5]);
        assert_eq!(found.slowest_rank, Some(1));
        assert_eq!(found.collectives_s, Some(0.25));
        assert_eq!(found.rank_wait_s, Some(0.25));
    }

    #[test]
    fn a_process_alone_has_nothing_to_tell() {
        let mut timer = CollectiveTimer::new(&Ranks::alone(), Device::Cpu);
        timer.begin(true).unwrap();
        timer.end().unwrap();
        let told = serde_json::to_string(&timer.read().unwrap()).unwrap();
        assert_eq!(told, "{}");
    }
}
