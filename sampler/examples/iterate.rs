//! Iterates over batches of crop pairs.
//!
//! ```text
//! cargo run --release -p sampler --example iterate -- shards/
//! ```

#![expect(clippy::print_stdout, reason = "it is to be read")]

use sampler::{Cursor, PairConfig, Sampler, SamplerConfig};

fn main() -> Result<(), sampler::Error> {
    let shards = std::env::args()
        .nth(1)
        .unwrap_or_else(|| "shards/".to_owned());
    let pair = PairConfig {
        min_iou: 0.5,
        ..PairConfig::default()
    };
    let config = SamplerConfig {
        batch: 4,
        seed: 1,
        pair,
        ..SamplerConfig::default()
    };
    let sampler = Sampler::open(shards.as_ref(), config)?;
    println!(
        "{} frames, {} steps an epoch",
        sampler.num_frames(),
        sampler.steps_per_epoch()
    );

    let mut batches = sampler.start(Cursor { epoch: 0, step: 0 })?;
    for batch in batches.by_ref().take(3) {
        let batch = batch?;
        let side = batch.output() as usize;
        let (first, second) = (batch.view(0), batch.view(1)); // RGB bytes, [4, 224, 224, 3] each
        assert_eq!(
            first.len() + second.len(),
            2 * batch.len() * side * side * 3
        );
        for pair in batch.pairs() {
            let [a, b] = pair.crops.map(|crop| crop.crop_in_frame);
            println!("frame {}: IoU {:.2}, {a:?} and {b:?}", pair.frame, pair.iou);
        }
    } // dropping a batch gives its memory back to the workers
    println!("to go on from here: {:?}", batches.cursor());
    Ok(())
}
