//! Writes checkpoints beside the training: the step waits for the copy to the host, not for the
//! disk.
//!
//! One write at a time; the next snapshot waits for the one before. Dropping the writer waits too,
//! so that no checkpoint is lost to an early return.

use std::path::{Path, PathBuf};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, anyhow};
use model::files::checkpoint::{self, Snapshot};

use crate::config::RunSettings;

/// The writer of one run. Without a folder, on ranks that have none, it writes nothing.
pub(crate) struct CheckpointWriter {
    run_dir: Option<PathBuf>,
    keep: u64,
    milestone_every_steps: u64,
    running: Option<JoinHandle<Result<PathBuf>>>,
    newest: Option<PathBuf>,
}

impl CheckpointWriter {
    /// A writer into `run_dir`.
    pub(crate) fn new(run_dir: Option<&Path>, settings: &RunSettings) -> Self {
        CheckpointWriter {
            run_dir: run_dir.map(Path::to_owned),
            keep: settings.keep_checkpoints,
            milestone_every_steps: settings.milestone_every_steps,
            running: None,
            newest: None,
        }
    }

    /// Begins to write a snapshot, after the write before has ended well.
    pub(crate) fn submit(&mut self, snapshot: impl FnOnce() -> Result<Snapshot>) -> Result<()> {
        self.wait()?;
        let Some(run_dir) = self.run_dir.clone() else {
            return Ok(());
        };
        let snapshot = snapshot()?;
        let (keep, milestones) = (self.keep, self.milestone_every_steps);
        let work = move || {
            let path = snapshot.write(&run_dir)?;
            checkpoint::prune(&run_dir, keep, milestones)?;
            Ok(path)
        };
        let thread = thread::Builder::new().name("checkpoint".into()).spawn(work);
        self.running = Some(thread.context("starting the checkpoint thread")?);
        Ok(())
    }

    /// Waits until everything submitted is on disk; returns the newest checkpoint written so far.
    pub(crate) fn wait(&mut self) -> Result<Option<&Path>> {
        if let Some(thread) = self.running.take() {
            let written = thread
                .join()
                .map_err(|_| anyhow!("the checkpoint thread panicked"))?;
            self.newest = Some(written.context("writing a checkpoint")?);
        }
        Ok(self.newest.as_deref())
    }
}

impl Drop for CheckpointWriter {
    fn drop(&mut self) {
        if let Err(error) = self.wait() {
            tracing::error!("{error:#}");
        }
    }
}
