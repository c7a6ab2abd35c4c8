//! From a config's name or file and the flags to one checked [`RunConfig`].
//!
//! Three layers, each over the one before: the defaults, the TOML file, `key=value` overrides
//! (`--set` and the flags that stand for one). Keys are checked against the defaults, so a misspelt
//! one is refused with its line and the keys that its section has. Nothing is built here.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::config::RunConfig;
use crate::embedded::EMBEDDED;
use crate::error::usage;

/// A config's text and where it came from.
#[derive(Clone, Debug)]
pub struct Source {
    /// Short name: the run's default folder is `runs/NAME`.
    pub name: String,
    /// What error messages call it: a path, or `built-in NAME`.
    pub origin: String,
    /// TOML.
    pub text: String,
}

/// One `key=value`, the key dotted (`data.batch`).
pub type Override = (String, Value);

/// Finds a run's config: a file if `name` is one, else a built-in.
pub fn find(name: &str) -> Result<Source> {
    find_among(EMBEDDED, name)
}

/// Finds a config: a file if `name` is one, else one of `embedded`.
pub fn find_among(embedded: &[(&str, &str)], name: &str) -> Result<Source> {
    let path = Path::new(name);
    if path.is_file() {
        let text = fs::read_to_string(path).map_err(|e| usage(format!("{name}: {e}")))?;
        let stem = path.file_stem().unwrap_or_default();
        return Ok(Source {
            name: stem.to_string_lossy().into_owned(),
            origin: name.to_owned(),
            text,
        });
    }
    match embedded.iter().find(|(known, _)| *known == name) {
        Some((known, text)) => Ok(Source {
            name: (*known).to_owned(),
            origin: format!("built-in {known}"),
            text: (*text).to_owned(),
        }),
        None => {
            let known: Vec<&str> = embedded.iter().map(|(known, _)| *known).collect();
            Err(usage(format!(
                "no config file and no built-in config {name:?}; built-in: {}",
                known.join(", ")
            )))
        }
    }
}

/// The first sentence of a config's leading comment: what `--list-configs` prints beside the name.
pub fn summary(text: &str) -> String {
    let comment = text.lines().map_while(|l| l.strip_prefix('#'));
    let prose: Vec<&str> = comment.map(str::trim).collect();
    let prose = prose.join(" ");
    prose
        .split_inclusive(". ")
        .next()
        .unwrap_or("")
        .trim()
        .to_owned()
}

/// Lays file and overrides over the defaults and checks the result.
pub fn resolve(source: &Source, overrides: &[Override]) -> Result<RunConfig> {
    let config: RunConfig = layer(source, overrides)?;
    config.check()?;
    Ok(config)
}

/// Reads a resolved config back, as a checkpoint stores it.
pub fn parse_resolved(text: &str, origin: &str) -> Result<RunConfig> {
    let source = Source {
        name: String::new(),
        origin: origin.to_owned(),
        text: text.to_owned(),
    };
    layer(&source, &[])
}

/// Parses `key=value`; a value that is not TOML is taken as a string, so `--set method.align=roi`
/// needs no quotes.
pub fn parse_override(text: &str) -> Result<Override, String> {
    let (key, value) = text
        .split_once('=')
        .ok_or_else(|| format!("{text:?} is not key=value"))?;
    let (key, value) = (key.trim(), value.trim());
    let parsed = toml::from_str::<Table>(&format!("v = {value}"));
    let value = match parsed {
        Ok(mut table) => table.remove("v").expect("the text names v"),
        Err(_) => Value::String(value.to_owned()),
    };
    Ok((key.to_owned(), value))
}

/// Dotted keys whose values differ, with both values: `(key, left, right)`.
pub fn differences(left: &RunConfig, right: &RunConfig) -> Vec<(String, String, String)> {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    flatten("", &table_of(left), &mut a);
    flatten("", &table_of(right), &mut b);
    let pairs = a.into_iter().zip(b);
    pairs
        .filter(|((_, x), (_, y))| x != y)
        .map(|((key, x), (_, y))| (key, x, y))
        .collect()
}

/// Lays file and overrides over the defaults of any kind of config, whose keys all have a default.
pub fn layer<T>(source: &Source, overrides: &[Override]) -> Result<T>
where
    T: Default + Serialize + DeserializeOwned,
{
    let text = &source.text;
    let at_line = |e: toml::de::Error| {
        let place = e.span().map(|s| place(text, s.start)).unwrap_or_default();
        usage(format!(
            "{}{place}: {}",
            source.origin,
            one_line(e.message())
        ))
    };
    let defaults = table_of(&T::default());
    let tree = DeTable::parse(text).map_err(at_line)?;
    check_keys(source, "", tree.get_ref(), &defaults)?;
    // Types and allowed values are checked here, where an error still knows its line.
    toml::from_str::<T>(text).map_err(at_line)?;
    let mut merged = defaults;
    overlay(&mut merged, toml::from_str(text).map_err(at_line)?);
    for (key, value) in overrides {
        set(&mut merged, key, value.clone())?;
    }
    T::deserialize(merged).map_err(|e| usage(one_line(&e.to_string())))
}

fn table_of(config: &impl Serialize) -> Table {
    Table::try_from(config).expect("a config is a tree of tables, numbers and strings")
}

/// Refuses the first key of `found` that `known` lacks.
fn check_keys(source: &Source, section: &str, found: &DeTable, known: &Table) -> Result<()> {
    for (key, value) in found {
        let name: &str = key.get_ref();
        match (known.get(name), value.get_ref()) {
            (None, _) => {
                let place = place(&source.text, key.span().start);
                return Err(unknown_key(
                    &format!("{}{place}", source.origin),
                    section,
                    name,
                    known,
                ));
            }
            (Some(Value::Table(known)), DeValue::Table(found)) => {
                check_keys(source, &dotted(section, name), found, known)?;
            }
            _ => {}
        }
    }
    Ok(())
}

fn unknown_key(origin: &str, section: &str, name: &str, known: &Table) -> anyhow::Error {
    let place = match section {
        "" => "the top level".to_owned(),
        section => format!("[{section}]"),
    };
    let allowed: Vec<&str> = known.keys().map(String::as_str).collect();
    usage(format!(
        "{origin}: unknown key `{name}` in {place}; allowed: {}",
        allowed.join(", ")
    ))
}

fn overlay(base: &mut Table, over: Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(Value::Table(base)), Value::Table(over)) => overlay(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// Sets one dotted key that exists; an integer becomes a float where the default is one.
fn set(table: &mut Table, key: &str, value: Value) -> Result<()> {
    let (section, name) = key.rsplit_once('.').unwrap_or(("", key));
    let mut inner = &mut *table;
    let mut walked = String::new();
    for part in section.split('.').filter(|part| !part.is_empty()) {
        let known = inner.clone();
        inner = match inner.get_mut(part) {
            Some(Value::Table(next)) => next,
            _ => return Err(unknown_key(&format!("--set {key}"), &walked, part, &known)),
        };
        walked = dotted(&walked, part);
    }
    match inner.get_mut(name) {
        None => Err(unknown_key(&format!("--set {key}"), section, name, inner)),
        Some(Value::Table(section)) => {
            let keys: Vec<&str> = section.keys().map(String::as_str).collect();
            Err(usage(format!(
                "--set {key}: that is a section; its keys: {}",
                keys.join(", ")
            )))
        }
        Some(slot) => {
            *slot = match (&*slot, value) {
                (Value::Float(_), Value::Integer(n)) => Value::Float(n as f64),
                (old, new) if old.same_type(&new) => new,
                (old, new) => {
                    return Err(usage(format!(
                        "--set {key}={new}: {} expected, {} given",
                        old.type_str(),
                        new.type_str()
                    )));
                }
            };
            Ok(())
        }
    }
}

fn flatten(section: &str, table: &Table, out: &mut Vec<(String, String)>) {
    for (key, value) in table {
        let key = dotted(section, key);
        match value {
            Value::Table(inner) => flatten(&key, inner, out),
            value => out.push((key, value.to_string())),
        }
    }
}

fn dotted(section: &str, key: &str) -> String {
    match section {
        "" => key.to_owned(),
        section => format!("{section}.{key}"),
    }
}

fn place(text: &str, offset: usize) -> String {
    format!(" line {}", 1 + text[..offset].matches('\n').count())
}

fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

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
        for (name, text) in EMBEDDED {
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
    fn a_resolved_config_reads_back() {
        let config = resolve(&find("demo_cpu").unwrap(), &[]).unwrap();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(parse_resolved(&text, "checkpoint").unwrap(), config);
    }
}
