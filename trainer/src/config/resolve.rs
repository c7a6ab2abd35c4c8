//! From a config's name or file and the flags to one checked [`RunConfig`].
//!
//! `console::layers` lays the file and the flags over the defaults; the ranges are checked behind
//! it. Nothing is built here.

use anyhow::Result;
use console::layers::{self, Override, Source, layer};
use console::usage;

use super::built_in::BUILT_IN;
use super::run_config::RunConfig;

/// Finds a run's config: a file if `name` is one, else a built-in.
///
/// # Errors
/// If it is neither, or the file cannot be read.
pub fn find(name: &str) -> Result<Source> {
    layers::find(BUILT_IN, name)
}

/// Lays file and overrides over the defaults and checks the result.
///
/// # Errors
/// One line that names the key.
pub fn resolve(source: &Source, overrides: &[Override]) -> Result<RunConfig> {
    resolve_for(source, overrides, 1, None)
}

/// The same for a run of `ranks` ranks. `global_batch`, if given, are the pairs of a step over all of
/// them, of which `data.batch` becomes the share of one forward pass.
///
/// # Errors
/// As for [`resolve`]; and if the share is not whole.
pub(crate) fn resolve_for(
    source: &Source,
    overrides: &[Override],
    ranks: u64,
    global_batch: Option<u64>,
) -> Result<RunConfig> {
    let mut config: RunConfig = layer(source, overrides)?;
    if let Some(pairs) = global_batch {
        let accumulate = config.data.accumulate;
        let parts = ranks * accumulate;
        if parts == 0 || pairs == 0 || pairs % parts != 0 {
            return Err(usage(format!(
                "--global-batch {pairs} does not fall into {ranks} rank(s) x {accumulate} accumulated batches (data.accumulate) of equal size"
            )));
        }
        config.data.batch = pairs / parts;
    }
    config.check_for(ranks)?;
    Ok(config)
}

/// Reads a resolved config back, as a checkpoint stores it.
///
/// # Errors
/// One line that names the key.
pub(crate) fn parse_resolved(text: &str, origin: &str) -> Result<RunConfig> {
    let source = Source {
        name: String::new(),
        origin: origin.to_owned(),
        text: text.to_owned(),
    };
    layer(&source, &[])
}

#[cfg(test)]
mod tests {
    use super::*;
    use console::layers::{differences, parse_override, summary};

    fn source(text: &str) -> Source {
        Source {
            name: "x".into(),
            origin: "x.toml".into(),
            text: text.into(),
        }
    }

    fn message(text: &str, overrides: &[&str]) -> String {
        let overrides: Vec<Override> = overrides
            .iter()
            .map(|o| parse_override(o).unwrap())
            .collect();
        let line = resolve(&source(text), &overrides).unwrap_err().to_string();
        assert!(!line.contains('\n'), "{line:?} is one line");
        line
    }

    #[test]
    fn every_embedded_config_resolves_and_says_what_it_is() {
        for (name, text) in BUILT_IN {
            resolve(&find(name).unwrap(), &[]).unwrap();
            assert!(summary(text).len() > 20, "{name}: {:?}", summary(text));
        }
    }

    #[test]
    fn unknown_keys_are_refused_with_place_and_allowed_keys() {
        let line = message("seed = 1\n[data]\nbatchh = 3\n", &[]);
        assert!(
            line.contains("x.toml line 3: unknown key `batchh` in [data]; allowed: "),
            "{line}"
        );
        assert!(line.contains("batch, "), "{line}");
        let line = message("[dada]\n", &[]);
        assert!(line.contains("`dada` in the top level"), "{line}");
        let line = message("", &["augment.view_a.blurr_p=1"]);
        assert!(
            line.contains(
                "--set augment.view_a.blurr_p: unknown key `blurr_p` in [augment.view_a]"
            ),
            "{line}"
        );
        assert!(message("", &["augmnt.view_px=1"]).contains("`augmnt`"));
        assert!(message("", &["data=1"]).contains("section"));
    }

    #[test]
    fn wrong_values_are_refused_with_their_line() {
        assert!(message("[data]\n\nbatch = \"many\"\n", &[]).contains("line 3"));
        let line = message("[data]\norder = \"random\"\n", &[]);
        assert!(line.contains("`full` or `block`"), "{line}");
        assert!(message("[data\n", &[]).contains("line 1"));
        assert!(message("", &["data.batch=many"]).contains("integer expected"));
        assert!(message("", &["data.order=random"]).contains("`full` or `block`"));
        assert!(message("", &["data.batch=-4"]).contains("-4"));
    }

    #[test]
    fn a_file_changes_only_what_it_names() {
        let text = "[augment.view_b]\nflip_p = 0.0\n[data]\nbatch = 8\n";
        let overrides = [parse_override("optim.base_lr = 2").unwrap()];
        let config = resolve(&source(text), &overrides).unwrap();
        assert_eq!(
            config.augment.view_b.solarize_p, 0.2,
            "view_b keeps its own default"
        );
        assert_eq!((config.augment.view_b.flip_p, config.data.batch), (0.0, 8));
        assert_eq!(config.optim.base_lr, 2.0);
        let expected: Vec<String> = differences(&RunConfig::default(), &config)
            .into_iter()
            .map(|(key, old, new)| format!("{key}: {old} -> {new}"))
            .collect();
        assert_eq!(
            expected,
            [
                "augment.view_b.flip_p: 0.5 -> 0.0",
                "data.batch: 1024 -> 8",
                "optim.base_lr: 1.0 -> 2.0"
            ]
        );
    }

    #[test]
    fn a_global_batch_is_shared_by_ranks_and_accumulated_batches() {
        let text = "[data]\naccumulate = 2\n";
        let batch = |ranks, pairs| {
            let config = resolve_for(&source(text), &[], ranks, Some(pairs));
            config.map(|config| config.data.batch)
        };
        for (ranks, expected) in [(1, 512), (2, 256), (8, 64)] {
            assert_eq!(batch(ranks, 1024).unwrap(), expected);
        }
        for (ranks, pairs) in [(3, 1024), (8, 1000), (1, 0)] {
            let line = batch(ranks, pairs).unwrap_err().to_string();
            assert!(
                line.starts_with(&format!("--global-batch {pairs} ")),
                "{line}"
            );
        }
    }

    #[test]
    fn a_resolved_config_reads_back() {
        let config = resolve(&find("demo_cpu").unwrap(), &[]).unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(parse_resolved(&text, "checkpoint").unwrap(), config);
    }

    #[test]
    fn a_checkpoint_from_before_determinism_could_be_asked_for_reads_as_without() {
        let text = toml::to_string(&RunConfig::default()).unwrap();
        let before = text.replace("deterministic = false\n", "");
        assert_ne!(before, text);
        assert_eq!(
            parse_resolved(&before, "checkpoint").unwrap(),
            RunConfig::default()
        );
    }
}
