//! Pixels of a JPEG, through TurboJPEG: grey or RGB in 8 bits, rows without gaps.
//!
//! `header` is that of `jpeg` everywhere. The layouts are [`Layout::Grey`], for grey files or to see
//! the luma only, and [`Layout::Rgb`].
#![expect(unsafe_code, reason = "libjpeg-turbo has a C interface")]

use std::ffi::c_int;

use turbojpeg_sys as tj;

use crate::defect::Result;
use crate::handle::Handle;
use crate::header::Header;
use crate::raster::Layout;

/// Reduction while decoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scale {
    /// All pixels.
    Full,
    /// Half the width and height, rounded up, by a 4 × 4 inverse DCT of each block.
    Half,
}

/// Decodes a file of 8 bits that is not CMYK.
///
/// # Errors
/// If the decoder fails or warns.
pub(crate) fn decode(
    jpeg: &[u8],
    header: &Header,
    layout: Layout,
    scale: Scale,
) -> Result<Vec<u8>> {
    let (size, denom) = match scale {
        Scale::Full => (header.size, 1),
        Scale::Half => (header.size.at_level(1), 2),
    };
    let mut decoder = Handle::to_decode();
    let factor = tj::tjscalingfactor { num: 1, denom };
    // SAFETY: the instance is alive; 1/1 and 1/2 are supported factors.
    let code = unsafe { tj::tj3SetScalingFactor(decoder.raw(), factor) };
    assert_eq!(code, 0, "TurboJPEG scales by 1/{denom}");
    let mut samples = vec![0; size.area() as usize * channels(layout)];
    let pitch = size.width as c_int * channels(layout) as c_int;
    // SAFETY: `samples` holds a byte for every channel of every pixel of the scaled size, rows
    // without gaps.
    let code = unsafe {
        tj::tj3Decompress8(
            decoder.raw(),
            jpeg.as_ptr(),
            jpeg.len() as _,
            samples.as_mut_ptr(),
            pitch,
            pixel_format(layout),
        )
    };
    decoder.check(code)?;
    Ok(samples)
}

/// Decodes a file of 9 to 16 bits, rounding down.
///
/// # Errors
/// If the decoder fails or warns.
pub(crate) fn decode_deep(jpeg: &[u8], header: &Header, layout: Layout) -> Result<Vec<u8>> {
    let mut samples = vec![0u16; header.size.area() as usize * channels(layout)];
    let pitch = header.size.width as c_int * channels(layout) as c_int;
    let (format, len) = (pixel_format(layout), jpeg.len() as _);
    let mut decoder = Handle::to_decode();
    // SAFETY: `samples` holds a 16-bit sample for every channel of every pixel, rows without gaps;
    // the signed samples of the 12-bit call are never negative.
    let code = unsafe {
        if header.bits <= 12 {
            tj::tj3Decompress12(
                decoder.raw(),
                jpeg.as_ptr(),
                len,
                samples.as_mut_ptr().cast(),
                pitch,
                format,
            )
        } else {
            tj::tj3Decompress16(
                decoder.raw(),
                jpeg.as_ptr(),
                len,
                samples.as_mut_ptr(),
                pitch,
                format,
            )
        }
    };
    decoder.check(code)?;
    Ok(samples
        .into_iter()
        .map(|sample| (sample >> (header.bits - 8)) as u8)
        .collect())
}

/// Decodes a CMYK or YCCK file of 8 bits to four interleaved samples a pixel, as stored (Adobe
/// stores them inverted).
///
/// # Errors
/// If the decoder fails or warns.
pub(crate) fn decode_inks(jpeg: &[u8], header: &Header) -> Result<Vec<u8>> {
    let mut samples = vec![0; header.size.area() as usize * 4];
    let (pitch, format) = (
        (header.size.width * 4) as c_int,
        tj::TJPF_TJPF_CMYK as c_int,
    );
    let mut decoder = Handle::to_decode();
    // SAFETY: `samples` holds four bytes for every pixel, rows without gaps.
    let code = unsafe {
        tj::tj3Decompress8(
            decoder.raw(),
            jpeg.as_ptr(),
            jpeg.len() as _,
            samples.as_mut_ptr(),
            pitch,
            format,
        )
    };
    decoder.check(code)?;
    Ok(samples)
}

fn channels(layout: Layout) -> usize {
    if layout == Layout::Grey { 1 } else { 3 }
}

fn pixel_format(layout: Layout) -> c_int {
    match layout {
        Layout::Grey => tj::TJPF_TJPF_GRAY as c_int,
        Layout::Rgb | Layout::Ycc420 => tj::TJPF_TJPF_RGB as c_int,
    }
}
