//! The build script of every package above `native`: its programs and tests find libtorch where
//! `native`'s build script found it.

#![allow(clippy::print_stdout, reason = "so a build script talks to cargo")]

pub(crate) fn main() {
    println!("cargo::rerun-if-env-changed=DEP_NATIVE_RUN_PATHS");
    let paths =
        std::env::var("DEP_NATIVE_RUN_PATHS").expect("`native` publishes where libtorch lies");
    for path in paths.split(':') {
        println!("cargo::rustc-link-arg=-Wl,-rpath,{path}");
    }
}
