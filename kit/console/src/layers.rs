//! A config in layers: its defaults, a TOML file over them, `key=value` overrides over both.
//!
//! Keys are checked against the defaults, so a misspelt one is refused with its line and the keys
//! that its section has. Any type that is `Default`, `Serialize` and `Deserialize` can be layered.

use std::fs;
use std::path::Path;

use anyhow::Result;
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use crate::usage::{one_line, usage};

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

/// Finds a config: a file if `name` is one, else one of `embedded`.
pub fn find(embedded: &[(&str, &str)], name: &str) -> Result<Source> {
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
pub fn differences<T: Serialize>(left: &T, right: &T) -> Vec<(String, String, String)> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use serde::Deserialize;

    #[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Recipe {
        seed: u64,
        oven: Oven,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(default)]
    struct Oven {
        degrees: f64,
        mode: Mode,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Mode {
        Fan,
        TopHeat,
    }

    impl Default for Oven {
        fn default() -> Self {
            Self {
                degrees: 180.0,
                mode: Mode::Fan,
            }
        }
    }

    fn layered(text: &str, overrides: &[&str]) -> Result<Recipe> {
        let source = Source {
            name: "x".into(),
            origin: "x.toml".into(),
            text: text.into(),
        };
        let overrides: Vec<Override> = overrides
            .iter()
            .map(|text| parse_override(text).unwrap())
            .collect();
        layer(&source, &overrides)
    }

    fn message(text: &str, overrides: &[&str]) -> String {
        let line = layered(text, overrides).unwrap_err().to_string();
        assert!(!line.contains('\n'), "{line:?} is one line");
        line
    }

    #[test]
    fn each_layer_changes_only_what_it_names() {
        let recipe = layered("[oven]\nmode = 'top-heat'\n", &["oven.degrees = 200"]).unwrap();
        let oven = Oven {
            degrees: 200.0,
            mode: Mode::TopHeat,
        };
        assert_eq!(recipe, Recipe { seed: 0, oven });
        let changes = differences(&Recipe::default(), &recipe);
        let keys: Vec<&str> = changes.iter().map(|(key, _, _)| key.as_str()).collect();
        assert_eq!(keys, ["oven.degrees", "oven.mode"]);
    }

    #[test]
    fn unknown_keys_are_refused_with_place_and_allowed_keys() {
        let line = message("seed = 1\n[oven]\ndegree = 3\n", &[]);
        assert_eq!(
            line,
            "x.toml line 3: unknown key `degree` in [oven]; allowed: degrees, mode"
        );
        let line = message("", &["oven.degree=1"]);
        assert!(line.starts_with("--set oven.degree: unknown key"), "{line}");
        assert!(message("", &["oven=1"]).contains("section"));
    }

    #[test]
    fn wrong_values_are_refused_with_their_line() {
        assert!(message("[oven]\n\ndegrees = \"hot\"\n", &[]).contains("line 3"));
        assert!(message("[oven]\nmode = \"grill\"\n", &[]).contains("`fan` or `top-heat`"));
        assert!(message("[oven\n", &[]).contains("line 1"));
        assert!(message("", &["seed=many"]).contains("integer expected"));
    }

    #[test]
    fn a_config_that_is_nowhere_is_refused_with_the_known_ones() {
        let line = find(&[("cake", ""), ("bread", "")], "soup").unwrap_err();
        assert!(line.to_string().contains("built-in: cake, bread"), "{line}");
    }

    #[test]
    fn the_summary_is_the_first_sentence() {
        assert_eq!(
            summary("# Bakes a cake\n# in an oven. Slowly.\nseed = 1\n"),
            "Bakes a cake in an oven."
        );
    }
}
