//! Compiles the emulator together with the kernels' source, and lets the tests find libtorch.

#[path = "../run_paths.rs"]
mod run_paths;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=cpp");
    println!("cargo::rerun-if-changed=../cpp/kernels.cu");
    cc::Build::new()
        .cpp(true)
        .std("c++17")
        .pic(true)
        .warnings(false) // pragmas that only NVRTC knows
        .include("../cpp")
        .file("cpp/emulator.cpp")
        .compile("trainer_emulator");
    run_paths::main();
}
