//! What was measured, for people and for programs.

use std::fmt::Write;

use sampler::Sampler;
use sampler::pixels::simd::Simd;
use sampler::stages::Stage;
use serde_json::{Value, json};

use super::cache::{Pass, Passes};
use super::measure::Measured;
use super::sweep::Point;
use crate::cli::args::BenchArgs;
use crate::cli::numbers::{grouped, rounded};

/// Everything that was measured.
#[derive(Debug)]
pub(crate) struct Report {
    pub main: Measured,
    /// One for each number of threads, if asked for.
    pub sweep: Option<Vec<Point>>,
    /// Cold and warm, if asked for.
    pub cache: Option<Passes>,
}

impl Measured {
    fn per_pair(&self, total: u64) -> f64 {
        total as f64 / self.profile.samples.max(1) as f64
    }

    fn cpu_ms_per_pair(&self) -> f64 {
        self.per_pair(self.profile.cpu_ns) / 1e6
    }

    fn stage_ms(&self, stage: Stage) -> f64 {
        self.per_pair(self.profile.stages.spent_ns(stage)) / 1e6
    }

    fn mean_tries(&self) -> f64 {
        self.counters.tries as f64 / self.counters.pairs.max(1) as f64
    }
}

impl Report {
    pub(crate) fn to_json(&self, args: &BenchArgs) -> Value {
        let main = &self.main;
        let stages: serde_json::Map<_, _> = Stage::ALL
            .into_iter()
            .map(|stage| {
                (
                    stage.name().to_owned(),
                    json!(rounded(main.stage_ms(stage), 5)),
                )
            })
            .collect();
        let mut object = json!({
            "pairs_per_s": rounded(main.pairs_per_s, 1),
            "others_cpu_share": main.load.others_share.map(|share| rounded(share, 4)),
            "workers_cpu_share": rounded(main.load.workers_share, 4),
            "cpu_ms_per_pair": rounded(main.cpu_ms_per_pair(), 5),
            "bytes_per_pair": main.per_pair(main.profile.bytes_read).round(),
            "stages_ms": stages,
            "threads": main.threads,
            "batch": main.batch,
            "pixels": if args.float { "float32" } else { "uint8" },
            "simd": Simd::detect().name(),
            "mean_tries": rounded(main.mean_tries(), 3),
            "fallbacks": main.counters.fallbacks,
            "replaced": main.counters.replaced,
            "rss_mib": main.rss_mib.map(|mib| rounded(mib, 1)),
            "pinned": main.pinned,
            "host_to_device_gb_per_s": main.upload_bytes_per_s.map(|bytes| rounded(bytes / 1e9, 2)),
        });
        if let Some(points) = &self.sweep {
            let point = |point: &Point| {
                json!({
                    "threads": point.threads,
                    "pairs_per_s": rounded(point.pairs_per_s, 1),
                    "efficiency": rounded(point.efficiency, 4),
                })
            };
            object["sweep"] = points.iter().map(point).collect();
        }
        if let Some(passes) = &self.cache {
            let pass = |pass: &Pass| {
                json!({
                    "pairs": pass.pairs,
                    "pairs_per_s": rounded(pass.pairs_per_s(), 1),
                    "disk_bytes_per_pair": pass.per_pair(pass.disk_bytes).round(),
                    "major_faults_per_pair": rounded(pass.per_pair(pass.major_faults), 3),
                })
            };
            object["cache"] = json!({ "cold": pass(&passes.cold), "warm": pass(&passes.warm) });
        }
        object
    }

    pub(crate) fn to_table(&self, sampler: &Sampler, args: &BenchArgs) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self
            .write_setting(&mut text, sampler, args)
            .and_then(|()| self.write_summary(&mut text))
            .and_then(|()| self.write_stages(&mut text))
            .and_then(|()| self.write_sweep(&mut text))
            .and_then(|()| self.write_cache(&mut text));
        text
    }

    fn write_setting(
        &self,
        out: &mut String,
        sampler: &Sampler,
        args: &BenchArgs,
    ) -> std::fmt::Result {
        let main = &self.main;
        let frames = grouped(sampler.num_frames());
        let level = if args.set.exact {
            "level 0 only"
        } else {
            "coarsest sufficient level"
        };
        let pixels = if args.float { "float32" } else { "uint8" };
        writeln!(
            out,
            "{}: {frames} frames, IoU ≥ {}, {level}",
            args.set.shards.display(),
            args.iou
        )?;
        writeln!(
            out,
            "{} threads, batch {}, depth {}, {pixels} views\n",
            main.threads, main.batch, args.depth
        )
    }

    fn write_summary(&self, out: &mut String) -> std::fmt::Result {
        let main = &self.main;
        let caution = main.load.caution().map(|caution| format!("; {caution}"));
        writeln!(
            out,
            "{:>10.0} pairs/s from a warm page cache{}",
            main.pairs_per_s,
            caution.unwrap_or_default()
        )?;
        writeln!(
            out,
            "{:>10.0} % of a CPU for each worker",
            100.0 * main.load.workers_share
        )?;
        if let Some(others) = main.load.others_share {
            writeln!(
                out,
                "{:>10.0} % of the CPUs used by other programs",
                100.0 * others
            )?;
        }
        writeln!(
            out,
            "{:>10.3} ms of CPU a pair ({})",
            main.cpu_ms_per_pair(),
            Simd::detect().name()
        )?;
        writeln!(
            out,
            "{:>10.1} KB read a pair",
            main.per_pair(main.profile.bytes_read) / 1e3
        )?;
        let fallbacks = main.counters.fallbacks;
        writeln!(
            out,
            "{:>10.2} tries a pair ({fallbacks} of {} fell back)",
            main.mean_tries(),
            main.counters.pairs
        )?;
        if let Some(mib) = main.rss_mib {
            writeln!(out, "{mib:>10.0} MiB resident")?;
        }
        let memory = if main.pinned {
            "page-locked"
        } else {
            "ordinary"
        };
        writeln!(out, "{memory:>10} memory holds the batches")?;
        if let Some(bytes) = main.upload_bytes_per_s {
            writeln!(
                out,
                "{:>10.1} GB/s from the batches to the device",
                bytes / 1e9
            )?;
        }
        if main.counters.replaced > 0 {
            writeln!(out, "{:>10} broken frames replaced", main.counters.replaced)?;
        }
        Ok(())
    }

    fn write_stages(&self, out: &mut String) -> std::fmt::Result {
        writeln!(out, "\n{:<12}{:>10}{:>10}", "stage", "ms/pair", "share")?;
        let cpu_ms = self.main.cpu_ms_per_pair();
        let mut row = |name: &str, ms: f64| {
            let share = 100.0 * ms / cpu_ms;
            let bar = "▇".repeat((share / 2.5).round() as usize);
            writeln!(out, "{name:<12}{ms:>10.4}{share:>8.1} %  {bar}")
        };
        let mut sum = 0.0;
        for stage in Stage::ALL {
            row(stage.name(), self.main.stage_ms(stage))?;
            sum += self.main.stage_ms(stage);
        }
        row("(between)", (cpu_ms - sum).max(0.0))
    }

    fn write_sweep(&self, out: &mut String) -> std::fmt::Result {
        let Some(points) = &self.sweep else {
            return Ok(());
        };
        writeln!(
            out,
            "\n{:<12}{:>10}{:>14}",
            "threads", "pairs/s", "efficiency"
        )?;
        points.iter().try_for_each(|point| {
            writeln!(
                out,
                "{:<12}{:>10.0}{:>14.3}",
                point.threads, point.pairs_per_s, point.efficiency
            )
        })
    }

    fn write_cache(&self, out: &mut String) -> std::fmt::Result {
        let Some(passes) = &self.cache else {
            return Ok(());
        };
        writeln!(
            out,
            "\n{:<12}{:>10}{:>14}{:>18}",
            "page cache", "pairs/s", "KB from disk", "faults waited for"
        )?;
        [("cold", passes.cold), ("warm", passes.warm)]
            .into_iter()
            .try_for_each(|(name, pass)| {
                let (disk_kb, faults) = (
                    pass.per_pair(pass.disk_bytes) / 1e3,
                    pass.per_pair(pass.major_faults),
                );
                writeln!(
                    out,
                    "{name:<12}{:>10.0}{disk_kb:>14.1}{faults:>18.2}",
                    pass.pairs_per_s()
                )
            })
    }
}
