//! Paths of this tree that documents and comments name in backticks, and links of documents.

use std::path::Path;

use crate::tree::{files, text, workspace};

/// What a path of this tree begins with. `configs/` alone is a folder of other repositories too.
const ROOMS: [&str; 13] = [
    ".github/",
    "benchmarks/",
    "configs/paper/",
    "configs/small/",
    "configs/transfer/",
    "docs/",
    "ingest/",
    "kit/",
    "sampler/",
    "schemas/",
    "scripts/",
    "tests/",
    "trainer/",
];
/// Folders that programs make.
const MADE: [&str; 4] = [
    "tests/fuzz/target",
    "tests/fuzz/corpus",
    "tests/fuzz/artifacts",
    "tests/fuzz/weights/corpus",
];

/// `a/{b,c}.rs` as `a/b.rs` and `a/c.rs`.
fn expanded(path: &str) -> Vec<String> {
    let Some((before, rest)) = path.split_once('{') else {
        return vec![path.to_owned()];
    };
    let Some((choices, after)) = rest.split_once('}') else {
        return vec![path.to_owned()];
    };
    let all = choices.split(',');
    all.flat_map(|choice| expanded(&format!("{before}{}{after}", choice.trim())))
        .collect()
}

/// The paths of this tree that stand in backticks; of a pattern, the folder that it looks into.
fn named_paths(text: &str) -> Vec<String> {
    let spans = text
        .lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2));
    // A list in braces may have blanks; what follows a path does not belong to it.
    let spans = spans.map(|span| span.replace(", ", ","));
    let first_words = spans.filter_map(|span| Some(span.split(' ').next()?.to_owned()));
    first_words
        .filter(|word| {
            let is_ours = ROOMS.iter().any(|room| word.starts_with(room));
            is_ours && !MADE.iter().any(|made| word.starts_with(made))
        })
        .flat_map(|path| expanded(&path))
        .filter_map(|path| match path.split_once('*') {
            Some((before, _)) => Some(before.rsplit_once('/')?.0.to_owned()),
            None => Some(path),
        })
        .filter(|path| {
            path.chars()
                .all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c))
        })
        .collect()
}

/// The targets of a document's links to files.
fn link_targets(text: &str) -> Vec<String> {
    let targets = text.split("](").skip(1);
    targets
        .filter_map(|rest| Some(rest.split_once(')')?.0.split('#').next()?.to_owned()))
        .filter(|target| !target.is_empty() && !target.contains("://"))
        .collect()
}

/// Whether `path` is there, seen from the workspace or from a folder around `file`.
fn is_there(path: &str, file: &Path) -> bool {
    file.ancestors()
        .skip(1)
        .take_while(|folder| folder.starts_with(workspace()))
        .any(|folder| folder.join(path).exists())
}

#[test]
fn paths_in_backticks_exist() {
    let mut seen = 0;
    for ending in [".md", ".rs", ".py", ".toml", ".cpp", ".cu", ".c"] {
        for file in files(workspace(), ending) {
            // This file speaks of paths that do not exist.
            if file.ends_with("structure/paths.rs") {
                continue;
            }
            for path in named_paths(&text(&file)) {
                seen += 1;
                assert!(
                    is_there(&path, &file),
                    "{file:?} names {path}, which is not there"
                );
            }
        }
    }
    assert!(seen > 80, "only {seen} paths: is this reader broken?");
}

#[test]
fn links_of_documents_lead_somewhere() {
    let mut seen = 0;
    for file in files(workspace(), ".md") {
        for target in link_targets(&text(&file)) {
            seen += 1;
            let folder = file.parent().unwrap();
            assert!(
                folder.join(&target).exists(),
                "{file:?} links to {target}, which is not there"
            );
        }
    }
    assert!(seen > 20, "only {seen} links: is this reader broken?");
}

#[test]
fn paths_and_links_are_read() {
    let text = "[it](x/y.md#z), [far](https://a.b), [here](#z)";
    assert_eq!(
        named_paths(
            "`kit/{host, jpeg}/a.rs --option` `docs/*.md` `kit` `a/kit/b` `tests/fuzz/corpus/x`"
        ),
        ["kit/host/a.rs", "kit/jpeg/a.rs", "docs"]
    );
    assert_eq!(link_targets(text), ["x/y.md"]);
    assert!(!is_there(
        "kit/none/src/lib.rs",
        &workspace().join("README.md")
    ));
}
