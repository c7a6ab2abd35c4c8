//! Compiles `cpp/` against the libtorch that `torch-sys` found, and says where binaries find it
//! again.
//!
//! `torch-sys` publishes its library folder as `DEP_TCH_LIBTORCH_LIB` (its `links` key is `tch`);
//! the headers lie beside it. Two run paths go into every binary: the folder itself, and, when that
//! lies inside the workspace, the same folder relative to the binary, so that a copied tree still
//! runs. Cargo gives link arguments to the binaries of this package alone, so the paths are
//! published: `run_paths.rs`, the build script of the packages above, passes them on.

use std::env;
use std::path::{Path, PathBuf};

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=cpp");
    let lib = PathBuf::from(
        env::var("DEP_TCH_LIBTORCH_LIB").expect("torch-sys publishes libtorch's folder"),
    );
    compile(&lib);
    // PyTorch's packages bring an assembler, which a test looks for.
    println!(
        "cargo::rustc-env=PTXAS={}",
        lib.join("../bin/ptxas").display()
    );
    let paths = run_paths(&lib);
    for path in &paths {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{path}");
    }
    println!("cargo::metadata=RUN_PATHS={}", paths.join(":"));
}

/// Static library `trainer_native`: C++17, the same ABI switch as `torch-sys`.
fn compile(lib: &Path) {
    println!("cargo::rerun-if-env-changed=LIBTORCH_INCLUDE");
    println!("cargo::rerun-if-env-changed=LIBTORCH_CXX11_ABI");
    let include = match env::var_os("LIBTORCH_INCLUDE") {
        Some(root) => PathBuf::from(root).join("include"),
        None => lib.join("../include"),
    };
    let abi = env::var("LIBTORCH_CXX11_ABI").unwrap_or_else(|_| "1".to_owned());
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .pic(true)
        .warnings(false) // libtorch's headers are not ours to clean
        .include("cpp/include")
        .include(include.join("torch/csrc/api/include"))
        .include(include)
        .define("_GLIBCXX_USE_CXX11_ABI", abi.as_str())
        .files(
            ["native", "fused", "norm", "join", "group", "gradients"]
                .map(|name| format!("cpp/{name}.cpp")),
        )
        .compile("trainer_native");
}

/// Where the libraries that a binary loads may lie.
fn run_paths(lib: &Path) -> Vec<String> {
    let mut paths = vec![lib.display().to_string()];
    // NVRTC, in the packages of PyPI.
    if let Ok(nvidia) = lib.join("../../nvidia/cu13/lib").canonicalize() {
        paths.push(nvidia.display().to_string());
    }
    paths.extend(relative_run_paths(lib));
    paths
}

/// `$ORIGIN`-relative run paths of a binary in `target/PROFILE/` and of a test in
/// `target/PROFILE/deps/`.
fn relative_run_paths(lib: &Path) -> Vec<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let inside = workspace
        .canonicalize()
        .ok()
        .and_then(|root| lib.strip_prefix(root).ok().map(Path::to_path_buf));
    match inside {
        Some(inside) => ["../..", "../../.."]
            .iter()
            .map(|up| format!("$ORIGIN/{up}/{}", inside.display()))
            .collect(),
        None => Vec::new(),
    }
}
