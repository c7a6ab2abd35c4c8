//! A random choice of some of many.

use sampler::random::rng::Stream;

/// `count` of `items`, or all if there are fewer; every item is as likely to be chosen. In no
/// particular order.
pub(super) fn choose<T>(
    items: impl Iterator<Item = T>,
    count: usize,
    stream: &mut Stream,
) -> Vec<T> {
    let mut chosen = Vec::new();
    // Reservoir sampling (Vitter's algorithm R): item n stays with a probability of count / n.
    for (num_before, item) in items.enumerate() {
        if chosen.len() < count {
            chosen.push(item);
            continue;
        }
        let place = stream.below(num_before as u64 + 1) as usize;
        if let Some(place) = chosen.get_mut(place) {
            *place = item;
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use sampler::random::rng::Purpose;

    use super::*;

    #[test]
    fn every_item_is_chosen_as_often_and_none_twice() {
        const DRAWS: u32 = 20_000;
        let mut stream = Stream::new(7, 0, Purpose::Order, 0, 0);
        let mut counts = [0u32; 10];
        for _ in 0..DRAWS {
            let mut chosen = choose(0..10, 3, &mut stream);
            chosen.sort_unstable();
            chosen.dedup();
            assert_eq!(chosen.len(), 3);
            for item in chosen {
                counts[item] += 1;
            }
        }
        // Six standard deviations.
        let expected = f64::from(DRAWS) * 0.3;
        let most_off = 6.0 * (expected * 0.7).sqrt();
        assert!(
            counts
                .iter()
                .all(|&count| (f64::from(count) - expected).abs() < most_off),
            "{counts:?}"
        );
        assert_eq!(choose(0..2, 3, &mut stream), [0, 1]);
    }
}
