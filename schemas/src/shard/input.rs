//! The input of a shard, as it was when the shard was made: what tells it from another input and a
//! changed one from the same, and the command that makes the shard again.

use std::path::Path;

use serde::{Deserialize, Serialize};

use super::{Chroma, Settings};

/// Where a shard's input lay, how it was read, and what it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct InputRecord {
    /// Command that reads it: `waymo`, `soda10m`, `images`.
    pub dataset: String,
    /// Absolute path that the command was given.
    pub root: String,
    /// Name that the command was given for it, or gave it to tell it from another one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Options of the command that say which files are read, as they were given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub options: Vec<String>,
    /// Size, if the input is one file or archive.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// CRC32C, if all of it was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub crc32c: Option<u32>,
}

impl InputRecord {
    /// The command that makes the input's shards in the set `out`, as one types it into a shell.
    pub fn command(&self, settings: &Settings, out: &Path) -> String {
        let input = match &self.name {
            Some(name) => format!("{name}={}", self.root),
            None => self.root.clone(),
        };
        let mut words = vec![
            "ingest".to_owned(),
            self.dataset.clone(),
            input,
            "--out".to_owned(),
            out.display().to_string(),
        ];
        words.extend(options_of(settings));
        words.extend(self.options.iter().cloned());
        words
            .iter()
            .map(|word| quoted(word))
            .collect::<Vec<_>>()
            .join(" ")
    }
}

/// The options that stand for `settings`; what is left out is the default.
fn options_of(settings: &Settings) -> Vec<String> {
    let default = Settings::default();
    let joined = |words: Vec<String>| words.join(",");
    let mut options = Vec::new();
    let mut add = |name: &str, value: String| options.extend([name.to_owned(), value]);
    if settings.levels != default.levels {
        add(
            "--levels",
            joined(settings.levels.iter().map(u8::to_string).collect()),
        );
    }
    if settings.quality != default.quality {
        add("--quality", settings.quality.to_string());
    }
    if settings.chroma == Chroma::C444 {
        add("--chroma", "444".to_owned());
    }
    if settings.max_pixels != default.max_pixels {
        add("--max-pixels", settings.max_pixels.to_string());
    }
    if !settings.cameras.is_empty() {
        add(
            "--cameras",
            joined(settings.cameras.iter().cloned().collect()),
        );
    }
    options
}

/// A word as a shell takes it for one.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/._-+=:@%,".contains(c);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_says_what_is_not_the_default() {
        let mut input = InputRecord {
            dataset: "images".into(),
            root: "/data/b1/samples".into(),
            ..InputRecord::default()
        };
        let command =
            |input: &InputRecord, settings: &Settings| input.command(settings, Path::new("set"));
        assert_eq!(
            command(&input, &Settings::default()),
            "ingest images /data/b1/samples --out set"
        );
        input.name = Some("b1 too".into());
        input.options = vec!["--exclude".into(), "it's".into()];
        let settings = Settings {
            levels: vec![0, 2],
            quality: 90,
            chroma: Chroma::C444,
            max_pixels: 7,
            cameras: ["FRONT".into(), "REAR".into()].into(),
        };
        assert_eq!(
            command(&input, &settings),
            "ingest images 'b1 too=/data/b1/samples' --out set --levels 0,2 --quality 90 \
             --chroma 444 --max-pixels 7 --cameras FRONT,REAR --exclude 'it'\\''s'"
        );
    }
}
