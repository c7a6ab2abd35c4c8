//! Compiles `src/transcoder.c` against the libjpeg-turbo that `turbojpeg-sys` built.
//!
//! Its static library holds libjpeg's own interface beside TurboJPEG's; the folder of the headers
//! comes as `DEP_TURBOJPEG_INCLUDE` (the `links` key of `turbojpeg-sys` is `turbojpeg`).

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=src/transcoder.c");
    let include = env::var("DEP_TURBOJPEG_INCLUDE")
        .expect("turbojpeg-sys publishes the headers that it built");
    cc::Build::new()
        .std("c11")
        .extra_warnings(true)
        .includes(include.split(','))
        .file("src/transcoder.c")
        .compile("kit_jpeg_transcoder");
}
