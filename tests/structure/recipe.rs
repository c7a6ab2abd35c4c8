//! Every `RECIPE 2.1` in the tree is a section of docs/recipe.md.

use std::collections::BTreeSet;

use crate::tree::{files, text, workspace};

/// Numbers of the recipe's headings: `## 2. Crop pairs` and `### 2.1 One crop`.
fn sections(recipe: &str) -> BTreeSet<String> {
    let headings = recipe.lines().filter(|line| line.starts_with("##"));
    headings
        .filter_map(|line| {
            let number = line.trim_start_matches('#').split_whitespace().next()?;
            let number = number.trim_end_matches('.');
            number
                .starts_with(|c: char| c.is_ascii_digit())
                .then(|| number.to_owned())
        })
        .collect()
}

/// The numbers behind each `RECIPE`, lists such as `RECIPE 2.1, 2.3` included.
fn references(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, word) in text.match_indices("RECIPE ") {
        let list = text[at + word.len()..]
            .split(|c: char| !c.is_ascii_digit() && !matches!(c, '.' | ',' | ' '));
        let list = list.into_iter().next().unwrap_or_default();
        for number in list
            .split([',', ' '])
            .map(|number| number.trim_matches('.'))
        {
            if !number.is_empty() {
                found.push(number.to_owned());
            }
        }
    }
    found
}

#[test]
fn every_reference_to_the_recipe_resolves() {
    let sections = sections(&text(&workspace().join("docs/recipe.md")));
    let mut seen = 0;
    for ending in [".rs", ".py", ".toml", ".cpp", ".cu", ".c"] {
        for path in files(workspace(), ending) {
            // This file speaks of references that do not exist.
            if path.ends_with("structure/recipe.rs") {
                continue;
            }
            for number in references(&text(&path)) {
                seen += 1;
                assert!(
                    sections.contains(&number),
                    "{path:?} refers to RECIPE {number}, which docs/recipe.md lacks"
                );
            }
        }
    }
    assert!(seen > 40, "only {seen} references: is this reader broken?");
}

#[test]
fn references_and_headings_are_read() {
    assert_eq!(
        references("(RECIPE 2.1, 2.3; RECIPE 4) and RECIPE 3.6."),
        ["2.1", "2.3", "4", "3.6"]
    );
    let headings = sections("# The recipe\n## 2. Pairs\n### 2.1 One crop\n## Notes\n");
    assert_eq!(headings, ["2".to_owned(), "2.1".to_owned()].into());
}
