//! Pixels of a JPEG: grey, RGB or inks in 8 bits, rows without gaps.
//!
//! `header` is that of `jpeg` everywhere. The layouts are [`Layout::Grey`], for grey files, and
//! [`Layout::Rgb`].
#![expect(unsafe_code, reason = "libjpeg has a C interface")]

use std::ffi::c_int;

use crate::defect::Result;
use crate::header::Header;
use crate::raster::Layout;
use crate::reader::{Reader, State};

mod ffi {
    use super::{State, c_int};

    unsafe extern "C" {
        pub(super) fn kit_reader_decode(
            reader: *mut State,
            samples: *mut u8,
            len: usize,
            channels: c_int,
            sample_bytes: c_int,
        ) -> c_int;
        pub(super) fn kit_reader_check(reader: *mut State) -> c_int;
    }
}

/// Decodes a file of 8 bits that is not CMYK.
///
/// # Errors
/// If it is damaged.
pub(crate) fn decode(jpeg: &[u8], header: &Header, layout: Layout) -> Result<Vec<u8>> {
    samples(jpeg, header, channels(layout))
}

/// Decodes a file of 9 to 16 bits, rounding down.
///
/// # Errors
/// If it is damaged.
pub(crate) fn decode_deep(jpeg: &[u8], header: &Header, layout: Layout) -> Result<Vec<u8>> {
    let samples: Vec<u16> = samples(jpeg, header, channels(layout))?;
    let upper = |sample: u16| (sample >> (header.bits - 8)) as u8;
    Ok(samples.into_iter().map(upper).collect())
}

/// Decodes a CMYK or YCCK file of 8 bits to four interleaved samples a pixel, as stored.
///
/// # Errors
/// If it is damaged.
pub(crate) fn decode_inks(jpeg: &[u8], header: &Header) -> Result<Vec<u8>> {
    samples(jpeg, header, 4)
}

/// Decodes a file of 8 bits and throws its pixels away.
///
/// # Errors
/// If it is damaged.
pub(crate) fn check(jpeg: &[u8]) -> Result<()> {
    let mut reader = Reader::open(jpeg)?;
    // SAFETY: the reader is open.
    let code = unsafe { ffi::kit_reader_check(reader.state()) };
    reader.check(code)
}

/// All samples of a file: `T` is `u8` for files of up to 8 bits, `u16` for others.
fn samples<T: Copy + Default>(jpeg: &[u8], header: &Header, channels: usize) -> Result<Vec<T>> {
    let mut reader = Reader::open(jpeg)?;
    let mut samples = vec![T::default(); header.size.area() as usize * channels];
    // SAFETY: the callee writes integers of `size_of::<T>()` bytes, and no more bytes than the
    // samples have.
    let code = unsafe {
        ffi::kit_reader_decode(
            reader.state(),
            samples.as_mut_ptr().cast(),
            size_of_val(samples.as_slice()),
            channels as c_int,
            size_of::<T>() as c_int,
        )
    };
    reader.check(code)?;
    Ok(samples)
}

fn channels(layout: Layout) -> usize {
    if layout == Layout::Grey { 1 } else { 3 }
}
