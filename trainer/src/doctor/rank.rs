//! What a rank says of itself, and how that differs from what the first one says.

use anyhow::{Context, Result};
use host::Place;
use model::device::{self, FusedKernels};
use native::Ranks;
use serde::{Deserialize, Serialize};
use tch::Device;

use crate::config::RunConfig;
use crate::run::{Identity, Request, open_sampler};

/// What a rank says of itself.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct About {
    /// Its machine.
    pub(super) host: String,
    /// Among the ranks of its machine.
    pub(super) local_rank: usize,
    /// As `--device` would name it.
    pub(super) device: String,
    /// What the maker calls it.
    pub(super) gpu: Option<String>,
    /// `on`, or `off: ` and why.
    pub(super) fused_kernels: String,
    /// A line for people, if they were wanted and failed.
    pub(super) note: Option<String>,
    /// Its part of the CPUs.
    pub(super) cores: usize,
    /// Version of libtorch.
    pub(super) libtorch: String,
    pub(super) identity: Identity,
    /// Why the shards cannot be opened, if they cannot.
    pub(super) no_shards: Option<String>,
}

impl About {
    /// This rank, which computes on `device`.
    ///
    /// # Errors
    /// If the program cannot read its own file.
    pub(super) fn this_rank(
        ranks: &Ranks,
        place: &Place,
        request: &Request,
        config: &RunConfig,
        device: Device,
        fused_kernels: &FusedKernels,
    ) -> Result<Self> {
        // Nothing is loaded, so nothing has to be page-locked.
        let opened = open_sampler(ranks, &request.shards, config, Device::Cpu);
        let (sampler, no_shards) = match opened {
            Ok(sampler) => (Some(sampler), None),
            Err(error) => (None, Some(format!("{error:#}").replace('\n', " "))),
        };
        Ok(About {
            host: host::name(),
            local_rank: place.local_rank,
            device: device::name(device),
            gpu: native::gpu_name(device),
            fused_kernels: fused_kernels.to_string(),
            note: fused_kernels.warning(),
            cores: host::shared_threads(0),
            libtorch: native::torch_version(),
            identity: Identity::of(config, sampler.as_deref())?,
            no_shards,
        })
    }

    /// What all ranks say, by rank.
    ///
    /// # Errors
    /// If a rank does not answer, or speaks another program's language.
    pub(super) fn gathered(&self, ranks: &Ranks) -> Result<Vec<Self>> {
        let all = ranks.gather_bytes(&serde_json::to_vec(self)?)?;
        let read = |bytes: &Vec<u8>| {
            serde_json::from_slice(bytes).context("reading what a rank says of itself")
        };
        all.iter().map(read).collect()
    }

    /// What is not as with the first rank, by the names of the table's columns.
    pub(super) fn unlike(&self, first: &Self) -> Vec<&'static str> {
        let (here, there) = (&self.identity, &first.identity);
        [
            ("libtorch", self.libtorch != first.libtorch),
            ("program", here.program != there.program),
            (
                "frames",
                (&here.shards, here.frames) != (&there.shards, there.frames),
            ),
            ("config", here.config != there.config),
        ]
        .into_iter()
        .filter_map(|(name, differs)| differs.then_some(name))
        .collect()
    }

    /// What has to be mended here before this rank trains with the first one, if anything has.
    ///
    /// # Errors
    /// A config that this program does not read.
    pub(super) fn finding(&self, first: &Self) -> Result<Option<String>> {
        if let Some(why) = &self.no_shards {
            return Ok(Some(format!("cannot open its shards: {why}")));
        }
        if self.libtorch != first.libtorch {
            return Ok(Some(format!(
                "has another libtorch than rank 0: {}, not {}",
                self.libtorch, first.libtorch
            )));
        }
        let mut expected = first.identity.clone();
        if first.no_shards.is_some() {
            // That is the first one's own finding.
            expected.frames = self.identity.frames;
            expected.shards.clone_from(&self.identity.shards);
        }
        self.identity.difference(&expected)
    }
}
