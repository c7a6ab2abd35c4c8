//! Some rows of a crop, where they lie in the image.

/// Some rows of a crop: RGB triples.
#[derive(Clone, Copy, Debug)]
pub(super) struct Strip<'a> {
    /// From the first pixel of the first row on, to the end of the image.
    pub(super) rgb: &'a [u8],
    pub(super) stride: usize,
    pub(super) row_bytes: usize,
    pub(super) rows: usize,
}

impl<'a> Strip<'a> {
    /// Up to `max` rows from `first` on.
    pub(super) fn part(self, first: usize, max: usize) -> Self {
        Self {
            rgb: self.bytes_from(first),
            rows: max.min(self.rows - first),
            ..self
        }
    }

    /// Everything from the first pixel of row `row` on, to the end of the image.
    pub(super) fn bytes_from(self, row: usize) -> &'a [u8] {
        &self.rgb[row * self.stride..]
    }

    pub(super) fn rows(self) -> impl Iterator<Item = &'a [u8]> {
        (0..self.rows).map(move |row| &self.bytes_from(row)[..self.row_bytes])
    }

    /// Bytes from the first to the last that belong to a row.
    pub(super) fn len_bytes(self) -> usize {
        (self.rows - 1) * self.stride + self.row_bytes
    }
}
