//! A command as one of several processes: joined before, and ended with the others afterwards.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use anyhow::{Result, anyhow};
use console::{is_reader_gone, told_elsewhere};
use host::{Place, panic_text};
use native::{Fate, Meeting, PeerFailed, Ranks, is_among_ranks};
use tch::Device;

/// How long ranks wait for each other, unless the user says it: as long as c10d has NCCL wait.
const PATIENCE: Duration = Duration::from_secs(600);

/// On which device ranks compute, and for how long they wait for each other at most.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Terms {
    pub device: Device,
    pub answer_within: Duration,
}

impl Terms {
    /// On `device`, for as long as ranks wait if the user does not say it.
    pub(crate) fn on(device: &Device) -> Self {
        Terms {
            device: *device,
            answer_within: PATIENCE,
        }
    }
}

/// Does `work` among the processes that stand as `place` says, with what each has `prepared`, which
/// holds the `terms`. A rank whose preparations have failed meets the others all the same: so what
/// all fail for is told once.
///
/// # Errors
/// What the preparations or `work` cannot do. Of a failure that is another rank's, one rank tells, or
/// one of each machine where rank 0 is gone; on the others the error is silent.
pub(crate) fn among<P, T>(
    place: &Place,
    prepared: Result<P>,
    terms: impl FnOnce(&P) -> Terms,
    work: impl FnOnce(&Ranks, P) -> Result<T>,
) -> Result<T> {
    let Some(master) = &place.master else {
        return work(&Ranks::alone(), prepared?);
    };
    let Terms {
        device,
        answer_within,
    } = prepared.as_ref().map_or(Terms::on(&Device::Cpu), terms);
    let meeting = Meeting {
        rank: place.rank,
        size: place.size,
        address: &master.address,
        port: master.port,
        agent_store: place.agent_store,
        join_within: answer_within,
        answer_within,
    };
    let ranks = match Ranks::join(&meeting, device, &host::name()) {
        Ok(ranks) => ranks,
        // What this rank lacks goes before who did not come.
        Err(unmet) => return Err(prepared.err().unwrap_or(unmet)),
    };
    let worked = catch_unwind(AssertUnwindSafe(|| {
        let value = ranks
            .together(prepared)
            .and_then(|prepared| work(&ranks, prepared));
        // A reader that has gone away is no failure: its rank parts from the others as they do.
        if value.as_ref().err().is_none_or(is_reader_gone) {
            ranks.leave()?;
        }
        value
    }));
    match worked {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) if is_reader_gone(&error) => Err(error),
        Ok(Err(error)) => Err(explain(&ranks, error)),
        Err(panic) => {
            let text = panic_text(&*panic);
            match is_among_ranks(&text) {
                true => {
                    let said = native::panicked(&text).unwrap_or_else(|| native::first_line(&text));
                    Err(explain(&ranks, anyhow!(said)))
                }
                false => {
                    ranks.say_failed(&text);
                    resume_unwind(panic)
                }
            }
        }
    }
}

/// What this rank has to say of a failure.
fn explain(ranks: &Ranks, error: anyhow::Error) -> anyhow::Error {
    if let Some(peer) = error.downcast_ref::<PeerFailed>() {
        return told_elsewhere(peer.is_usage);
    }
    let text = format!("{error:#}");
    if !is_among_ranks(&text) {
        ranks.say_failed(&text);
        return error;
    }
    match ranks.fate() {
        Fate::Told | Fate::Missing { speaker: false, .. } => told_elsewhere(false),
        fate => error.context(fate),
    }
}
