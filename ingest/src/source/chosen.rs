//! Some of the items of a listing or an archive, in its order: runs of neighbours cost as much as
//! one item.

/// Chosen items. An item is named by its number in the whole, its place is the one among the
/// chosen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Chosen {
    runs: Vec<Run>,
    len: u64,
}

/// Neighbours in the whole, whose paths begin with `above` bytes that the input's name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Run {
    place: u64,
    ix: u64,
    above: usize,
}

impl Chosen {
    /// All of `len` items.
    pub(super) fn all(len: u64) -> Self {
        (0..len).map(|ix| (ix, 0)).collect()
    }

    /// Appends item `ix`; the input's name stands for the first `above` bytes of its path.
    pub(super) fn push(&mut self, ix: u64, above: usize) {
        let place = self.len;
        let follows = |run: &Run| run.above == above && run.ix + (place - run.place) == ix;
        if !self.runs.last().is_some_and(follows) {
            self.runs.push(Run { place, ix, above });
        }
        self.len += 1;
    }

    /// Number of items.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// The item at `place`, and how many bytes of its path the input's name stands for.
    pub(super) fn get(&self, place: u64) -> (u64, usize) {
        let run = self.runs[self.runs.partition_point(|run| run.place <= place) - 1];
        (run.ix + (place - run.place), run.above)
    }

    /// Whether item `ix` is among them, if they were pushed in ascending order.
    pub(super) fn contains(&self, ix: u64) -> bool {
        let at = self.runs.partition_point(|run| run.ix <= ix);
        let run = at.checked_sub(1).map(|at| self.runs[at]);
        let place = run.map(|run| run.place + (ix - run.ix));
        place.is_some_and(|place| place < self.len && self.get(place).0 == ix)
    }

    /// All items.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u64, usize)> + '_ {
        (0..self.len).map(|place| self.get(place))
    }

    /// Those for which `keeps` holds.
    pub(super) fn filtered(&self, mut keeps: impl FnMut(u64) -> bool) -> Self {
        self.iter().filter(|&(ix, _)| keeps(ix)).collect()
    }
}

impl FromIterator<(u64, usize)> for Chosen {
    fn from_iter<I: IntoIterator<Item = (u64, usize)>>(items: I) -> Self {
        let mut chosen = Self::default();
        items
            .into_iter()
            .for_each(|(ix, above)| chosen.push(ix, above));
        chosen
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_are_one_run_and_every_item_is_found() {
        let all = Chosen::all(1000);
        assert_eq!((all.runs.len(), all.len()), (1, 1000));
        let items = [(0, 0), (1, 0), (2, 3), (3, 3), (7, 3), (9, 0)];
        let chosen = Chosen::from_iter(items);
        assert_eq!(chosen.iter().collect::<Vec<_>>(), items);
        assert_eq!(chosen.runs.len(), 4);
        let found: Vec<u64> = (0..12).filter(|&ix| chosen.contains(ix)).collect();
        assert_eq!(found, [0, 1, 2, 3, 7, 9]);
        let even = chosen.filtered(|ix| ix % 2 == 0);
        assert_eq!(even.iter().collect::<Vec<_>>(), [(0, 0), (2, 3)]);
        assert_eq!(Chosen::default().iter().next(), None);
    }
}
