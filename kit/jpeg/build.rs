//! Compiles the C files in `src` against the libjpeg-turbo that `turbojpeg-sys` built.
//!
//! Its static library holds libjpeg's own interface beside TurboJPEG's; the folder of the headers
//! comes as `DEP_TURBOJPEG_INCLUDE` (the `links` key of `turbojpeg-sys` is `turbojpeg`).

use std::env;

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    for file in ["reader.h", "reader.c", "decoder.c", "transcoder.c"] {
        println!("cargo:rerun-if-changed=src/{file}");
    }
    let include = env::var("DEP_TURBOJPEG_INCLUDE")
        .expect("turbojpeg-sys publishes the headers that it built");
    cc::Build::new()
        .std("c11")
        .extra_warnings(true)
        .includes(include.split(','))
        .files(["src/reader.c", "src/decoder.c", "src/transcoder.c"])
        .compile("kit_jpeg");
}
