//! Whether all ranks are about to do the same: one program, one config, one set of shards.
//!
//! Each says what it has, and every rank compares all with rank 0's.

use std::fs;
use std::io::Read;

use anyhow::{Context, Result};
use console::layers::differences;
use console::{told_elsewhere, usage};
use native::Ranks;
use sampler::Sampler;
use serde::{Deserialize, Serialize};

use super::data;
use crate::config::{self, RunConfig};

/// What a rank says of itself.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Identity {
    /// CRC32C of the program's file, in hexadecimal.
    pub(crate) program: String,
    /// The resolved config, as TOML.
    pub(crate) config: String,
    /// Names the frames; empty without any.
    pub(crate) shards: String,
    /// How many there are.
    pub(crate) frames: u64,
    /// What else is asked for that decides how many steps are made.
    asked: String,
}

impl Identity {
    /// Of who would train as `config` says, on what `sampler` draws from.
    pub(crate) fn of(config: &RunConfig, sampler: Option<&Sampler>) -> Result<Self> {
        let data = sampler.map(data::data_id);
        Ok(Identity {
            program: program()?,
            config: toml::to_string(config).context("writing the config as TOML")?,
            frames: data.as_ref().map_or(0, |data| data.frames),
            shards: data.map_or_else(String::new, |data| data.fingerprint),
            asked: String::new(),
        })
    }

    /// How this differs from what rank 0 says, if it does.
    pub(crate) fn difference(&self, first: &Self) -> Result<Option<String>> {
        if self.program != first.program {
            return Ok(Some(format!(
                "runs another program than rank 0 (CRC32C {}, not {})",
                self.program, first.program
            )));
        }
        let parse = |text: &str| config::parse_resolved(text, "a rank's config");
        let changes = differences(&parse(&first.config)?, &parse(&self.config)?);
        let changes = changes
            .iter()
            .map(|(key, theirs, ours)| format!("{key} = {ours}, not {theirs}"));
        let changes = changes.collect::<Vec<_>>().join("; ");
        if !changes.is_empty() {
            return Ok(Some(format!("has another config than rank 0: {changes}")));
        }
        if self.asked != first.asked {
            return Ok(Some(format!(
                "is asked for something else than rank 0: {}, not {}",
                self.asked, first.asked
            )));
        }
        if (&self.shards, self.frames) != (&first.shards, first.frames) {
            return Ok(Some(format!(
                "has other shards than rank 0: {} frames ({}), not {} ({})",
                self.frames, self.shards, first.frames, first.shards
            )));
        }
        Ok(None)
    }
}

/// What each rank says of itself, by rank.
fn identities(
    ranks: &Ranks,
    asked: String,
    config: &RunConfig,
    sampler: &Sampler,
) -> Result<Vec<Identity>> {
    let mut mine = ranks.together(Identity::of(config, Some(sampler)))?;
    mine.asked = asked;
    let all = ranks.gather_bytes(&serde_json::to_vec(&mine)?)?;
    all.iter()
        .map(|bytes| serde_json::from_slice(bytes).context("reading what a rank says of itself"))
        .collect()
}

/// Refuses ranks that would do something else than rank 0. `asked` is what beside the config decides
/// how many steps are made.
pub(crate) fn check(
    ranks: &Ranks,
    asked: String,
    config: &RunConfig,
    sampler: &Sampler,
) -> Result<()> {
    if !ranks.are_several() {
        return Ok(());
    }
    let all = identities(ranks, asked, config, sampler)?;
    for (rank, identity) in all.iter().enumerate().skip(1) {
        let Some(difference) = identity.difference(&all[0])? else {
            continue;
        };
        // All know; one says it.
        return Err(match ranks.is_first() {
            true => usage(format!(
                "rank {rank} of {} ({}) {difference}",
                ranks.size(),
                ranks.hosts()[rank]
            )),
            false => told_elsewhere(true),
        });
    }
    Ok(())
}

/// CRC32C of the program's file.
fn program() -> Result<String> {
    let mut file = fs::File::open("/proc/self/exe").context("reading the program's own file")?;
    let (mut crc, mut buffer) = (0, vec![0; 1 << 20]);
    loop {
        match file
            .read(&mut buffer)
            .context("reading the program's own file")?
        {
            0 => return Ok(format!("{crc:08x}")),
            read => crc = crc32c::crc32c_append(crc, &buffer[..read]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_is_named() {
        let identity = |config: &RunConfig| Identity {
            program: "1".to_owned(),
            config: toml::to_string(config).unwrap(),
            shards: "a".to_owned(),
            frames: 20,
            asked: "--steps None".to_owned(),
        };
        let first = identity(&RunConfig::default());
        assert_eq!(first.difference(&first).unwrap(), None);
        let mut config = RunConfig::default();
        config.data.batch = 8;
        let line = identity(&config).difference(&first).unwrap().unwrap();
        assert_eq!(
            line,
            "has another config than rank 0: data.batch = 8, not 1024"
        );
        let shards = Identity {
            frames: 19,
            shards: "b".to_owned(),
            ..first.clone()
        };
        let line = shards.difference(&first).unwrap().unwrap();
        assert_eq!(
            line,
            "has other shards than rank 0: 19 frames (b), not 20 (a)"
        );
        let asked = Identity {
            asked: "--steps Some(5)".to_owned(),
            ..first.clone()
        };
        let line = asked.difference(&first).unwrap().unwrap();
        assert!(
            line.ends_with("--steps Some(5), not --steps None"),
            "{line}"
        );
        let program = Identity {
            program: "2".to_owned(),
            ..shards
        };
        let line = program.difference(&first).unwrap().unwrap();
        assert!(
            line.starts_with("runs another program than rank 0"),
            "{line}"
        );
    }

    #[test]
    fn a_program_names_its_own_bytes() {
        let bytes = fs::read(std::env::current_exe().unwrap()).unwrap();
        assert_eq!(
            program().unwrap(),
            format!("{:08x}", crc32c::crc32c(&bytes))
        );
    }
}
