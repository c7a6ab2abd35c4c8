//! Which of a file's networks is taken.
//!
//! Methods of self-supervision keep two networks: one that learns, and one that follows it. Words in
//! their names tell which is which. The one that learns is taken, except that of a student and a
//! teacher everybody evaluates the teacher. Files may hold a network twice, under two names: equal
//! twins are one.

use std::collections::BTreeMap;

use anyhow::Result;
use console::usage;

use super::layout::Candidate;
use crate::files::file_tensor::FileTensor;
use crate::network::Network;

/// Words in the name of a network that learns, beside one that follows it.
const LEARNING: [&str; 4] = ["online", "student", "query", "q"];
/// Words in the name of a network that follows another.
const FOLLOWING: [&str; 6] = ["target", "teacher", "momentum", "ema", "key", "k"];

/// A network, under all its names.
#[derive(Debug)]
struct Twins(Vec<Candidate>);

/// The network that is taken.
#[derive(Debug)]
pub(super) struct Choice {
    pub(super) candidate: Candidate,
    /// The same network under other names.
    pub(super) twins: Vec<Candidate>,
    /// Which it is, where the file has others or its name tells.
    pub(super) network: Option<Network>,
    /// Names of the others.
    pub(super) others: Vec<String>,
}

/// Takes the network that was `wanted`, or the one that everybody takes.
///
/// # Errors
/// If the file lacks it, or it could be several; their names are in the message.
pub(super) fn choose(
    candidates: Vec<Candidate>,
    all: &BTreeMap<String, FileTensor>,
    wanted: Option<Network>,
) -> Result<Choice> {
    let mut networks = twins(candidates, all);
    let names: Vec<String> = networks.iter().map(Twins::name).collect();
    let network = wanted.or_else(|| (networks.len() > 1).then(|| usual(&networks)));
    let is_taken = |twins: &Twins| network.is_none_or(|network| twins.may_be(network));
    let mut fitting: Vec<usize> = (0..networks.len())
        .filter(|ix| is_taken(&networks[*ix]))
        .collect();
    if let (Some(network), [_, _, ..]) = (wanted, &fitting[..]) {
        fitting.retain(|ix| networks[*ix].is_called(network));
    }
    match (&fitting[..], network) {
        (&[ix], _) => {
            let Twins(mut twins) = networks.swap_remove(ix);
            let candidate = twins.remove(0);
            let told = network
                .filter(|_| names.len() > 1)
                .or_else(|| role(&candidate.prefix));
            let others = (0..names.len()).filter(|other| *other != ix);
            Ok(Choice {
                candidate,
                twins,
                network: told,
                others: others.map(|other| names[other].clone()).collect(),
            })
        }
        ([], Some(network)) if wanted.is_some() => Err(usage(format!(
            "it holds no {} network; it has {}",
            network.name(),
            names.join(", ")
        ))),
        _ => Err(usage(format!(
            "it holds several networks, {}; keep one of them in the file, or choose by --network",
            names.join(", ")
        ))),
    }
}

/// The network that everybody takes of several.
fn usual(networks: &[Twins]) -> Network {
    let has = |word: &str| {
        networks
            .iter()
            .any(|twins| twins.0.iter().any(|c| words(&c.prefix).any(|w| w == word)))
    };
    match has("student") && has("teacher") {
        true => Network::Target,
        false => Network::Online,
    }
}

/// Candidates by their values.
fn twins(candidates: Vec<Candidate>, all: &BTreeMap<String, FileTensor>) -> Vec<Twins> {
    let mut found: Vec<Twins> = Vec::new();
    for candidate in candidates {
        match found
            .iter_mut()
            .find(|twins| are_equal(&twins.0[0], &candidate, all))
        {
            Some(twins) => twins.0.push(candidate),
            None => found.push(Twins(vec![candidate])),
        }
    }
    found
}

fn are_equal(one: &Candidate, other: &Candidate, all: &BTreeMap<String, FileTensor>) -> bool {
    one.names.keys().eq(other.names.keys())
        && one
            .names
            .values()
            .zip(other.names.values())
            .all(|(one, other)| all[one].is_same_as(&all[other]))
}

impl Twins {
    fn may_be(&self, network: Network) -> bool {
        self.0
            .iter()
            .any(|c| role(&c.prefix).unwrap_or(Network::Online) == network)
    }

    fn is_called(&self, network: Network) -> bool {
        self.0.iter().any(|c| role(&c.prefix) == Some(network))
    }

    /// Its names in the file, for people.
    fn name(&self) -> String {
        let names = self.0.iter().map(|candidate| match &candidate.prefix[..] {
            "" => "one without a prefix".to_owned(),
            prefix => format!("{prefix}*"),
        });
        names.collect::<Vec<_>>().join(" = ")
    }
}

/// Which network a name tells of.
fn role(prefix: &str) -> Option<Network> {
    let has = |known: &[&str]| words(prefix).any(|word| known.contains(&&word[..]));
    if has(&FOLLOWING) {
        return Some(Network::Target);
    }
    has(&LEARNING).then_some(Network::Online)
}

/// The words of a name, in small letters: `module.encoder_k` has three, `targetNet` two.
fn words(name: &str) -> impl Iterator<Item = String> {
    let mut words = vec![String::new()];
    let mut was_small = false;
    for letter in name.chars() {
        if !letter.is_alphanumeric() || (was_small && letter.is_uppercase()) {
            words.push(String::new());
        }
        was_small = letter.is_lowercase();
        if letter.is_alphanumeric() {
            words
                .last_mut()
                .expect("there is a first word")
                .extend(letter.to_lowercase());
        }
    }
    words.into_iter()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_tell_who_follows() {
        for name in [
            "module.encoder_k.",
            "target_net.0.",
            "targetNet.",
            "teacher.backbone.",
            "momentum_backbone.",
            "model_ema.module.encoder.",
            "key_encoder.",
        ] {
            assert_eq!(role(name), Some(Network::Target), "{name}");
        }
        for name in [
            "module.encoder_q.",
            "online_net.0.",
            "student.module.backbone.",
            "queryEncoder.",
        ] {
            assert_eq!(role(name), Some(Network::Online), "{name}");
        }
        for name in [
            "",
            "backbone.",
            "module.",
            "module.encoder.",
            "state_dict.backbone.",
            "keypoints.",
            "schema.",
        ] {
            assert_eq!(role(name), None, "{name}");
        }
    }
}
