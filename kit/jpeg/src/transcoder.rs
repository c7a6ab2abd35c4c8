//! Level 0 and the half of an image out of one Huffman decoding, which is the larger part of
//! decoding.
#![expect(
    unsafe_code,
    reason = "TurboJPEG would decode twice; libjpeg's own interface needs C (transcoder.c)"
)]

use std::ffi::{c_int, c_uint};

use crate::defect::Result;
use crate::raster::{Layout, Plane, Raster};
use crate::reader::{Reader, State};

mod ffi {
    use super::{Samples, State, c_int, c_uint};

    unsafe extern "C" {
        pub(super) fn kit_reader_half_planes(reader: *mut State, planes: *const Samples) -> c_int;
        pub(super) fn kit_reader_half_pixels(
            reader: *mut State,
            pixels: *const Samples,
            is_grey: c_int,
        ) -> c_int;
        pub(super) fn kit_reader_write(
            reader: *mut State,
            restart_interval: c_uint,
            out: *mut u8,
            capacity: usize,
            len: *mut usize,
        ) -> c_int;
    }
}

/// `plane` of transcoder.c.
#[repr(C)]
struct Samples {
    data: *mut u8,
    stride: usize,
    rows: usize,
}

impl Samples {
    fn of(plane: &mut Plane) -> Self {
        Self {
            data: plane.data.as_mut_ptr(),
            stride: plane.stride(),
            rows: plane.allocated.height as usize,
        }
    }
}

/// MCUs between two restart markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart(pub u32);

/// One JPEG whose coefficients are read once, for its half, for writing them again, or first one
/// and then the other.
pub struct Transcoder<'a> {
    reader: Reader<'a>,
}

impl<'a> Transcoder<'a> {
    /// Reads the header of `jpeg`, a file of 8 bits with DCT coefficients, grey or YCbCr.
    ///
    /// # Errors
    /// [`Defect`](crate::Defect) if it is damaged.
    pub(crate) fn new(jpeg: &'a [u8]) -> Result<Self> {
        let reader = Reader::open(jpeg)?;
        Ok(Self { reader })
    }

    /// Decodes the image to half its size, rounded up, by a 4 × 4 inverse DCT of each block, into
    /// `half`: a raster of that size, whose margin is filled. Its layout is [`Layout::Ycc420`] only
    /// for files with 4:2:0 sampling, [`Layout::Grey`] for grey ones. To be called once.
    ///
    /// # Errors
    /// [`Defect`](crate::Defect) if it is damaged.
    pub fn decode_half(&mut self, half: &mut Raster) -> Result<()> {
        let state = self.reader.state();
        let code = match half.planes.as_mut_slice() {
            [y, cb, cr] => {
                let planes = [y, cb, cr].map(Samples::of);
                // SAFETY: three planes, each with its own stride and number of rows, which the
                // callee keeps to.
                unsafe { ffi::kit_reader_half_planes(state, planes.as_ptr()) }
            }
            planes => {
                let pixels = Samples::of(&mut planes[0]);
                // SAFETY: as above.
                unsafe {
                    ffi::kit_reader_half_pixels(
                        state,
                        &pixels,
                        (half.layout == Layout::Grey).into(),
                    )
                }
            }
        };
        self.reader.check(code)?;
        half.replicate_edges();
        Ok(())
    }

    /// Writes the coefficients unchanged to `out`, as a baseline JPEG with restart markers and
    /// without application markers (EXIF, ICC). What `out` held is lost; it does not grow.
    ///
    /// # Errors
    /// [`Defect`](crate::Defect) if it is damaged, or the capacity of `out` does not
    /// suffice.
    pub(crate) fn write(mut self, restart: Restart, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        let (capacity, mut len) = (out.capacity(), 0);
        // SAFETY: at most `capacity` bytes are written to `out`, which has room for so many; `len`
        // is a live integer.
        let code = unsafe {
            ffi::kit_reader_write(
                self.reader.state(),
                restart.0,
                out.as_mut_ptr(),
                capacity,
                &mut len,
            )
        };
        self.reader.check(code)?;
        // SAFETY: the callee has written the first `len` bytes.
        unsafe { out.set_len(len) };
        Ok(())
    }
}

#[cfg(test)]
mod tests;
