//! One view as three planes of bytes: what every operation between the resize and the slot works
//! on.
//!
//! Planes instead of RGB triples, because then a vector register holds one channel of neighbouring
//! pixels, and only these two reorder channels: [`deinterleave`] fills planes from a row of triples, [`interleave`] writes them back, mirrored if asked: that is where the horizontal flip
//! happens, for free. As floats, planes stay planes.

use schemas::imagenet::{MEAN, STD};

use crate::pixels::simd::{Simd, kernel};

/// Where a finished view goes, and as what.
#[derive(Debug)]
pub enum Out<'a> {
    /// RGB bytes, `[side, side, 3]`.
    Bytes(&'a mut [u8]),
    /// `(byte / 255 - MEAN) / STD`, `[3, side, side]`.
    Floats(&'a mut [f32]),
}

impl Out<'_> {
    /// The same place, borrowed again.
    pub(crate) fn reborrow(&mut self) -> Out<'_> {
        match self {
            Self::Bytes(rgb) => Out::Bytes(rgb),
            Self::Floats(values) => Out::Floats(values),
        }
    }
}

/// A `side` × `side` view; row-major planes in the order red, green, blue.
#[derive(Clone, Debug)]
pub struct Planes {
    side: usize,
    bytes: Vec<u8>,
}

impl Planes {
    /// A black view.
    pub fn new(side: usize) -> Self {
        Self {
            side,
            bytes: vec![0; 3 * side * side],
        }
    }

    /// Width and height in pixels.
    pub(crate) fn side(&self) -> usize {
        self.side
    }

    /// Red, green and blue, `side * side` bytes each.
    pub(crate) fn split_mut(&mut self) -> [&mut [u8]; 3] {
        let area = self.side * self.side;
        let (red, rest) = self.bytes.split_at_mut(area);
        let (green, blue) = rest.split_at_mut(area);
        [red, green, blue]
    }

    /// Red, green and blue, `side * side` bytes each.
    pub(crate) fn split(&self) -> [&[u8]; 3] {
        let area = self.side * self.side;
        [
            &self.bytes[..area],
            &self.bytes[area..2 * area],
            &self.bytes[2 * area..],
        ]
    }

    /// Fills the view from row-major RGB triples.
    ///
    /// # Panics
    ///
    /// If `rgb` is not `3 * side * side` bytes.
    pub fn load(&mut self, simd: Simd, rgb: &[u8]) {
        assert_eq!(
            rgb.len(),
            3 * self.side * self.side,
            "a view of {0}x{0} RGB pixels",
            self.side
        );
        let [red, green, blue] = self.split_mut();
        deinterleave(simd, rgb, red, green, blue);
    }

    /// Writes the view, each row from right to left if `flip`.
    ///
    /// # Panics
    ///
    /// If `out` does not hold `3 * side * side` values.
    pub fn store(&self, simd: Simd, flip: bool, out: Out<'_>) {
        store(simd, self.split(), self.side, flip, out);
    }

    /// As [`store`](Self::store) for a view whose channels are all equal to the first, which alone
    /// is read.
    pub(super) fn store_grey(&self, simd: Simd, flip: bool, out: Out<'_>) {
        let [grey, ..] = self.split();
        store(simd, [grey; 3], self.side, flip, out);
    }
}

fn store(simd: Simd, planes: [&[u8]; 3], side: usize, flip: bool, out: Out<'_>) {
    let [red, green, blue] = planes;
    let expected = 3 * side * side;
    match out {
        Out::Bytes(rgb) => {
            assert_eq!(rgb.len(), expected, "a view of {side}x{side} RGB pixels");
            if flip {
                interleave_mirrored(simd, side, red, green, blue, rgb);
            } else {
                interleave(simd, red, green, blue, rgb);
            }
        }
        Out::Floats(values) => {
            assert_eq!(values.len(), expected, "a view of {side}x{side} RGB pixels");
            for (channel, (plane, values)) in planes
                .into_iter()
                .zip(values.chunks_exact_mut(side * side))
                .enumerate()
            {
                let (scale, shift) = (1.0 / (255.0 * STD[channel]), -MEAN[channel] / STD[channel]);
                if flip {
                    normalize_mirrored(simd, side, plane, scale, shift, values);
                } else {
                    normalize(simd, plane, scale, shift, values);
                }
            }
        }
    }
}

kernel! {
    /// `values := scale · plane + shift`.
    fn normalize(plane: &[u8], scale: f32, shift: f32, values: &mut [f32]) = normalize_body
}

#[inline(always)]
fn normalize_body(plane: &[u8], scale: f32, shift: f32, values: &mut [f32]) {
    for (value, &byte) in values.iter_mut().zip(plane) {
        *value = f32::from(byte) * scale + shift;
    }
}

kernel! {
    /// As `normalize`, for rows of `side` pixels, every one mirrored.
    fn normalize_mirrored(side: usize, plane: &[u8], scale: f32, shift: f32, values: &mut [f32]) = normalize_mirrored_body
}

#[inline(always)]
fn normalize_mirrored_body(side: usize, plane: &[u8], scale: f32, shift: f32, values: &mut [f32]) {
    for (values, row) in values.chunks_exact_mut(side).zip(plane.chunks_exact(side)) {
        for (value, &byte) in values.iter_mut().rev().zip(row) {
            *value = f32::from(byte) * scale + shift;
        }
    }
}

kernel! {
    /// Splits RGB triples into planes of as many bytes as there are triples.
    pub(crate) fn deinterleave(rgb: &[u8], red: &mut [u8], green: &mut [u8], blue: &mut [u8]) = deinterleave_body
}

#[inline(always)]
fn deinterleave_body(rgb: &[u8], red: &mut [u8], green: &mut [u8], blue: &mut [u8]) {
    let (triples, _) = rgb.as_chunks::<3>();
    for (((triple, red), green), blue) in triples.iter().zip(red).zip(green).zip(blue) {
        [*red, *green, *blue] = *triple;
    }
}

kernel! {
    /// Joins planes into RGB triples.
    fn interleave(red: &[u8], green: &[u8], blue: &[u8], rgb: &mut [u8]) = interleave_body
}

#[inline(always)]
fn interleave_body(red: &[u8], green: &[u8], blue: &[u8], rgb: &mut [u8]) {
    let (triples, _) = rgb.as_chunks_mut::<3>();
    for (((triple, &red), &green), &blue) in triples.iter_mut().zip(red).zip(green).zip(blue) {
        *triple = [red, green, blue];
    }
}

kernel! {
    /// Joins planes of rows of `side` pixels into RGB triples, every row mirrored.
    fn interleave_mirrored(side: usize, red: &[u8], green: &[u8], blue: &[u8], rgb: &mut [u8]) = interleave_mirrored_body
}

#[inline(always)]
fn interleave_mirrored_body(side: usize, red: &[u8], green: &[u8], blue: &[u8], rgb: &mut [u8]) {
    let rows = red
        .chunks_exact(side)
        .zip(green.chunks_exact(side))
        .zip(blue.chunks_exact(side));
    for (out, ((red, green), blue)) in rgb.chunks_exact_mut(3 * side).zip(rows) {
        let (triples, _) = out.as_chunks_mut::<3>();
        for (((triple, &red), &green), &blue) in
            triples.iter_mut().rev().zip(red).zip(green).zip(blue)
        {
            *triple = [red, green, blue];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn load_then_store_is_identity_and_flip_mirrors_rows() {
        for side in [1, 2, 15, 16, 17, 63, 64, 65, 100, 224] {
            let rgb: Vec<u8> = (0..3 * side * side)
                .map(|i| (i * 7 + i / 251) as u8)
                .collect();
            for simd in Simd::available() {
                let mut planes = Planes::new(side);
                planes.load(simd, &rgb);
                assert!(
                    (0..side * side)
                        .all(|i| planes.split().map(|plane| plane[i]) == rgb[3 * i..3 * i + 3])
                );
                let mut out = vec![0; rgb.len()];
                planes.store(simd, false, Out::Bytes(&mut out));
                assert_eq!(out, rgb);
                planes.store(simd, true, Out::Bytes(&mut out));
                for (row, mirrored) in rgb.chunks(3 * side).zip(out.chunks(3 * side)) {
                    assert!(
                        (0..side).all(|x| row[3 * x..3 * x + 3]
                            == mirrored[3 * (side - 1 - x)..3 * (side - x)])
                    );
                }
            }
        }
    }

    #[test]
    fn floats_are_the_normalised_bytes_channel_after_channel() {
        let side = 37;
        let rgb: Vec<u8> = (0..3 * side * side)
            .map(|i| (i * 11 + i / 97) as u8)
            .collect();
        for (simd, flip) in Simd::available().flat_map(|simd| [(simd, false), (simd, true)]) {
            let mut planes = Planes::new(side);
            planes.load(simd, &rgb);
            let (mut bytes, mut floats) = (vec![0; rgb.len()], vec![0.0; rgb.len()]);
            planes.store(simd, flip, Out::Bytes(&mut bytes));
            planes.store(simd, flip, Out::Floats(&mut floats));
            for (ix, &byte) in bytes.iter().enumerate() {
                let (pixel, channel) = (ix / 3, ix % 3);
                let expected = (f32::from(byte) / 255.0 - MEAN[channel]) / STD[channel];
                assert!((floats[channel * side * side + pixel] - expected).abs() < 1e-6);
            }
        }
    }
}
