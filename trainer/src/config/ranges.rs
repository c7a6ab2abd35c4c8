//! Refuses configs that cannot mean anything, before anything is built.
//!
//! Types, key names and enum values are refused earlier, by `console::layers`. Here are the ranges, and the
//! rules between keys.

use anyhow::Result;
use console::usage;
use sampler::Pin;

use super::run_config::RunConfig;

impl RunConfig {
    /// Checks every range; the error names the key, its value and what is allowed.
    pub fn check(&self) -> Result<()> {
        self.check_for(1)
    }

    /// The same for a run of `ranks` ranks.
    pub(crate) fn check_for(&self, ranks: u64) -> Result<()> {
        self.check_data(ranks)?;
        self.model.check().map_err(usage)?;
        self.method.check().map_err(usage)?;
        self.check_run()?;
        self.check_views()?;
        self.check_optim()?;
        self.check_schedule()?;
        self.check_probe()
    }

    fn check_run(&self) -> Result<()> {
        let run = &self.run;
        at_least("run.log_every_steps", run.log_every_steps, 1)?;
        at_least("run.checkpoint_every_steps", run.checkpoint_every_steps, 1)?;
        at_least("run.keep_checkpoints", run.keep_checkpoints, 1)?;
        at_least("run.rank_timeout_s", run.rank_timeout_s, 1)?;
        within("run.max_broken", run.max_broken, 0.0, 1.0)
    }

    fn check_data(&self, ranks: u64) -> Result<()> {
        // One pair has no batch statistics: batch norm over 1x256 values is undefined.
        let least = if ranks > 1 && self.model.sync_bn {
            1
        } else {
            2
        };
        at_least("data.batch", self.data.batch, least)?;
        at_least("data.accumulate", self.data.accumulate, 1)?;
        // One batch in use, one being filled.
        at_least("data.depth", self.data.depth, 2)?;
        self.model
            .check_batch(self.data.batch as i64, ranks as i64)
            .map_err(usage)?;
        self.method
            .check_batch(self.data.batch as i64, ranks as i64)
            .map_err(usage)
    }

    fn check_views(&self) -> Result<()> {
        let (side, cell) = (i64::from(self.augment.view_px), self.model.cell_px());
        if !(32..=1024).contains(&side) || side % cell != 0 {
            return Err(usage(format!(
                "augment.view_px = {side}: a multiple of {cell} (pixels in a cell of this model's map) from 32 to 1024 is expected"
            )));
        }
        self.method.check_cells(side / cell).map_err(usage)?;
        let sampler = self.sampler(0, Pin::Never);
        sampler.validate().map_err(|e| usage(e.to_string()))
    }

    fn check_optim(&self) -> Result<()> {
        let o = &self.optim;
        // A rate that single precision cannot hold stops libtorch.
        within("optim.base_lr", o.base_lr, 0.0, 1e30)?;
        within("optim.momentum", o.momentum, 0.0, 0.9999)?;
        within("optim.weight_decay", o.weight_decay, 0.0, 1.0)?;
        within("optim.eta", o.eta, 0.0, 1.0)
    }

    fn check_schedule(&self) -> Result<()> {
        let s = &self.schedule;
        within("schedule.epochs", s.epochs, 0.0, 1e9)?;
        within("schedule.warmup_epochs", s.warmup_epochs, 0.0, 1e9)?;
        within("schedule.tau", s.tau, 0.0, 1.0)?;
        s.lr_drops
            .iter()
            .try_for_each(|&share| within("schedule.lr_drops", share, 0.0, 1.0))?;
        let (warmup, total, keys) = if s.total_steps > 0 {
            let keys = "schedule.warmup_steps must be below schedule.total_steps";
            (s.warmup_steps as f64, s.total_steps as f64, keys)
        } else if s.warmup_steps > 0 {
            return Err(usage(
                "schedule.warmup_steps goes with schedule.total_steps; with epochs use schedule.warmup_epochs",
            ));
        } else {
            let keys = "schedule.warmup_epochs must be below schedule.epochs";
            (s.warmup_epochs, s.epochs, keys)
        };
        match warmup < total {
            true => Ok(()),
            false => Err(usage(format!("{keys}: {warmup} is not below {total}"))),
        }
    }

    fn check_probe(&self) -> Result<()> {
        let p = &self.probe;
        if p.every > 0 && p.data.as_os_str().is_empty() {
            return Err(usage(format!(
                "probe.every = {}: probe.data, the folder of a labelled set, is missing",
                p.every
            )));
        }
        within("probe.height", p.height as f64, 32.0, 4096.0)?;
        at_least("probe.images", p.images as u64, 1)?;
        at_least("probe.epochs", p.epochs, 1)
    }
}

fn at_least(key: &str, value: u64, least: u64) -> Result<()> {
    match value >= least {
        true => Ok(()),
        false => Err(usage(format!(
            "{key} = {value}: at least {least} is expected"
        ))),
    }
}

fn within(key: &str, value: f64, least: f64, most: f64) -> Result<()> {
    match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(usage(format!(
            "{key} = {value}: {least} to {most} is expected"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::method::MethodName;

    fn refusal(change: impl FnOnce(&mut RunConfig)) -> String {
        let mut config = RunConfig::default();
        change(&mut config);
        config.check().unwrap_err().to_string()
    }

    #[test]
    fn the_paper_passes_and_nonsense_names_its_key() {
        RunConfig::default().check().unwrap();
        assert!(refusal(|c| c.data.batch = 1).contains("data.batch = 1"));
        assert!(refusal(|c| c.model.bn_splits = 3).contains("model.bn_splits"));
        assert!(
            refusal(|c| (c.method.name, c.method.queue) = (MethodName::Moco, 7))
                .contains("method.queue")
        );
        assert!(refusal(|c| c.schedule.lr_drops = [0.5, 1.5]).contains("schedule.lr_drops"));
        assert!(refusal(|c| c.augment.view_px = 100).contains("augment.view_px"));
        assert!(refusal(|c| c.augment.pair.area = [0.5, 0.1]).contains("pair.area"));
        assert!(refusal(|c| c.augment.view_b.hue = 0.7).contains("hue"));
        assert!(refusal(|c| c.optim.base_lr = f64::NAN).contains("optim.base_lr"));
        assert!(refusal(|c| c.schedule.epochs = 5.0).contains("warmup_epochs"));
        assert!(refusal(|c| c.schedule.warmup_steps = 5).contains("total_steps"));
        assert!(refusal(|c| c.probe.every = 5).contains("probe.data"));
        assert!(refusal(|c| c.probe.images = 0).contains("probe.images"));
        assert!(refusal(|c| c.run.keep_checkpoints = 0).contains("run.keep_checkpoints"));
        for share in [-0.1, 1.5, f64::NAN] {
            assert!(refusal(|c| c.run.max_broken = share).contains("run.max_broken"));
        }
    }
}
