//! Where a set's inputs lie on this machine: which command made a shard, and makes it again.
//!
//! A shard says nothing of any machine, so that its bytes depend on its input alone. What a person or
//! a later run needs of the paths stands in `.ingest.inputs`, a JSON file beside the catalog. It can
//! be lost: then inputs are told apart by what they hold, and advice names them without their paths.

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process;

use serde::{Deserialize, Serialize};

use crate::shard::{Chroma, Settings};

/// The file's name.
const INPUTS_FILE: &str = ".ingest.inputs";

/// What one argument of an `ingest` command was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenInput {
    /// Command that reads it: `waymo`, `soda10m`, `images`.
    pub dataset: String,
    /// Absolute path that the command was given.
    pub root: String,
    /// Name that the command was given for it, or gave it to tell it from another one.
    pub name: Option<String>,
    /// Options of the command that say what of it is read, as they were given.
    pub options: Vec<String>,
    /// Names of the inputs of shards ([`ShardId::input`](crate::shard::ShardId::input)) that it holds.
    pub inputs: Vec<String>,
}

impl GivenInput {
    /// The command that makes its shards in the set `out`, as one types it into a shell.
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

/// All that a set was given.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenInputs(Vec<GivenInput>);

impl GivenInputs {
    /// Those of the set in `dir`; none if the file is not there or damaged.
    pub fn read(dir: &Path) -> Self {
        let bytes = fs::read(dir.join(INPUTS_FILE)).unwrap_or_default();
        serde_json::from_slice(&bytes).unwrap_or_default()
    }

    /// Adds `given`, in the place of what was given as the same path under the same name before; its
    /// inputs of then stay.
    pub fn add(&mut self, mut given: GivenInput) {
        let key = |given: &GivenInput| {
            let (dataset, root) = (given.dataset.clone(), given.root.clone());
            (dataset, root, given.name.clone())
        };
        let own = key(&given);
        let is_same = |known: &GivenInput| key(known) == own;
        if let Some(ix) = self.0.iter().position(is_same) {
            given.inputs.extend(self.0.remove(ix).inputs);
        }
        given.inputs.sort();
        given.inputs.dedup();
        self.0.push(given);
    }

    /// Writes the file, all or nothing.
    ///
    /// # Errors
    /// What the operating system answers.
    pub fn write(&self, dir: &Path) -> io::Result<()> {
        let path = dir.join(INPUTS_FILE);
        // Parts of one run may write at once.
        let temporary = PathBuf::from(format!("{}.{}.tmp", path.display(), process::id()));
        let mut file = File::create(&temporary)?;
        file.write_all(&serde_json::to_vec(self).expect("plain data serialises"))?;
        file.sync_all()?;
        host::publish(&temporary, &path)
    }

    /// What was given as `root` to the command of `dataset`, the last time.
    pub fn of_root(&self, dataset: &str, root: &str) -> Option<&GivenInput> {
        let mut all = self.0.iter().rev();
        all.find(|given| given.dataset == dataset && given.root == root)
    }

    /// Names of all inputs that were given as `root` to the command of `dataset`.
    pub fn inputs_of(&self, dataset: &str, root: &str) -> HashSet<String> {
        let all = self.0.iter();
        all.filter(|given| given.dataset == dataset && given.root == root)
            .flat_map(|given| given.inputs.iter().cloned())
            .collect()
    }

    /// What holds the input `input`, the last given first.
    pub fn with(&self, input: &str) -> impl Iterator<Item = &GivenInput> {
        let has = move |given: &&GivenInput| given.inputs.iter().any(|own| own == input);
        self.0.iter().rev().filter(has)
    }

    /// The commands that make all of the set in `dir` again.
    pub fn commands(&self, settings: &Settings, dir: &Path) -> Vec<String> {
        let all = self.0.iter();
        all.map(|given| self.command(given, settings, dir))
            .collect()
    }

    /// The command of `given`. Its own name is said where the same path has another one by now.
    fn command(&self, given: &GivenInput, settings: &Settings, dir: &Path) -> String {
        let last = self.of_root(&given.dataset, &given.root);
        let mut named = given.clone();
        if last.is_some_and(|last| last.name != given.name) && given.name.is_none() {
            let own = Path::new(&given.root).file_name();
            named.name = own.map(|name| name.to_string_lossy().into_owned());
        }
        named.command(settings, dir)
    }

    /// What makes the shards of `input` again, as a person is told it.
    pub fn remake(&self, input: &str, settings: &Settings, dir: &Path) -> String {
        match self.with(input).next() {
            Some(given) => format!("run `{}`", self.command(given, settings, dir)),
            None => format!("ingest {input:?} again, with the same options"),
        }
    }
}

/// The options that stand for `settings`; what is left out is the default, and cameras, which are an
/// option of the input.
fn options_of(settings: &Settings) -> Vec<String> {
    let default = Settings::default();
    let mut options = Vec::new();
    let mut add = |name: &str, value: String| options.extend([name.to_owned(), value]);
    if settings.levels != default.levels {
        let levels: Vec<String> = settings.levels.iter().map(u8::to_string).collect();
        add("--levels", levels.join(","));
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

    fn given(root: &str, inputs: &[&str]) -> GivenInput {
        GivenInput {
            dataset: "images".into(),
            root: root.into(),
            inputs: inputs.iter().map(|&input| input.to_owned()).collect(),
            ..GivenInput::default()
        }
    }

    #[test]
    fn the_command_says_what_is_not_the_default() {
        let mut input = given("/data/b1/samples", &[]);
        let command =
            |input: &GivenInput, settings: &Settings| input.command(settings, Path::new("set"));
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
            ..Settings::default()
        };
        assert_eq!(
            command(&input, &settings),
            "ingest images 'b1 too=/data/b1/samples' --out set --levels 0,2 --quality 90 \
             --chroma 444 --max-pixels 7 --exclude 'it'\\''s'"
        );
    }

    #[test]
    fn what_was_given_is_found_by_path_and_by_input() {
        let dir = tempfile::tempdir().unwrap();
        let mut all = GivenInputs::read(dir.path());
        assert_eq!(all, GivenInputs::default());
        all.add(given("/a", &["x", "y"]));
        all.add(given("/b", &["z", "x"]));
        all.add(given("/a", &["w"]));
        all.write(dir.path()).unwrap();
        let read = GivenInputs::read(dir.path());
        assert_eq!(read, all);
        assert_eq!(
            read.of_root("images", "/a").unwrap().inputs,
            ["w", "x", "y"]
        );
        assert_eq!(read.of_root("waymo", "/a"), None);
        assert_eq!(read.inputs_of("images", "/a").len(), 3);
        assert_eq!(read.inputs_of("waymo", "/a").len(), 0);
        let roots: Vec<&str> = read.with("x").map(|given| &given.root[..]).collect();
        assert_eq!(roots, ["/a", "/b"]);
        let remake = |input| read.remake(input, &Settings::default(), Path::new("o"));
        assert_eq!(remake("z"), "run `ingest images /b --out o`");
        assert_eq!(remake("new"), "ingest \"new\" again, with the same options");
        fs::write(dir.path().join(INPUTS_FILE), "[{").unwrap();
        assert_eq!(GivenInputs::read(dir.path()), GivenInputs::default());
    }
}
