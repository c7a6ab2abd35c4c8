//! Which file of a crate imports which: a reader of `use` lines and qualified paths.
//!
//! A module is a file. `a` imports `b` when a `use` line or a path in `a`'s code leads into `b`: through
//! `crate::`, `super::`, `self::` or the name of a child. A name that leads to a re-export leads on to
//! where that comes from. A `pub use` is a front door, not an import. Tests inside a file do not count.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::tree::{files, text};

/// A module by the names from the crate's root to it; the root is empty.
pub(crate) type Module = Vec<String>;

/// What every module of a crate imports.
pub(crate) type Graph = BTreeMap<Module, BTreeSet<Module>>;

/// One path of a module's code, and whether a `pub use` re-exports it.
struct Import {
    path: Vec<String>,
    is_reexport: bool,
    is_public: bool,
}

/// The imports among the files of the crate whose source lies in `src`.
pub(crate) fn graph(src: &Path) -> Graph {
    let sources: BTreeMap<Module, String> = files(src, ".rs")
        .into_iter()
        .filter_map(|path| Some((module_of(src, &path)?, code_of(&text(&path)))))
        .collect();
    let modules: BTreeSet<Module> = sources.keys().cloned().collect();
    let imports: BTreeMap<&Module, Vec<Import>> = sources
        .iter()
        .map(|(module, code)| (module, imports_of(module, code, &modules)))
        .collect();
    // (module, name) -> where the name comes from.
    let mut doors: BTreeMap<(&Module, &str), &[String]> = BTreeMap::new();
    for (module, imports) in &imports {
        for import in imports.iter().filter(|import| import.is_reexport) {
            if let Some(name) = import.path.last() {
                doors.insert((module, name), &import.path);
            }
        }
    }
    let mut graph = Graph::new();
    for (module, imports) in &imports {
        for import in imports.iter().filter(|import| !import.is_public) {
            let target = resolve(&import.path, &modules, &doors, 0);
            if target != **module {
                graph.entry((*module).clone()).or_default().insert(target);
            }
        }
    }
    graph
}

/// The module that a file is; none for programs' roots and tests.
fn module_of(src: &Path, file: &Path) -> Option<Module> {
    let relative = file.strip_prefix(src).expect("it was found there");
    let mut names: Module = relative
        .with_extension("")
        .components()
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    match names.last().map(String::as_str) {
        Some("mod") => drop(names.pop()),
        Some("lib") if names.len() == 1 => names.clear(),
        Some("main") if names.len() == 1 => return None,
        Some("tests") => return None,
        _ => {}
    }
    Some(names)
}

/// A file's text without comments and without the tests at its end.
fn code_of(text: &str) -> String {
    let end = text.find("#[cfg(test)]\nmod tests {").unwrap_or(text.len());
    let lines = text[..end].lines();
    let code = lines.map(|line| line.split_once("//").map_or(line, |(code, _)| code));
    code.collect::<Vec<_>>().join("\n")
}

fn imports_of(module: &Module, code: &str, modules: &BTreeSet<Module>) -> Vec<Import> {
    let mut found = Vec::new();
    let mut rest = String::new();
    let mut statement: Option<String> = None;
    for line in code.lines() {
        let open = match statement.take() {
            Some(begun) => begun + " " + line.trim(),
            None if starts_use(line.trim_start()) => line.trim().to_owned(),
            None => {
                rest.push_str(line);
                rest.push('\n');
                continue;
            }
        };
        match open.split_once(';') {
            None => statement = Some(open),
            Some((whole, _)) => add_use(module, whole, modules, &mut found),
        }
    }
    add_paths(module, &rest, modules, &mut found);
    found
}

fn starts_use(line: &str) -> bool {
    line.starts_with("use ") || (line.starts_with("pub") && line.contains(" use "))
}

fn add_use(module: &Module, statement: &str, modules: &BTreeSet<Module>, found: &mut Vec<Import>) {
    let (visibility, tree) = statement.split_once("use ").expect("it starts a use");
    let visibility = visibility.trim();
    for path in expand(tree) {
        if let Some(path) = absolute(module, &path, modules) {
            found.push(Import {
                path,
                is_reexport: !visibility.is_empty(),
                is_public: visibility == "pub",
            });
        }
    }
}

/// `crate::…`, `super::…` and `child::…` outside of `use` lines.
fn add_paths(module: &Module, code: &str, modules: &BTreeSet<Module>, found: &mut Vec<Import>) {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut words = code
        .split(|c: char| !is_word(c) && c != ':')
        .filter(|word| word.contains("::"));
    for word in &mut words {
        let word = word.trim_matches(':');
        if word.contains("::")
            && let Some(path) = absolute(module, word, modules)
        {
            found.push(Import {
                path,
                is_reexport: false,
                is_public: false,
            });
        }
    }
}

/// The single paths of a tree of braces, without `as` names.
fn expand(tree: &str) -> Vec<String> {
    let tree = tree.trim();
    match tree.split_once('{') {
        None => {
            let path = tree.split(" as ").next().unwrap_or(tree);
            vec![path.trim().to_owned()]
        }
        Some((head, tail)) => {
            let inside = tail.trim_end().strip_suffix('}').unwrap_or(tail);
            let branches = split_at_commas(inside);
            branches
                .iter()
                .flat_map(|branch| expand(branch))
                .map(|path| format!("{}{path}", head.trim()))
                .collect()
        }
    }
}

/// The parts between the commas that stand in no inner braces.
fn split_at_commas(text: &str) -> Vec<&str> {
    let (mut parts, mut depth, mut start) = (Vec::new(), 0, 0);
    for (at, c) in text.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.retain(|part| !part.trim().is_empty());
    parts
}

/// A path from the crate's root, or none if it leads out of the crate.
fn absolute(module: &Module, path: &str, modules: &BTreeSet<Module>) -> Option<Vec<String>> {
    let mut parts: Vec<&str> = path.split("::").map(str::trim).collect();
    let mut base = module.clone();
    match parts[0] {
        "crate" => {
            base.clear();
            parts.remove(0);
        }
        "self" => drop(parts.remove(0)),
        "super" => {
            while parts.first() == Some(&"super") {
                base.pop();
                parts.remove(0);
            }
        }
        child => {
            let mut of_child = base.clone();
            of_child.push(child.to_owned());
            if !modules.contains(&of_child) {
                return None;
            }
        }
    }
    base.extend(parts.into_iter().map(str::to_owned));
    Some(base)
}

/// The module that a path leads into, through re-exports.
fn resolve(
    path: &[String],
    modules: &BTreeSet<Module>,
    doors: &BTreeMap<(&Module, &str), &[String]>,
    depth: u32,
) -> Module {
    let longest = (0..=path.len())
        .rev()
        .find(|&n| modules.contains(&path[..n]));
    let (module, rest) = path.split_at(longest.unwrap_or(0));
    let module = module.to_vec();
    let door = rest
        .first()
        .and_then(|name| doors.get(&(&module, name.as_str())));
    match door {
        // A name that is re-exported under its own name would lead round and round.
        Some(onward) if depth < 8 => {
            let onward = [onward, &rest[1..]].concat();
            resolve(&onward, modules, doors, depth + 1)
        }
        _ => module,
    }
}

#[test]
fn trees_of_braces_are_expanded() {
    assert_eq!(
        expand("crate::{a::{B, C as D}, e, self}"),
        ["crate::a::B", "crate::a::C", "crate::e", "crate::self"]
    );
}
