//! Several processes that compute as one, joined by PyTorch's own c10d: Gloo for what lies on the
//! host, NCCL for what lies on a GPU.
//!
//! ```
//! use native::Ranks;
//! use tch::Tensor;
//!
//! let sums = Ranks::in_threads(3, |ranks| {
//!     let x = Tensor::from_slice(&[ranks.rank() as f32]);
//!     ranks.sum_(&x);
//!     x.double_value(&[0])
//! });
//! assert_eq!(sums, [3.0, 3.0, 3.0]);
//! ```
//!
//! Every rank makes the same calls in the same order. A rank alone makes none: each method then
//! returns what it was given, and costs nothing.
//!
//! What is called between steps returns its failure. What lies in the way of a step
//! ([`sum_`](Ranks::sum_), [`gather`](Ranks::gather), [`permute`](Ranks::permute)) panics with
//! libtorch's message, as tch's plain methods do. Either message begins as [`is_among_ranks`] knows.

mod bytes;
mod gradients;
mod group;
mod meeting;
mod missing;
mod together;

use std::ffi::c_void;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use tch::{Device, Kind, Tensor};

pub use gradients::Gradients;
pub use group::Counted;
pub(crate) use group::Group;
pub use meeting::Meeting;
pub use missing::{Fate, is_among_ranks};
pub use together::{Agreement, PeerFailed};

/// How often a device is asked whether it is done.
const POLL: Duration = Duration::from_micros(200);
/// How much longer than asked joining may take.
const GRACE: Duration = Duration::from_secs(5);

/// Some of the ranks, one after the other, to which this one belongs.
#[derive(Clone, Debug)]
pub struct Team {
    group: Group,
    first: usize,
    count: usize,
}

impl Team {
    pub(crate) fn to_raw(&self) -> (*const c_void, i64, i64) {
        (self.group.as_ptr(), self.first as i64, self.count as i64)
    }
}

/// The processes that compute as one. Cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Ranks(Option<Arc<Several>>);

#[derive(Debug)]
struct Several {
    group: Group,
    rank: usize,
    size: usize,
    /// By rank.
    hosts: Vec<String>,
    answer_within: Duration,
    /// Pieces of work that rank 0 has done alone: names their keys in the store.
    alone: AtomicU64,
}

impl Ranks {
    /// This process alone.
    pub fn alone() -> Self {
        Ranks::default()
    }

    /// Joins the others, whose tensors will be on devices of this kind; waits until all are there. A
    /// GPU becomes the current device of this thread. `host` names this machine for people.
    ///
    /// # Errors
    /// Who did not come in time, or what the network says.
    pub fn join(meeting: &Meeting<'_>, device: Device, host: &str) -> Result<Self> {
        if meeting.size == 1 {
            return Ok(Ranks::alone());
        }
        let Meeting {
            rank,
            size,
            address,
            port,
            answer_within,
            ..
        } = *meeting;
        let group = join_in_time(meeting, device).with_context(|| {
            format!("rank {rank} of {size} meets the others at {address}:{port}")
        })?;
        let ranks = Ranks::of(group, rank, size, Vec::new(), answer_within);
        let hosts = ranks.gather_bytes(host.as_bytes())?.into_iter();
        let hosts = hosts.map(|host| String::from_utf8_lossy(&host).into_owned());
        Ok(Ranks::of(group, rank, size, hosts.collect(), answer_within))
    }

    /// Runs `work` on `size` threads of this process, each of them a rank; what it returned, by rank.
    ///
    /// # Panics
    /// If `work` does.
    pub fn in_threads<T: Send>(size: usize, work: impl Fn(&Ranks) -> T + Sync) -> Vec<T> {
        let within = Duration::from_secs(30);
        if size == 1 {
            return vec![work(&Ranks::alone())];
        }
        let store = group::Store::new();
        let of_rank = |rank| {
            let ms = within.as_millis() as i64;
            let group = Group::join_local(&store, rank, size, Device::Cpu, ms);
            let hosts = vec!["this machine".to_owned(); size];
            work(&Ranks::of(
                group.expect("threads meet"),
                rank,
                size,
                hosts,
                within,
            ))
        };
        thread::scope(|scope| {
            let threads: Vec<_> = (0..size)
                .map(|rank| scope.spawn(move || of_rank(rank)))
                .collect();
            threads
                .into_iter()
                .map(|thread| {
                    thread
                        .join()
                        .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
                })
                .collect()
        })
    }

    /// A group of this process alone that makes its collectives all the same, on `device`: for tests of
    /// NCCL where there is one GPU.
    ///
    /// # Errors
    /// If libtorch has no NCCL, or the device fails.
    pub fn one_on(device: Device) -> Result<Self> {
        let within = Duration::from_secs(30);
        let ms = within.as_millis() as i64;
        let group = Group::join_local(&group::Store::new(), 0, 1, device, ms)?;
        let hosts = vec!["this machine".to_owned()];
        Ok(Ranks::of(group, 0, 1, hosts, within))
    }

    fn of(
        group: Group,
        rank: usize,
        size: usize,
        hosts: Vec<String>,
        answer_within: Duration,
    ) -> Self {
        Ranks(Some(Arc::new(Several {
            group,
            rank,
            size,
            hosts,
            answer_within,
            alone: AtomicU64::new(0),
        })))
    }

    /// This process, from 0.
    pub fn rank(&self) -> usize {
        self.0.as_ref().map_or(0, |several| several.rank)
    }

    /// How many there are.
    pub fn size(&self) -> usize {
        self.0.as_ref().map_or(1, |several| several.size)
    }

    /// Whether this is rank 0, which speaks for all.
    pub fn is_first(&self) -> bool {
        self.rank() == 0
    }

    /// Whether there are others.
    pub fn are_several(&self) -> bool {
        self.0.is_some()
    }

    /// The machines, by rank; of a process alone none.
    pub fn hosts(&self) -> &[String] {
        self.0.as_ref().map_or(&[], |several| &several.hosts)
    }

    /// The team of this rank, if all ranks fall into teams of `count`, which divides their number.
    /// `None` where it is the only member.
    pub fn team(&self, count: usize) -> Option<Team> {
        let group = self.group().filter(|_| count > 1 || self.size() == 1)?;
        let first = self.rank() / count * count;
        Some(Team {
            group,
            first,
            count,
        })
    }

    pub(crate) fn group(&self) -> Option<Group> {
        self.0.as_ref().map(|several| several.group)
    }

    /// Adds up `x`, contiguous, over all ranks, in place.
    pub fn sum_(&self, x: &Tensor) {
        if let Some(group) = self.group() {
            group.sum(x).unwrap_or_else(|error| panic!("{error:#}"));
        }
    }

    /// `x` becomes rank 0's; contiguous.
    pub fn broadcast_(&self, x: &Tensor) {
        if let Some(group) = self.group() {
            group
                .broadcast(x)
                .unwrap_or_else(|error| panic!("{error:#}"));
        }
    }

    /// Mean over all ranks, a new tensor; alone `x` itself.
    pub fn mean(&self, x: &Tensor) -> Tensor {
        match self.group() {
            None => x.shallow_clone(),
            Some(_) => {
                let sum = x.detach().copy();
                self.sum_(&sum);
                sum / self.size() as f64
            }
        }
    }

    /// `[n, ..]` of every rank, which has the same n everywhere, one after the other: `[size n, ..]`.
    pub fn gather(&self, x: &Tensor) -> Tensor {
        match self.group() {
            None => x.shallow_clone(),
            Some(group) => group.gather(x).unwrap_or_else(|error| panic!("{error:#}")),
        }
    }

    /// Reorders the rows of all ranks, of which each has as many: row `j` of the result, counted over
    /// all ranks, is row `source(j)` of `x`, counted likewise. `source` is a permutation.
    pub fn permute(&self, x: &Tensor, source: impl Fn(usize) -> usize) -> Tensor {
        let (here, n) = (self.rank(), x.size()[0] as usize);
        let rows_of = |rank: usize| (rank * n..(rank + 1) * n).map(&source);
        let mut chosen = Vec::with_capacity(n);
        let send: Vec<i64> = (0..self.size())
            .map(|to| {
                let mine = rows_of(to).filter(|row| row / n == here);
                let before = chosen.len();
                chosen.extend(mine.map(|row| (row % n) as i64));
                (chosen.len() - before) as i64
            })
            .collect();
        let mut arrival: Vec<(usize, usize)> = rows_of(here)
            .enumerate()
            .map(|(place, row)| (row / n, place))
            .collect();
        arrival.sort_unstable(); // by the rank that it comes from, then as that rank sends
        let mut receive = vec![0; self.size()];
        let mut places = vec![0; n];
        for (ix, (from, place)) in arrival.into_iter().enumerate() {
            receive[from] += 1;
            places[place] = ix as i64;
        }
        let index = |rows: &[i64]| Tensor::from_slice(rows).to_device(x.device());
        let sent = x.index_select(0, &index(&chosen));
        let received = match self.group() {
            None => sent,
            Some(group) => group
                .exchange(&sent, &receive, &send)
                .unwrap_or_else(|error| panic!("{error:#}")),
        };
        received.index_select(0, &index(&places))
    }

    /// The sum over all ranks of a number that each has.
    ///
    /// # Errors
    /// If a rank does not answer.
    pub fn total(&self, value: i64) -> Result<i64> {
        self.host(value, Group::sum)
    }

    /// The largest of all ranks.
    ///
    /// # Errors
    /// If a rank does not answer.
    pub fn largest(&self, value: i64) -> Result<i64> {
        self.host(value, Group::max)
    }

    fn host(&self, value: i64, reduce: fn(Group, &Tensor) -> Result<()>) -> Result<i64> {
        let Some(group) = self.group() else {
            return Ok(value);
        };
        let x = Tensor::full([1], value, (Kind::Int64, Device::Cpu));
        reduce(group, &x)?;
        Ok(x.int64_value(&[0]))
    }

    /// Waits until `device` has done what was queued, for as long as ranks wait for each other at most.
    /// A GPU whose peer is gone never gets there, and whoever reads from it waits without end.
    ///
    /// # Errors
    /// If it takes longer, or the device fails.
    pub fn wait_for(&self, device: Device) -> Result<()> {
        let Some(several) = self.0.as_ref().filter(|_| device.is_cuda()) else {
            return Ok(());
        };
        let (queued, began) = (crate::Event::record(device)?, Instant::now());
        while !queued.is_done()? {
            let limit = several.answer_within;
            ensure!(
                began.elapsed() < limit,
                "among the ranks: the GPU has waited for another one for {} s",
                limit.as_secs()
            );
            thread::sleep(POLL);
        }
        Ok(())
    }

    /// Waits for all; then none needs another any more. The last call.
    ///
    /// # Errors
    /// If a rank does not come.
    pub fn leave(&self) -> Result<()> {
        self.group().map_or(Ok(()), Group::leave)
    }

    /// Collectives so far.
    pub fn counted(&self) -> Counted {
        self.group().map_or(Counted::default(), Group::counted)
    }

    /// From now on collectives on a GPU are timed too (`on`), which costs two events for each; those
    /// on the CPU always are.
    pub fn time_collectives(&self, on: bool) {
        if let Some(group) = self.group() {
            group.time(on);
        }
    }

    /// Seconds that this rank has spent in collectives, waiting included, since this was last asked.
    /// Waits for the device.
    ///
    /// # Errors
    /// If the device fails.
    pub fn collective_seconds(&self) -> Result<f64> {
        self.group().map_or(Ok(0.0), Group::take_seconds)
    }
}

/// Joins on a thread that is left to itself if it takes too long: whatever listens at the address and
/// never answers is waited for without end.
fn join_in_time(meeting: &Meeting<'_>, device: Device) -> Result<Group> {
    let (meeting, address) = (*meeting, meeting.address.to_owned());
    // All may use their time up to the last moment, and say who is missing.
    let limit = meeting.join_within + GRACE;
    let (send, receive) = mpsc::channel();
    let Meeting {
        rank,
        size,
        port,
        agent_store,
        join_within,
        answer_within,
        ..
    } = meeting;
    thread::spawn(move || {
        let meeting = Meeting {
            rank,
            size,
            address: &address,
            port,
            agent_store,
            join_within,
            answer_within,
        };
        send.send(Group::join(&meeting, device))
    });
    receive.recv_timeout(limit).unwrap_or_else(|_| {
        Err(anyhow!(
            "nobody who knows of it answered within {} s",
            join_within.as_secs()
        ))
    })
}

#[cfg(test)]
mod tests;
