//! JPEGs with restart markers, from coefficients or from pixels.
#![expect(
    unsafe_code,
    reason = "libjpeg-turbo has a C interface, and the safe crate does not offer restart markers"
)]

use std::ffi::c_int;

use schemas::geom::Size;
use turbojpeg_sys as tj;

use crate::defect::Result;
use crate::handle::Handle;
use crate::raster::{Layout, Raster};
use crate::transcoder::{Restart, Transcoder};

/// Writes JPEGs, one after the other, into memory that it keeps; one is made per thread.
pub struct Encoder {
    encoder: Handle,
    /// The JPEG that was written last.
    output: Vec<u8>,
}

impl Default for Encoder {
    fn default() -> Self {
        Self::new()
    }
}

impl Encoder {
    /// An encoder without memory yet.
    pub fn new() -> Self {
        Self {
            encoder: Handle::to_encode(),
            output: Vec::new(),
        }
    }

    /// Writes the DCT coefficients of an image of `size` unchanged into a baseline JPEG with
    /// restart markers and without application markers (EXIF, ICC).
    ///
    /// # Errors
    /// [`Defect`](crate::Defect) if the source is damaged.
    pub fn transcode(
        &mut self,
        transcoder: Transcoder<'_>,
        size: Size,
        restart: Restart,
    ) -> Result<&[u8]> {
        self.reserve(size, tj::TJSAMP_TJSAMP_444);
        transcoder.write(restart, &mut self.output)?;
        Ok(&self.output)
    }

    /// Encodes `raster`, padding included, as baseline JPEG with standard Huffman tables.
    /// `has_full_chroma` asks for 4:4:4 and is only valid for RGB.
    ///
    /// # Errors
    /// [`Defect`](crate::Defect) if the encoder fails.
    pub fn encode(
        &mut self,
        raster: &Raster,
        quality: u8,
        has_full_chroma: bool,
        restart: Restart,
    ) -> Result<&[u8]> {
        let sampling = match raster.layout {
            Layout::Grey => tj::TJSAMP_TJSAMP_GRAY,
            Layout::Rgb if has_full_chroma => tj::TJSAMP_TJSAMP_444,
            Layout::Rgb | Layout::Ycc420 => tj::TJSAMP_TJSAMP_420,
        };
        let (width, height) = (raster.padded_width(), raster.size.height);
        self.reserve(Size::new(width, height), sampling);
        let encoder = &mut self.encoder;
        encoder.set(tj::TJPARAM_TJPARAM_QUALITY, quality.into());
        encoder.set(tj::TJPARAM_TJPARAM_SUBSAMP, sampling as c_int);
        encoder.set(tj::TJPARAM_TJPARAM_RESTARTBLOCKS, restart.0 as c_int);

        let (mut target, mut len) = (self.output.as_mut_ptr(), self.output.capacity() as _);
        let (width, height) = (width as c_int, height as c_int);
        let code = if raster.layout == Layout::Ycc420 {
            let planes: [_; 3] = std::array::from_fn(|i| raster.planes[i].data.as_ptr());
            let strides: [c_int; 3] = std::array::from_fn(|i| raster.planes[i].stride() as c_int);
            // SAFETY: each plane is allocated to the padded width and an even height (chroma: half
            // of both), which is what TurboJPEG reads; at most `len` bytes are written to `target`,
            // which has that many.
            unsafe {
                tj::tj3CompressFromYUVPlanes8(
                    encoder.raw(),
                    planes.as_ptr(),
                    width,
                    strides.as_ptr(),
                    height,
                    &mut target,
                    &mut len,
                )
            }
        } else {
            let plane = &raster.planes[0];
            let (pixels, pitch) = (plane.data.as_ptr(), plane.stride() as c_int);
            let format = match raster.layout {
                Layout::Grey => tj::TJPF_TJPF_GRAY,
                Layout::Rgb | Layout::Ycc420 => tj::TJPF_TJPF_RGB,
            };
            // SAFETY: the plane is allocated to the padded width; the rest as above.
            unsafe {
                tj::tj3Compress8(
                    encoder.raw(),
                    pixels,
                    width,
                    pitch,
                    height,
                    format as c_int,
                    &mut target,
                    &mut len,
                )
            }
        };
        encoder.check(code)?;
        // SAFETY: TurboJPEG has written the first `len` bytes.
        unsafe { self.output.set_len(len as usize) };
        Ok(&self.output)
    }

    /// Makes room for the largest JPEG that an image of `size` can become. Memory that stays
    /// unwritten, nearly all of it, is only a promise.
    fn reserve(&mut self, size: Size, sampling: tj::TJSAMP) {
        // SAFETY: a pure function of three integers.
        let bytes = unsafe {
            tj::tj3JPEGBufSize(size.width as c_int, size.height as c_int, sampling as c_int)
        };
        self.output.clear();
        self.output.reserve(bytes as usize);
    }
}
