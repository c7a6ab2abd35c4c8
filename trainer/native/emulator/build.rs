//! Compiles the emulator together with the kernels' source, and once more for each flaw that is put
//! into it, and lets the tests find libtorch.

#[path = "../run_paths.rs"]
mod run_paths;

mod flaws;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs};

fn main() {
    for input in [
        "build.rs",
        "flaws.rs",
        "cpp",
        "../cpp/kernels.cu",
        "../run_paths.rs",
    ] {
        println!("cargo::rerun-if-changed={input}");
    }
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    compile("kernels.cu", "trainer_emulate_kernels", &out);
    let source = fs::read_to_string("../cpp/kernels.cu").expect("the kernels' source");
    let (mut declarations, mut cases) = (String::new(), String::new());
    for (which, flaw) in flaws::FLAWS.iter().enumerate() {
        let places = source.matches(flaw.right).count();
        assert_eq!(places, 1, "{}: {:?} in kernels.cu", flaw.what, flaw.right);
        let (file, function) = (
            format!("flaw_{which}.cu"),
            format!("trainer_emulate_flaw_{which}"),
        );
        fs::write(out.join(&file), source.replace(flaw.right, flaw.wrong)).expect("writing");
        compile(&file, &function, &out);
        let _ = writeln!(
            declarations,
            "extern \"C\" char* {function}(int multiprocessors);"
        );
        let _ = writeln!(
            cases,
            "    case {which}: return {function}(multiprocessors);"
        );
    }
    let choice = format!(
        "{declarations}extern \"C\" char* trainer_emulate_flaw(int which, int multiprocessors) {{\n  switch (which) {{\n{cases}    default: return nullptr;\n  }}\n}}\n"
    );
    let names = flaws::FLAWS.map(|flaw| flaw.what).join(";");
    println!("cargo::rustc-env=FLAWS={names}");
    fs::write(out.join("flaws.cpp"), choice).expect("writing");
    cpp().file(out.join("flaws.cpp")).compile("trainer_flaws");
    run_paths::main();
}

/// `cpp/emulator.cpp` around the kernels of `source`; `function` puts them in place.
fn compile(source: &str, function: &str, out: &Path) {
    // Two copies need object files of two names.
    let wrapper = out.join(format!("{function}.cpp"));
    fs::write(&wrapper, "#include \"emulator.cpp\"\n").expect("writing");
    cpp()
        .define("SOURCE", format!("\"{source}\"").as_str())
        .define("EMULATE", function)
        .include("cpp")
        .include("../cpp")
        .include(out)
        // As on a GPU, a misaligned access of 16 bytes ends the program.
        .flag_if_supported("-fsanitize=alignment")
        .flag_if_supported("-fsanitize-undefined-trap-on-error")
        .flag("-ffp-contract=off")
        .file(wrapper)
        .compile(function);
}

fn cpp() -> cc::Build {
    let mut build = cc::Build::new();
    build.cpp(true).std("c++17").pic(true).warnings(false); // pragmas that only NVRTC knows
    build
}
