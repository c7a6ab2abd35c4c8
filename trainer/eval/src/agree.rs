//! What every rank has to be given alike, for each does a part of one work: two that read other
//! weights, or list other images, would make a result of neither, or wait for each other for ever.

use anyhow::Result;
use console::usage;
use model::files::safetensors::HostTensor;
use model::files::weights::Weights;
use native::Ranks;

/// A name for people, and a text that is the same where the thing is.
pub(crate) type Thing = (&'static str, String);

/// Refuses ranks of which one has been given other `things` than rank 0.
///
/// # Errors
/// On every rank, if there is one; if `things` fails.
pub(crate) fn agree(ranks: &Ranks, things: impl FnOnce() -> Result<Vec<Thing>>) -> Result<()> {
    if !ranks.are_several() {
        return Ok(());
    }
    let mine = ranks.together(things())?;
    let of_all = ranks.gather_bytes(&serde_json::to_vec(&mine)?)?;
    ranks.first_alone(|| compare(&mine, &of_all)).map(drop)
}

fn compare(mine: &[Thing], of_all: &[Vec<u8>]) -> Result<()> {
    for (rank, bytes) in of_all.iter().enumerate() {
        let theirs: Vec<(String, String)> = serde_json::from_slice(bytes)?;
        let differ = |(mine, theirs): &(&Thing, &(String, String))| mine.1 != theirs.1;
        if let Some(((name, _), _)) = mine.iter().zip(&theirs).find(differ) {
            return Err(usage(format!(
                "rank {rank} has other {name} than rank 0; give every rank the same"
            )));
        }
    }
    Ok(())
}

/// Stands for the values of `weights`, wherever they were read.
///
/// # Errors
/// If a tensor cannot be copied to the host.
pub(crate) fn checksums(weights: &Weights) -> Result<String> {
    let checksum =
        |(name, tensor)| -> Result<u32> { Ok(HostTensor::copy_of(name, tensor)?.crc32c()) };
    let all: Vec<u32> = weights
        .tensors()
        .iter()
        .map(|(name, tensor)| checksum((name.as_str(), tensor)))
        .collect::<Result<_>>()?;
    Ok(format!("{all:x?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rank_with_other_things_is_named_with_them() {
        let outcome = |odd: usize| {
            Ranks::in_threads(3, |ranks| {
                let frames = if ranks.rank() == odd { "9" } else { "8" };
                let things = || Ok(vec![("weights", "7".into()), ("frames", frames.into())]);
                agree(ranks, things).map_err(|error| error.to_string())
            })
        };
        assert!(outcome(3).iter().all(Result::is_ok));
        let refused = outcome(2);
        assert!(refused.iter().all(Result::is_err));
        let line = refused[0].as_ref().unwrap_err();
        assert!(
            line.contains("rank 2") && line.contains("frames") && !line.contains("weights"),
            "{line}"
        );
    }

    #[test]
    fn checksums_are_those_of_the_values() {
        let of_seed = |seed| {
            let model = model::ModelConfig {
                arch: model::Arch::Resnet18,
                ..model::ModelConfig::default()
            };
            checksums(&Weights::random(model, seed)).unwrap()
        };
        assert_eq!(of_seed(1), of_seed(1));
        assert_ne!(of_seed(1), of_seed(2));
    }
}
