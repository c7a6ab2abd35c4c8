//! Who is to blame when ranks do not answer each other.
//!
//! A rank that fails for a reason of its own leaves it in the store, and says it. The others see
//! their next collective fail. They say in the store that they are there, and look who does not.

use std::fmt;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use super::Ranks;
use super::group::Group;

/// How the messages of failures between ranks begin (`cpp/group.cpp`).
const AMONG_RANKS: &str = "among the ranks: ";
/// What a rank leaves in the store that another has failed.
const PRESENT: &str = "present";
/// How long the others may take to say that they are there. Their collectives fail at nearly the
/// same time.
const PATIENCE: Duration = Duration::from_secs(4);
const LOOK: Duration = Duration::from_millis(50);

/// Whether a failure is one between ranks: another is to blame, or the network.
pub fn is_among_ranks(message: &str) -> bool {
    message.contains(AMONG_RANKS)
}

/// What became of the other ranks when one of them stopped answering.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// A rank has failed for a reason of its own, which it says itself.
    Told,
    /// These are gone, or do not answer. Whoever is `speaker` says so.
    Missing {
        /// With their machines.
        who: Vec<String>,
        /// Whether this is the lowest rank of those that are left; where the store is gone too, of
        /// those on this machine.
        speaker: bool,
    },
    /// All are there: the network between them failed.
    Network,
}

/// One line for people; nothing of what is told elsewhere.
impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fate::Told => f.write_str("another rank has failed"),
            Fate::Missing { who, .. } if who.len() == 1 => {
                write!(f, "{} is gone or does not answer", who[0])
            }
            Fate::Missing { who, .. } => {
                write!(f, "{} are gone or do not answer", who.join(", "))
            }
            Fate::Network => f.write_str("all ranks are there, but could not reach each other"),
        }
    }
}

impl Ranks {
    /// Leaves in the store that this rank ends for a reason of its own. Best effort.
    pub fn say_failed(&self, reason: &str) {
        let Some(several) = &self.0 else { return };
        let (group, key) = (several.group, failed_key(several.rank));
        let value = format!("!{reason}");
        // The store's host may be the one that hangs.
        let _ = within(PATIENCE, move || group.set(&key, &value).ok());
    }

    /// What became of the others, now that a collective has failed here.
    pub fn fate(&self) -> Fate {
        let Some(several) = &self.0 else {
            return Fate::Network;
        };
        let (group, rank, size) = (several.group, several.rank, several.size);
        match within(2 * PATIENCE, move || roll_call(group, rank, size)) {
            Some(answers) => judge(&answers, rank, |rank| self.named(rank)),
            None => Fate::Missing {
                who: vec![format!("{}, where the ranks meet,", self.named(0))],
                speaker: speaks_for_machine(self.hosts(), rank),
            },
        }
    }

    /// A rank and its machine, for people.
    fn named(&self, rank: usize) -> String {
        let host = self.hosts().get(rank).map_or("", String::as_str);
        format!("rank {rank} of {} ({host})", self.size())
    }
}

/// Whether of this rank's machine it is the lowest but rank 0. Where the store is gone nobody can be
/// asked, and each machine may see something else: so one rank of each says what it sees.
fn speaks_for_machine(hosts: &[String], rank: usize) -> bool {
    (1..hosts.len()).find(|other| hosts[*other] == hosts[rank]) == Some(rank)
}

fn failed_key(rank: usize) -> String {
    format!("failed/{rank}")
}

/// What every rank has left in the store, by rank; `None` if the store does not answer.
fn roll_call(group: Group, rank: usize, size: usize) -> Option<Vec<Option<String>>> {
    if group.get(&failed_key(rank)).ok()?.is_none() {
        group.set(&failed_key(rank), PRESENT).ok()?;
    }
    let began = Instant::now();
    loop {
        let answers: anyhow::Result<Vec<_>> =
            (0..size).map(|rank| group.get(&failed_key(rank))).collect();
        let answers = answers.ok()?;
        let is_told = answers.iter().flatten().any(|answer| answer != PRESENT);
        if is_told || answers.iter().all(Option::is_some) || began.elapsed() > PATIENCE {
            return Some(answers);
        }
        thread::sleep(LOOK);
    }
}

fn judge(answers: &[Option<String>], here: usize, named: impl Fn(usize) -> String) -> Fate {
    if answers.iter().flatten().any(|answer| answer != PRESENT) {
        return Fate::Told;
    }
    let missing = |rank: &usize| answers[*rank].is_none();
    let who: Vec<String> = (0..answers.len()).filter(missing).map(named).collect();
    match who.is_empty() {
        true => Fate::Network,
        false => Fate::Missing {
            speaker: answers.iter().position(Option::is_some) == Some(here),
            who,
        },
    }
}

/// What `work` returns, if it does so in time; else it is left to itself.
fn within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> Option<T> + Send + 'static,
) -> Option<T> {
    let (send, receive) = mpsc::channel();
    thread::spawn(move || send.send(work()));
    receive.recv_timeout(limit).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(answers: [Option<&str>; 3], here: usize) -> Fate {
        let answers = answers.map(|answer| answer.map(str::to_owned));
        judge(&answers, here, |rank| format!("rank {rank}"))
    }

    #[test]
    fn the_missing_are_named_by_the_lowest_that_is_left() {
        let fate = judged([None, Some(PRESENT), Some(PRESENT)], 1);
        assert_eq!(fate.to_string(), "rank 0 is gone or does not answer");
        assert!(matches!(fate, Fate::Missing { speaker: true, .. }));
        let fate = judged([None, Some(PRESENT), Some(PRESENT)], 2);
        assert!(matches!(fate, Fate::Missing { speaker: false, .. }));
        let fate = judged([None, None, Some(PRESENT)], 2);
        assert_eq!(fate.to_string(), "rank 0, rank 1 are gone or do not answer");
    }

    #[test]
    fn a_reason_that_a_rank_gives_counts_before_who_is_missing() {
        assert_eq!(
            judged([None, Some("!no disk"), Some(PRESENT)], 2),
            Fate::Told
        );
        assert_eq!(judged([Some(PRESENT); 3], 0), Fate::Network);
    }

    #[test]
    fn without_a_store_one_rank_of_each_machine_speaks() {
        let hosts = ["a", "a", "b", "b", "c"].map(str::to_owned);
        let speakers = (1..5).filter(|rank| speaks_for_machine(&hosts, *rank));
        assert!(speakers.eq([1, 2, 4]));
    }

    #[test]
    fn who_hangs_is_not_waited_for() {
        let slow = || {
            thread::sleep(Duration::from_secs(5));
            Some(1)
        };
        assert_eq!(within(Duration::from_millis(20), slow), None);
        assert_eq!(within(Duration::from_secs(60), || Some(2)), Some(2));
    }
}
