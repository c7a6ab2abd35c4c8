//! Who may import whom among the crates (ARCHITECTURE.md, "Floors").

use std::collections::{BTreeMap, BTreeSet};

use toml::Table;

use crate::tree::{packages, text, workspace};

/// Floors from the bottom up: a package imports from floors below its own, and from its own floor only
/// what stands before it. `ingest` stands on the top floor, so nobody imports it.
const FLOORS: [&[&str]; 6] = [
    &[
        "workspace-hack",
        "kit-host",
        "kit-console",
        "schemas",
        "kit-draw",
        "kit-jpeg",
        "scenes",
    ],
    &["sampler", "native"],
    &["model"],
    &["eval"],
    &["trainer"],
    &["ingest"],
];
/// Packages that only tests use; they may import anything, and no product may import them.
const FOR_TESTS: [&str; 5] = [
    "kit-testkit",
    "native-emulator",
    "workspace-tests",
    "fuzz",
    "fuzz-weights",
];
/// The packages that link libtorch.
const WITH_LIBTORCH: [&str; 4] = ["native", "model", "eval", "trainer"];

/// A package: what its library and programs import.
struct Package {
    name: String,
    imports: BTreeSet<String>,
}

fn place(name: &str) -> Option<(usize, usize)> {
    let on_floor = |floor: &&[&str]| floor.iter().position(|package| *package == name);
    let floor = FLOORS.iter().position(|floor| on_floor(floor).is_some())?;
    Some((floor, on_floor(&FLOORS[floor])?))
}

/// What is wrong with the imports of `package`, in one line each.
fn wrong(package: &Package, ours: &BTreeSet<String>) -> Vec<String> {
    let name = &package.name;
    if FOR_TESTS.contains(&name.as_str()) {
        return Vec::new();
    }
    let Some(own) = place(name) else {
        return vec![format!("{name} stands on no floor")];
    };
    let mut found = Vec::new();
    for import in package.imports.intersection(ours) {
        match place(import) {
            Some(other) if other < own && import != "ingest" => {}
            _ => found.push(format!("{name} imports {import}")),
        }
    }
    let torch = ["tch", "torch-sys"];
    if torch.iter().any(|torch| package.imports.contains(*torch))
        && !WITH_LIBTORCH.contains(&name.as_str())
    {
        found.push(format!("{name} links libtorch"));
    }
    found
}

/// The package that a manifest describes; `real` gives the package of a workspace dependency's name.
fn package(manifest: &Table, real: &BTreeMap<String, String>) -> Package {
    let mut imports = BTreeSet::new();
    let dependencies = manifest.get("dependencies").and_then(|t| t.as_table());
    for (name, how) in dependencies.into_iter().flatten() {
        let renamed = how.get("package").and_then(|name| name.as_str());
        let known = real.get(name).map(String::as_str);
        imports.insert(renamed.or(known).unwrap_or(name).to_owned());
    }
    let name = manifest["package"]["name"].as_str().expect("a name");
    Package {
        name: name.to_owned(),
        imports,
    }
}

/// Names of `[workspace.dependencies]` that stand for a package of another name.
fn renamed() -> BTreeMap<String, String> {
    let root: Table = text(&workspace().join("Cargo.toml")).parse().unwrap();
    let shared = root["workspace"]["dependencies"].as_table().unwrap();
    let entries = shared.iter();
    entries
        .filter_map(|(name, how)| {
            let package = how.get("package")?.as_str()?;
            Some((name.clone(), package.to_owned()))
        })
        .collect()
}

fn all() -> Vec<Package> {
    let real = renamed();
    packages()
        .iter()
        .map(|folder| {
            let manifest: Table = text(&folder.join("Cargo.toml")).parse().unwrap();
            package(&manifest, &real)
        })
        .collect()
}

#[test]
fn crates_import_only_from_floors_below() {
    let packages = all();
    let ours: BTreeSet<String> = packages
        .iter()
        .map(|package| package.name.clone())
        .collect();
    for name in FLOORS.concat() {
        assert!(
            ours.contains(name),
            "{name} is on a floor, but there is no such package"
        );
    }
    let found: Vec<String> = packages
        .iter()
        .flat_map(|package| wrong(package, &ours))
        .collect();
    assert!(found.is_empty(), "{found:#?}");
}

#[test]
fn planted_upward_imports_are_found() {
    let ours = ["sampler", "ingest", "model", "kit-testkit", "native"];
    let ours = ours.map(str::to_owned).into();
    let planted = |text: &str| wrong(&package(&text.parse().unwrap(), &renamed()), &ours);
    assert_eq!(
        planted("package.name = 'sampler'\n[dependencies]\nmodel.workspace = true\ntch = '1'"),
        ["sampler imports model", "sampler links libtorch"]
    );
    assert_eq!(
        planted("package.name = 'trainer'\n[dependencies]\nx = { package = 'ingest', path = '' }"),
        ["trainer imports ingest"]
    );
    assert_eq!(
        planted(
            "package.name = 'model'\n[dependencies]\ntestkit.workspace = true\nsampler.path = ''"
        ),
        ["model imports kit-testkit"]
    );
    assert_eq!(
        planted("package.name = 'attic'\n[dependencies]"),
        ["attic stands on no floor"]
    );
}
