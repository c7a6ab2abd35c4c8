//! Where ranks find each other.

use std::time::Duration;

/// Where the processes of a run meet.
#[derive(Clone, Copy, Debug)]
pub struct Meeting<'a> {
    /// This process among them.
    pub rank: usize,
    /// How many there are.
    pub size: usize,
    /// The host of rank 0, or of the agent that keeps the store.
    pub address: &'a str,
    /// Its port.
    pub port: u16,
    /// Whether an agent keeps the store; otherwise rank 0 does.
    pub agent_store: bool,
    /// How long all may take to come.
    pub join_within: Duration,
    /// How long ranks wait for each other afterwards.
    pub answer_within: Duration,
}
