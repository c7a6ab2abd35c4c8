//! A quantity over time, as many points as a panel can show.

/// Rows that share a place of a panel.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// Mean place.
    pub(super) x: f64,
    /// Mean value.
    pub(super) mean: f64,
    /// Lowest value.
    pub(super) low: f64,
    /// Highest value.
    pub(super) high: f64,
}

/// Means and extremes of `values`, `(place, value)` in order, over at most `most` equal parts of
/// their range. Fewer values than that stay as they are.
pub(super) fn thinned(values: &[(f64, f64)], most: usize) -> Vec<Point> {
    let ([(first, _), ..], [.., (last, _)]) = (values, values) else {
        return Vec::new();
    };
    if values.len() <= most {
        return values.chunks(1).map(point_of).collect();
    }
    let part =
        |x: f64| ((x - first) / (last - first).max(f64::MIN_POSITIVE) * most as f64) as usize;
    let parts = values.chunk_by(|a, b| part(a.0).min(most - 1) == part(b.0).min(most - 1));
    parts.map(point_of).collect()
}

fn point_of(values: &[(f64, f64)]) -> Point {
    let mean =
        |of: fn(&(f64, f64)) -> f64| values.iter().map(of).sum::<f64>() / values.len() as f64;
    let all = || values.iter().map(|(_, value)| *value);
    Point {
        x: mean(|(x, _)| *x),
        mean: mean(|(_, value)| *value),
        low: all().fold(f64::INFINITY, f64::min),
        high: all().fold(f64::NEG_INFINITY, f64::max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_keep_their_mean_and_extremes() {
        let values: Vec<(f64, f64)> = (0..8)
            .map(|ix| (f64::from(ix), f64::from(ix % 2)))
            .collect();
        let points = thinned(&values, 2);
        assert_eq!(
            points,
            [1.5, 5.5].map(|x| Point {
                x,
                mean: 0.5,
                low: 0.0,
                high: 1.0
            })
        );
        assert_eq!(thinned(&values, 8).len(), 8);
        assert!(thinned(&[], 8).is_empty());
        let one_place = [(3.0, 1.0), (3.0, 2.0), (3.0, 6.0)];
        assert_eq!(
            thinned(&one_place, 2),
            [Point {
                x: 3.0,
                mean: 3.0,
                low: 1.0,
                high: 6.0
            }]
        );
    }
}
