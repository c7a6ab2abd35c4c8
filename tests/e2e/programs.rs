//! Running the programs and reading what they say.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use serde_json::Value;

/// The workspace's folder.
pub(crate) fn workspace() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// A program of the workspace, built by the same cargo profile as this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("a test has a path");
    let path = test
        .ancestors()
        .nth(2)
        .expect("target/<profile>/deps/<test>")
        .join(name);
    assert!(
        path.is_file(),
        "{path:?} is missing: run `cargo build --release --workspace --all-targets` first"
    );
    path
}

/// What a program did.
#[derive(Debug)]
pub(crate) struct Done {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// Runs `line`, split at white space, in `dir`; an argument between back-ticks keeps its blanks.
pub(crate) fn run(dir: &Path, line: &str) -> Done {
    let mut words: Vec<String> = Vec::new();
    for (ix, quoted) in line.split('`').enumerate() {
        if ix % 2 == 1 {
            words.push(quoted.to_owned());
        } else {
            words.extend(quoted.split_whitespace().map(str::to_owned));
        }
    }
    let Output {
        status,
        stdout,
        stderr,
    } = Command::new(program(&words[0]))
        .args(&words[1..])
        .current_dir(dir)
        .output()
        .expect("the program starts");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("programs print UTF-8");
    Done {
        code: status.code(),
        stdout: text(stdout),
        stderr: text(stderr),
    }
}

/// Runs `line` and expects success.
pub(crate) fn ok(dir: &Path, line: &str) -> Done {
    let done = run(dir, line);
    assert_eq!(
        done.code,
        Some(0),
        "{line}\n{}\n{}",
        done.stdout,
        done.stderr
    );
    done
}

/// Runs `line` with `--json` and expects one JSON object on stdout and nothing else.
pub(crate) fn json(dir: &Path, line: &str) -> Value {
    let done = ok(dir, &format!("{line} --json"));
    serde_json::from_str(&done.stdout)
        .unwrap_or_else(|error| panic!("{line}: {error}: {}", done.stdout))
}

/// A folder with the demo data ingested into `shards/`, made once for all tests, in place of the
/// last run's.
pub(crate) fn demo_set() -> &'static Path {
    static SET: OnceLock<PathBuf> = OnceLock::new();
    SET.get_or_init(|| {
        let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join("demo_set");
        if dir.exists() {
            std::fs::remove_dir_all(&dir).unwrap_or_else(|error| panic!("{dir:?}: {error}"));
        }
        std::fs::create_dir_all(&dir).unwrap_or_else(|error| panic!("{dir:?}: {error}"));
        ok(&dir, "ingest demo --out data --frames 48");
        ok(&dir, "ingest waymo --out shards/");
        ok(&dir, "ingest soda10m --out shards/");
        dir
    })
}

/// A PNG's size in pixels.
pub(crate) fn png_size(path: &Path) -> (u32, u32) {
    let bytes = std::fs::read(path).unwrap_or_else(|error| panic!("{path:?}: {error}"));
    assert!(
        bytes.starts_with(b"\x89PNG\r\n\x1a\n"),
        "{path:?} is no PNG"
    );
    let side = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    (side(16), side(20))
}
