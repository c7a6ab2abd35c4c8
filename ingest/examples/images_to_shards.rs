//! Images in, shards out:
//!
//!     cargo run --release -p ingest --example images_to_shards -- PHOTOGRAPHS SHARDS

#![expect(clippy::print_stdout, reason = "an example shows what came of it")]

use std::env;
use std::error::Error;

use ingest::Request;
use ingest::source::Dataset;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let (Some(images), Some(shards)) = (arguments.next(), arguments.next()) else {
        return Err("give a folder or archive of images, and a folder for the shards".into());
    };
    let request = Request::new(Dataset::Images, vec![images.into()], shards);
    let summary = ingest::run(&request, &mut |_| {})?;
    println!("{summary}");
    Ok(())
}
