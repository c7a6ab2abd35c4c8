//! A command as one of several processes: joined before, and ended with the others afterwards.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::time::Duration;

use anyhow::{Result, anyhow};
use console::told_elsewhere;
use host::{Place, panic_text};
use native::{Fate, Meeting, PeerFailed, Ranks, is_among_ranks};
use tch::Device;

/// Does `work` among the processes that stand as `place` says, on `device`. They wait for each other
/// for `answer_within` at most. The value is the exit code.
///
/// # Errors
/// What `work` cannot do. Of a failure that is another rank's, one rank tells; on the others the
/// error is silent.
pub(crate) fn among<T>(
    place: &Place,
    device: Device,
    answer_within: Duration,
    work: impl FnOnce(&Ranks) -> Result<T>,
) -> Result<T> {
    let Some(master) = &place.master else {
        return work(&Ranks::alone());
    };
    let meeting = Meeting {
        rank: place.rank,
        size: place.size,
        address: &master.address,
        port: master.port,
        agent_store: place.agent_store,
        join_within: answer_within,
        answer_within,
    };
    let ranks = Ranks::join(&meeting, device, &host::name())?;
    let worked = catch_unwind(AssertUnwindSafe(|| {
        let value = work(&ranks)?;
        ranks.leave()?;
        Ok(value)
    }));
    match worked {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(explain(&ranks, error)),
        Err(panic) => {
            let text = panic_text(&*panic);
            match is_among_ranks(&text) {
                true => Err(explain(&ranks, anyhow!(native::first_line(&text)))),
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
