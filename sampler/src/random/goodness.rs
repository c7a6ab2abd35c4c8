//! How well numbers fit a distribution: what the tests of random draws compare with a quantile.
//!
//! Draws are named by fixed streams, so a test that has passed once passes always; its quantile
//! says how likely a right generator would have been to fail it.

/// Chi-square statistic of `counts` against equal probabilities; the degrees of freedom are one
/// less than the counts.
pub(crate) fn chi_square(counts: &[u32]) -> f64 {
    let expected = f64::from(counts.iter().sum::<u32>()) / counts.len() as f64;
    counts
        .iter()
        .map(|&count| (f64::from(count) - expected).powi(2) / expected)
        .sum()
}

/// Kolmogorov–Smirnov distance of `values` from the uniform distribution on `low..high`.
pub(crate) fn ks_distance(mut values: Vec<f64>, low: f64, high: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let n = values.len() as f64;
    let gap = |(ix, value): (usize, &f64)| {
        let expected = (value - low) / (high - low);
        (expected - ix as f64 / n)
            .abs()
            .max((expected - (ix + 1) as f64 / n).abs())
    };
    values.iter().enumerate().map(gap).fold(0.0, f64::max)
}

/// The distance that a sample of `count` uniform values exceeds once in a thousand times.
pub(crate) fn ks_limit(count: usize) -> f64 {
    1.95 / (count as f64).sqrt()
}
