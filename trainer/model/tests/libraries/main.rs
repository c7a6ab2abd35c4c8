//! Files that other libraries wrote: the backbone in them, or a refusal that names a tensor.
//!
//! `written.py` has the libraries write them, and says what is right.

#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use model::Network;
use model::files::safetensors;
use model::files::weights::Weights;
use tch::{Kind, Tensor};
use tempfile::TempDir;

/// The files of a library, if there is a Python that has it.
fn written(library: &str, modules: &str) -> Option<TempDir> {
    let python = testkit::python(&format!("torch, safetensors.torch, {modules}"))?;
    let dir = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/libraries/written.py");
    let mut command = Command::new(python);
    let done = command.arg(script).arg(library).arg(dir.path()).output();
    let done = done.unwrap();
    assert!(
        done.status.success(),
        "{}",
        String::from_utf8_lossy(&done.stderr)
    );
    Some(dir)
}

/// The files beside which there is one with this ending, and that one.
fn with_companion(dir: &TempDir, ending: &str) -> Vec<(PathBuf, PathBuf)> {
    let paths = fs::read_dir(dir)
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let companions = paths.filter(|path| path.extension().is_some_and(|found| found == ending));
    let mut found: Vec<_> = companions
        .map(|path| (path.with_extension(""), path))
        .collect();
    found.sort();
    found
}

/// Of a safetensors file, in single precision: halves have the same values there.
fn tensors(file: &Path) -> BTreeMap<String, Tensor> {
    let (_, tensors) = safetensors::read(file).unwrap();
    let single = |tensor: Tensor| match tensor.kind() {
        Kind::Int64 => tensor,
        _ => tensor.to_kind(Kind::Float),
    };
    let named = tensors
        .iter()
        .map(|tensor| (tensor.name.clone(), single(tensor.to_tensor().unwrap())));
    named.collect()
}

/// Reads every file that has a companion with this ending, which is what has to be read; returns how
/// many.
fn read_all(dir: &TempDir, ending: &str, network: Option<Network>) -> usize {
    let files = with_companion(dir, ending);
    for (file, expected) in &files {
        let weights = Weights::open(file, network).unwrap_or_else(|error| panic!("{error:#}"));
        let (read, expected) = (weights.tensors(), tensors(expected));
        assert!(read.keys().eq(expected.keys()), "{file:?}: names");
        for (name, tensor) in &expected {
            assert!(read[name] == *tensor, "{file:?}: {name}");
        }
    }
    files.len()
}

/// Tries every file that has to be refused; returns how many.
fn refuse_all(dir: &TempDir) -> usize {
    let files = with_companion(dir, "refused");
    for (file, tensor) in &files {
        let tensor = fs::read_to_string(tensor).unwrap();
        let error = Weights::open(file, None).err();
        let line = format!("{:#}", error.unwrap_or_else(|| panic!("{file:?} is read")));
        let name = file.file_name().unwrap().to_str().unwrap();
        assert!(
            line.contains(&tensor) && line.contains(name) && !line.contains('\n'),
            "{line}"
        );
    }
    files.len()
}

#[test]
fn torchvisions_resnets_are_read_in_both_containers() {
    let Some(dir) = written("torchvision", "torchvision") else {
        return;
    };
    assert_eq!(read_all(&dir, "expected", None), 8);
    assert_eq!(refuse_all(&dir), 2);
    for (file, arch) in [
        ("resnet34.pth", "resnet34"),
        ("wide_resnet50_2.pth", "wide_resnet50_2"),
    ] {
        let weights = Weights::open(&dir.path().join(file), None).unwrap();
        assert_eq!(weights.model.arch.name(), arch);
    }
}

#[test]
fn timms_resnets_are_read_and_its_variants_refused() {
    let Some(dir) = written("timm", "timm") else {
        return;
    };
    assert_eq!(read_all(&dir, "expected", None), 3);
    assert_eq!(refuse_all(&dir), 8);
}

#[test]
fn lightlys_checkpoints_are_read_network_by_network() {
    let Some(dir) = written("lightly", "torchvision, lightly.models.modules") else {
        return;
    };
    assert_eq!(read_all(&dir, "expected", None), 6);
    assert_eq!(read_all(&dir, "target", Some(Network::Target)), 3);
    assert_eq!(read_all(&dir, "online", Some(Network::Online)), 1);
}
