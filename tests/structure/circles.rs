//! No two files of a crate import each other, not even by way of others.

use std::fs;
use std::path::Path;

use crate::imports::{Graph, Module, graph};
use crate::tree::{packages, workspace};

/// A circle of modules, each importing the next and the last the first; none if there is none.
fn circle(graph: &Graph) -> Option<Vec<String>> {
    let mut done: Vec<&Module> = Vec::new();
    let mut path: Vec<&Module> = Vec::new();
    graph
        .keys()
        .find_map(|module| circle_from(module, graph, &mut path, &mut done))
}

fn circle_from<'a>(
    module: &'a Module,
    graph: &'a Graph,
    path: &mut Vec<&'a Module>,
    done: &mut Vec<&'a Module>,
) -> Option<Vec<String>> {
    if let Some(at) = path.iter().position(|seen| *seen == module) {
        let names = path[at..].iter().map(|module| match module.len() {
            0 => "lib".to_owned(),
            _ => module.join("::"),
        });
        return Some(names.collect());
    }
    if done.contains(&module) {
        return None;
    }
    path.push(module);
    let next = graph.get(module).into_iter().flatten();
    for imported in next {
        if let Some(found) = circle_from(imported, graph, path, done) {
            return Some(found);
        }
    }
    path.pop();
    done.push(module);
    None
}

#[test]
fn no_files_of_a_crate_import_each_other_in_a_circle() {
    let mut seen = 0;
    for package in packages() {
        let src = package.join("src");
        if !src.is_dir() {
            continue;
        }
        let graph = graph(&src);
        seen += graph.len();
        if let Some(circle) = circle(&graph) {
            let package = package.strip_prefix(workspace()).unwrap();
            panic!("{}: {}", package.display(), circle.join(" -> "));
        }
    }
    assert!(
        seen > 150,
        "only {seen} files import anything: is this reader broken?"
    );
}

/// A crate of one file for each of `files`.
fn planted(files: &[(&str, &str)]) -> Option<Vec<String>> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("."))).unwrap();
        fs::write(path, text).unwrap();
    }
    circle(&graph(dir.path()))
}

#[test]
fn planted_circles_are_found() {
    let long = planted(&[
        ("lib.rs", "mod a; mod b; mod c;"),
        ("a.rs", "use crate::b::B;"),
        ("b.rs", "use crate::{\n    c::{C, D},\n};"),
        ("c.rs", "fn f() { crate::a::g() }"),
    ]);
    assert_eq!(long.unwrap(), ["a", "b", "c"]);
    let parent_and_child = planted(&[
        ("lib.rs", "mod a;"),
        ("a/mod.rs", "mod child;\nfn f() { child::g() }"),
        ("a/child.rs", "use super::A;"),
    ]);
    assert_eq!(parent_and_child.unwrap(), ["a", "a::child"]);
    let through_the_front_door = planted(&[
        ("lib.rs", "mod a; mod b;\npub use b::B;"),
        ("a.rs", "use crate::B;"),
        ("b.rs", "use crate::a::A;"),
    ]);
    assert_eq!(through_the_front_door.unwrap(), ["a", "b"]);
}

#[test]
fn what_is_no_circle_is_none() {
    let found = planted(&[
        ("lib.rs", "mod a; mod b;\npub use a::A;"),
        (
            "a.rs",
            "use crate::b::B;\n// use crate::a::child::C;\nuse std::fs;",
        ),
        (
            "b.rs",
            "use crate::c::C;\n#[cfg(test)]\nmod tests {\n    use crate::a::A;\n}",
        ),
        ("c.rs", "pub use crate::a::A;"),
    ]);
    assert_eq!(found, None);
}
