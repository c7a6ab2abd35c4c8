//! What ranks agree on: whether all is well, when to stop, and that one of them works alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};

use super::Ranks;
use super::group::{Group, Question};

/// Another rank has failed, and says so itself.
#[derive(Debug, thiserror::Error)]
#[error("rank {rank} of {size} has failed: {reason}")]
pub struct PeerFailed {
    /// The first of those that have.
    pub rank: usize,
    /// Of so many.
    pub size: usize,
    /// What it says.
    pub reason: String,
    /// Whether another command line or config would mend it ([`console::usage`]).
    pub is_usage: bool,
}

/// How often rank 0 shows that it lives while it works alone.
const BEAT: Duration = Duration::from_secs(1);
/// How often the others look: at first, and after a while.
const LOOKS: [Duration; 2] = [Duration::from_millis(10), Duration::from_secs(1)];
/// What rank 0 leaves in the store when its work is done.
const DONE: &str = "done";
/// The same, among the numbers that it counts; and that the store has failed.
const DONE_BEAT: u64 = u64::MAX;
const FAILED_BEAT: u64 = u64::MAX - 1;
/// What it leaves there when its work has panicked.
const PANICKED: &str = "panicked";

impl Ranks {
    /// What `mine` holds, if it went well on every rank. Otherwise an error on all: one's own, or
    /// [`PeerFailed`] if that of a lower rank says the same.
    ///
    /// # Errors
    /// As said; or a rank does not answer.
    pub fn together<T>(&self, mine: Result<T>) -> Result<T> {
        if !self.are_several() {
            return mine;
        }
        let told = |error| {
            format!(
                "{}{error:#}",
                if console::is_usage(error) { '?' } else { '!' }
            )
        };
        let failure = mine.as_ref().err().map(told);
        let failures = self.gather_bytes(failure.unwrap_or_default().as_bytes())?;
        let first = failures
            .iter()
            .enumerate()
            .find(|(_, text)| !text.is_empty());
        match first {
            None => mine,
            Some((rank, text))
                if mine.is_err() && (rank == self.rank() || *text != failures[self.rank()]) =>
            {
                mine
            }
            Some((rank, text)) => Err(PeerFailed {
                rank,
                size: self.size(),
                reason: String::from_utf8_lossy(&text[1..]).into_owned(),
                is_usage: text[0] == b'?',
            }
            .into()),
        }
    }

    /// Rank 0 does `work` while the others wait, as long as it takes and rank 0's process lives.
    /// `Some` on rank 0. A failure of its work is a failure of all.
    ///
    /// # Errors
    /// As [`together`](Self::together).
    pub fn first_alone<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<Option<T>> {
        let Some(several) = &self.0 else {
            return work().map(Some);
        };
        // Relaxed: the number stands for itself, and every rank counts alike.
        let number = several.alone.fetch_add(1, Ordering::Relaxed);
        let key = format!("alone/{number}");
        let worked = match self.is_first() {
            true => {
                let result = beating(several.group, &key, work);
                let told = several.group.set(&key, DONE);
                result.and_then(|value| told.map(|()| Some(value)))
            }
            false => {
                // Rank 0 is beyond asking if this fails.
                wait_for(several.group, &key, several.answer_within)?;
                Ok(None)
            }
        };
        self.together(worked)
    }
}

/// Works, and counts on under `key` as long as it does.
fn beating<T>(group: Group, key: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
    let is_done = AtomicBool::new(false);
    thread::scope(|scope| {
        let beats = scope.spawn(|| {
            for beat in 1_u64.. {
                if is_done.load(Ordering::Acquire) || group.set(key, &beat.to_string()).is_err() {
                    return;
                }
                thread::park_timeout(BEAT);
            }
        });
        // A panic must not leave the other thread counting.
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        is_done.store(true, Ordering::Release);
        beats.thread().unpark();
        result
    })
    .unwrap_or_else(|panic| {
        // Best effort: the panic says more.
        let _ = group.set(key, PANICKED);
        std::panic::resume_unwind(panic)
    })
}

/// Waits until rank 0 is done; fails if it stops counting for longer than `within`.
///
/// The store is asked by a thread of its own, which is left to itself: where its host is gone without
/// a word, an answer is waited for without end.
fn wait_for(group: Group, key: &str, within: Duration) -> Result<()> {
    let (seen, is_over) = (
        Arc::new(AtomicU64::new(0)),
        Arc::new(AtomicBool::new(false)),
    );
    let (asked, over, key) = (Arc::clone(&seen), Arc::clone(&is_over), key.to_owned());
    thread::spawn(move || {
        let [mut pause, longest] = LOOKS;
        while !over.load(Ordering::Acquire) {
            match group.get(&key) {
                Ok(Some(text)) if text == DONE => return asked.store(DONE_BEAT, Ordering::Release),
                Ok(Some(text)) if text == PANICKED => {
                    return asked.store(FAILED_BEAT, Ordering::Release);
                }
                Ok(Some(beat)) => asked.store(beat.parse().unwrap_or(0), Ordering::Release),
                Ok(None) => {}
                Err(_) => return asked.store(FAILED_BEAT, Ordering::Release),
            }
            thread::sleep(pause);
            pause = longest.min(2 * pause);
        }
    });
    let (mut last, mut since) = (0, Instant::now());
    let waited = loop {
        let now = seen.load(Ordering::Acquire);
        if now == DONE_BEAT {
            break Ok(());
        }
        if now == FAILED_BEAT {
            break Err(anyhow!(
                "among the ranks: rank 0 has failed at what it did alone, or is gone"
            ));
        }
        if now != last {
            (last, since) = (now, Instant::now());
        }
        if since.elapsed() > within {
            break Err(anyhow!(
                "among the ranks: rank 0 has not shown that it lives for {} s",
                within.as_secs()
            ));
        }
        thread::sleep(LOOKS[0]);
    };
    is_over.store(true, Ordering::Release);
    waited
}

/// Asks all ranks at one step, and reads the answer at the next: so nobody waits, and all hear of it
/// at the same step.
pub struct Agreement {
    ranks: Ranks,
    asked: Option<Question>,
}

impl Agreement {
    /// Nothing has been asked yet.
    pub fn new(ranks: &Ranks) -> Self {
        Agreement {
            ranks: ranks.clone(),
            asked: None,
        }
    }

    /// The largest value with which a rank called this the last time; 0 the first time. Alone, the
    /// present value at once.
    ///
    /// # Errors
    /// If a rank does not answer.
    pub fn pass(&mut self, value: i64) -> Result<i64> {
        let Some(group) = self.ranks.group() else {
            return Ok(value);
        };
        let answer = self.asked.take().map_or(Ok(0), Question::answer)?;
        self.asked = Some(group.ask(value)?);
        Ok(answer)
    }

    /// Reads what is still on its way: the largest value of the last call.
    ///
    /// # Errors
    /// If a rank does not answer.
    pub fn finish(&mut self) -> Result<i64> {
        self.asked.take().map_or(Ok(0), Question::answer)
    }
}
