//! Level 0 and the half of an image out of one Huffman decoding, which is the larger part of
//! decoding.
#![expect(
    unsafe_code,
    reason = "TurboJPEG would decode twice; libjpeg's own interface needs C (transcoder.c)"
)]

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::marker::PhantomData;
use std::ptr::NonNull;

use crate::defect::Result;
use crate::message::defect;
use crate::raster::{Layout, Plane, Raster};

mod ffi {
    use super::{Samples, c_char, c_int, c_uint};

    /// `transcoder` of transcoder.c.
    #[repr(C)]
    pub(super) struct Transcoder {
        _private: [u8; 0],
    }

    unsafe extern "C" {
        pub(super) fn kit_transcoder_open(jpeg: *const u8, len: usize) -> *mut Transcoder;
        pub(super) fn kit_transcoder_close(transcoder: *mut Transcoder);
        pub(super) fn kit_transcoder_message(transcoder: *const Transcoder) -> *const c_char;
        pub(super) fn kit_transcoder_read_header(transcoder: *mut Transcoder) -> c_int;
        pub(super) fn kit_transcoder_half_planes(
            transcoder: *mut Transcoder,
            planes: *const Samples,
        ) -> c_int;
        pub(super) fn kit_transcoder_half_pixels(
            transcoder: *mut Transcoder,
            pixels: *const Samples,
            is_grey: c_int,
        ) -> c_int;
        pub(super) fn kit_transcoder_write(
            transcoder: *mut Transcoder,
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
    state: NonNull<ffi::Transcoder>,
    jpeg: PhantomData<&'a [u8]>,
}

impl Drop for Transcoder<'_> {
    fn drop(&mut self) {
        // SAFETY: the state was made by `open` and is closed once.
        unsafe { ffi::kit_transcoder_close(self.state.as_ptr()) }
    }
}

impl<'a> Transcoder<'a> {
    /// Reads the header of `jpeg`, a file of 8 bits with DCT coefficients, grey or YCbCr.
    ///
    /// # Errors
    /// [`Defect`](crate::Defect) if the decoder fails or warns.
    pub(crate) fn new(jpeg: &'a [u8]) -> Result<Self> {
        // SAFETY: pointer and length are those of a slice that outlives the transcoder.
        let state = unsafe { ffi::kit_transcoder_open(jpeg.as_ptr(), jpeg.len()) };
        let state = NonNull::new(state).expect("a state is a few kilobytes");
        let transcoder = Self {
            state,
            jpeg: PhantomData,
        };
        // SAFETY: the state is open, and this is its first call.
        let code = unsafe { ffi::kit_transcoder_read_header(state.as_ptr()) };
        transcoder.check(code)?;
        Ok(transcoder)
    }

    /// Decodes the image to half its size, rounded up, by a 4 × 4 inverse DCT of each block, into
    /// `half`: a raster of that size, whose margin is filled. Its layout is [`Layout::Ycc420`] only
    /// for files with 4:2:0 sampling, [`Layout::Grey`] for grey ones. To be called once.
    ///
    /// # Errors
    /// [`Defect`](crate::Defect) if the decoder fails or warns.
    pub fn decode_half(&mut self, half: &mut Raster) -> Result<()> {
        let state = self.state.as_ptr();
        let code = match half.planes.as_mut_slice() {
            [y, cb, cr] => {
                let planes = [y, cb, cr].map(Samples::of);
                // SAFETY: three planes, each with its own stride and number of rows, which the
                // callee keeps to.
                unsafe { ffi::kit_transcoder_half_planes(state, planes.as_ptr()) }
            }
            planes => {
                let pixels = Samples::of(&mut planes[0]);
                // SAFETY: as above.
                unsafe {
                    ffi::kit_transcoder_half_pixels(
                        state,
                        &pixels,
                        (half.layout == Layout::Grey).into(),
                    )
                }
            }
        };
        self.check(code)?;
        half.replicate_edges();
        Ok(())
    }

    /// Writes the coefficients unchanged to `out`, as a baseline JPEG with restart markers and
    /// without application markers (EXIF, ICC). What `out` held is lost; it does not grow.
    ///
    /// # Errors
    /// [`Defect`](crate::Defect) if the decoder fails or warns, or the capacity of `out` does not
    /// suffice.
    pub(crate) fn write(self, restart: Restart, out: &mut Vec<u8>) -> Result<()> {
        out.clear();
        let (capacity, mut len) = (out.capacity(), 0);
        // SAFETY: at most `capacity` bytes are written to `out`, which has room for so many; `len`
        // is a live integer.
        let code = unsafe {
            ffi::kit_transcoder_write(
                self.state.as_ptr(),
                restart.0,
                out.as_mut_ptr(),
                capacity,
                &mut len,
            )
        };
        self.check(code)?;
        // SAFETY: the callee has written the first `len` bytes.
        unsafe { out.set_len(len) };
        Ok(())
    }

    fn check(&self, code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the message is a NUL-terminated string that lives until the next call.
        let message = unsafe { CStr::from_ptr(ffi::kit_transcoder_message(self.state.as_ptr())) };
        Err(defect(&message.to_string_lossy()))
    }
}

#[cfg(test)]
mod tests;
