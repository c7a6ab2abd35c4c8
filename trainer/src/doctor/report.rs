//! What `trainer doctor` says: one table and some lines for people, or one line of JSON.

use std::collections::BTreeSet;
use std::fmt;

use anyhow::Result;
use serde::Serialize;

use super::link::{Link, Timed};
use super::rank::About;

const COLUMNS: [&str; 9] = [
    "rank", "local", "host", "device", "cores", "libtorch", "program", "frames", "config",
];
/// Ranks that the line of findings names; the table has them all.
const NAMED: usize = 3;

/// All ranks and what lies between them.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    /// Who started them.
    launcher: &'static str,
    ranks: Vec<Row>,
    /// Null for a process alone.
    all_reduce: Option<Link>,
}

/// One rank.
#[derive(Debug, Serialize)]
struct Row {
    rank: usize,
    local_rank: usize,
    host: String,
    device: String,
    gpu: Option<String>,
    /// `on`, or `off: ` and why.
    fused_kernels: String,
    cores: usize,
    libtorch: String,
    /// CRC32C of its file.
    program: String,
    /// Null where the shards cannot be opened.
    frames: Option<u64>,
    /// Fingerprint of the frames; likewise.
    shards: Option<String>,
    /// Of libtorch, program, frames and config, what is not as with rank 0.
    unlike: Vec<&'static str>,
    /// What has to be mended.
    finding: Option<String>,
    #[serde(skip)]
    note: Option<String>,
}

impl Row {
    fn new(rank: usize, about: &About, first: &About) -> Result<Self> {
        let About {
            identity,
            no_shards,
            ..
        } = about;
        let has_shards = no_shards.is_none();
        Ok(Row {
            rank,
            local_rank: about.local_rank,
            host: about.host.clone(),
            device: about.device.clone(),
            gpu: about.gpu.clone(),
            fused_kernels: about.fused_kernels.clone(),
            cores: about.cores,
            libtorch: about.libtorch.clone(),
            program: identity.program.clone(),
            frames: has_shards.then_some(identity.frames),
            shards: has_shards.then(|| identity.shards.clone()),
            unlike: about.unlike(first),
            finding: about.finding(first)?,
            note: about.note.clone(),
        })
    }

    /// In the order of [`COLUMNS`].
    fn cells(&self) -> [String; 9] {
        let device = match &self.gpu {
            Some(gpu) => format!("{} ({gpu})", self.device),
            None => self.device.clone(),
        };
        let frames = match (self.frames, &self.shards) {
            (Some(frames), Some(shards)) => format!("{frames} ({shards})"),
            _ => "none".to_owned(),
        };
        let is_config_alike = !self.unlike.contains(&"config");
        let config = match (self.rank, is_config_alike) {
            (0, _) => "rank 0's",
            (_, true) => "the same",
            (_, false) => "another",
        };
        let cells = [
            self.rank.to_string(),
            self.local_rank.to_string(),
            self.host.clone(),
            device,
            self.cores.to_string(),
            self.libtorch.clone(),
            self.program.clone(),
            frames,
            config.to_owned(),
        ];
        let mut columns = COLUMNS.iter();
        cells.map(|cell| {
            let is_marked = columns
                .next()
                .is_some_and(|name| self.unlike.contains(name));
            cell + if is_marked { " *" } else { "" }
        })
    }
}

impl Report {
    /// Of what the ranks say of themselves, by rank.
    ///
    /// # Errors
    /// A config of a rank that this program does not read.
    pub(super) fn new(
        launcher: &'static str,
        all: &[About],
        all_reduce: Option<Link>,
    ) -> Result<Self> {
        let row = |(rank, about)| Row::new(rank, about, &all[0]);
        Ok(Report {
            launcher,
            ranks: all.iter().enumerate().map(row).collect::<Result<_>>()?,
            all_reduce,
        })
    }

    /// One line about all that has to be mended, if anything has.
    pub(crate) fn finding(&self) -> Option<String> {
        let found = self.ranks.iter().filter_map(|row| {
            let finding = row.finding.as_ref()?;
            Some(format!("{} {finding}", self.named(row)))
        });
        let found: Vec<String> = found.collect();
        let mut line = found.iter().take(NAMED).cloned().collect::<Vec<_>>();
        if found.len() > NAMED {
            line.push(format!("and so on, {} ranks in all", found.len()));
        }
        (!line.is_empty()).then(|| line.join("; "))
    }

    fn named(&self, row: &Row) -> String {
        format!("rank {} of {} ({})", row.rank, self.ranks.len(), row.host)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        table(f, &self.ranks)?;
        let is_marked = self.ranks.iter().any(|row| !row.unlike.is_empty());
        if is_marked {
            writeln!(f, "* is not as with rank 0")?;
        }
        for row in &self.ranks {
            if let Some(note) = &row.note {
                writeln!(f, "{}: {note}", self.named(row))?;
            }
        }
        let Some(Link {
            over,
            small,
            gradients,
        }) = &self.all_reduce
        else {
            return writeln!(f, "one process alone: there is nobody to talk to");
        };
        let hosts: BTreeSet<&str> = self.ranks.iter().map(|row| row.host.as_str()).collect();
        writeln!(
            f,
            "{} ranks on {} machine{}, started by {}; all-reduce over {over}:",
            self.ranks.len(),
            hosts.len(),
            if hosts.len() == 1 { "" } else { "s" },
            self.launcher
        )?;
        let Timed { bytes, seconds, .. } = small;
        writeln!(f, "  {bytes} bytes: {:.3} ms", 1e3 * seconds)?;
        writeln!(
            f,
            "  {:.1} MB, the model's gradients: {:.1} ms, bus bandwidth {:.2} GB/s",
            gradients.bytes as f64 / 1e6,
            1e3 * gradients.seconds,
            gradients.bus_bytes_per_s / 1e9
        )
    }
}

/// Columns as wide as what stands in them.
fn table(f: &mut fmt::Formatter<'_>, rows: &[Row]) -> fmt::Result {
    let mut lines = vec![COLUMNS.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max();
    let widths: Vec<usize> = (0..COLUMNS.len()).filter_map(width).collect();
    for line in &lines {
        let cells = line.iter().zip(&widths);
        let padded = cells.map(|(cell, &width)| format!("{cell:width$}"));
        writeln!(f, "{}", padded.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}
