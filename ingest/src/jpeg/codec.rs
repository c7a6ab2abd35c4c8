//! The calls into libjpeg-turbo.
#![expect(
    unsafe_code,
    reason = "libjpeg-turbo has a C interface, and the safe crate does not offer restart markers"
)]

use std::ffi::{CStr, c_int, c_void};
use std::ptr::NonNull;

use schemas::geom::Size;
use turbojpeg_sys as tj;

use super::{ColorModel, Header, Result, Scale, Transcoder, defect, is_harmless};
use crate::error::Defect;
use crate::raster::{Layout, Raster};

/// Scans of a progressive file: cameras and editors write about ten, thousands are an attack on our
/// time.
const MAX_SCANS: c_int = 500;

/// One TurboJPEG instance.
pub(super) struct Handle(NonNull<c_void>);

// SAFETY: an instance has no ties to the thread that made it; it must only not be used by two at
// once, and every call below takes it by `&mut`.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the instance was made by `tj3Init` and is destroyed once.
        unsafe { tj::tj3Destroy(self.0.as_ptr()) }
    }
}

impl Handle {
    pub(super) fn new(kind: tj::TJINIT) -> Self {
        // SAFETY: takes an integer, returns an instance or null.
        let instance = unsafe { tj::tj3Init(kind as c_int) };
        Self(NonNull::new(instance).expect("an instance is a few kilobytes"))
    }

    pub(super) fn raw(&mut self) -> tj::tjhandle {
        self.0.as_ptr()
    }

    /// Sets one of our own, valid parameter values.
    pub(super) fn set(&mut self, parameter: tj::TJPARAM, value: c_int) {
        // SAFETY: the instance is alive; any integers are checked by the callee.
        let code = unsafe { tj::tj3Set(self.raw(), parameter as c_int, value) };
        assert_eq!(code, 0, "TurboJPEG refuses parameter {parameter} = {value}");
    }

    fn get(&mut self, parameter: tj::TJPARAM) -> c_int {
        // SAFETY: as in `set`.
        unsafe { tj::tj3Get(self.raw(), parameter as c_int) }
    }

    /// Sets the reduction of a decoder.
    fn set_scale(&mut self, scale: Scale) {
        let denom = if scale == Scale::Half { 2 } else { 1 };
        // SAFETY: the instance is alive; 1/1 and 1/2 are supported factors.
        let code =
            unsafe { tj::tj3SetScalingFactor(self.raw(), tj::tjscalingfactor { num: 1, denom }) };
        assert_eq!(code, 0, "TurboJPEG scales by 1/{denom}");
    }

    /// Turns a return code into a result; a harmless warning is a success.
    pub(super) fn check(&mut self, code: c_int) -> Result<()> {
        if code == 0 {
            return Ok(());
        }
        // SAFETY: the message is a NUL-terminated string that lives until the next call on this
        // thread.
        let message = unsafe { CStr::from_ptr(tj::tj3GetErrorStr(self.raw())) }.to_string_lossy();
        // SAFETY: the instance is alive.
        let is_warning =
            unsafe { tj::tj3GetErrorCode(self.raw()) } == tj::TJERR_TJERR_WARNING as c_int;
        if is_warning && is_harmless(&message) {
            Ok(())
        } else {
            Err(defect(&message))
        }
    }
}

/// MCUs between two restart markers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restart(pub u32);

/// A decoder and encoder of JPEG files with their scratch memory.
pub struct Codec {
    decoder: Handle,
    encoder: Handle,
    /// The JPEG that was written last.
    output: Vec<u8>,
}

impl Default for Codec {
    fn default() -> Self {
        Self::new()
    }
}

impl Codec {
    /// A codec with empty scratch memory.
    pub fn new() -> Self {
        let mut encoder = Handle::new(tj::TJINIT_TJINIT_COMPRESS);
        encoder.set(tj::TJPARAM_TJPARAM_NOREALLOC, 1);
        Self {
            decoder: new_decoder(),
            encoder,
            output: Vec::new(),
        }
    }

    /// Reads the header of `jpeg`.
    ///
    /// # Errors
    /// [`Defect`] if it is no JPEG or one that libjpeg-turbo has no name for.
    pub fn read_header(&mut self, jpeg: &[u8]) -> Result<Header> {
        let decoder = self.fresh_decoder();
        // SAFETY: pointer and length are those of a live slice.
        let code =
            unsafe { tj::tj3DecompressHeader(decoder.raw(), jpeg.as_ptr(), jpeg.len() as _) };
        decoder.check(code)?;
        let color = match decoder.get(tj::TJPARAM_TJPARAM_COLORSPACE) as tj::TJCS {
            tj::TJCS_TJCS_GRAY => ColorModel::Grey,
            tj::TJCS_TJCS_YCbCr => ColorModel::YCbCr,
            tj::TJCS_TJCS_RGB => ColorModel::Rgb,
            _ => ColorModel::Cmyk,
        };
        let sampling = decoder.get(tj::TJPARAM_TJPARAM_SUBSAMP) as tj::TJSAMP;
        let side = |value: c_int| u32::try_from(value).unwrap_or(0);
        let size = Size::new(
            side(decoder.get(tj::TJPARAM_TJPARAM_JPEGWIDTH)),
            side(decoder.get(tj::TJPARAM_TJPARAM_JPEGHEIGHT)),
        );
        if size.area() == 0 {
            return Err(Defect::new(
                "truncated-jpeg",
                "the file ends before its image begins",
            ));
        }
        Ok(Header {
            size,
            color,
            is_420: sampling == tj::TJSAMP_TJSAMP_420,
            has_known_sampling: sampling != tj::TJSAMP_TJSAMP_UNKNOWN,
            bits: decoder.get(tj::TJPARAM_TJPARAM_PRECISION) as u8,
            is_predictive: decoder.get(tj::TJPARAM_TJPARAM_LOSSLESS) != 0,
        })
    }

    /// Writes the DCT coefficients of an image of `size` unchanged into a baseline JPEG with
    /// restart markers and without application markers (EXIF, ICC).
    ///
    /// # Errors
    /// [`Defect`] if the decoder fails or warns.
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

    /// Decodes `jpeg` into a new raster, whose margin is filled. `layout` is [`Layout::Rgb`], or
    /// [`Layout::Grey`] for grey files (or to see the luma only). `header` must be that of `jpeg`,
    /// of 8 bits, not CMYK.
    ///
    /// # Errors
    /// [`Defect`] if the decoder fails or warns.
    pub fn decode(
        &mut self,
        jpeg: &[u8],
        header: &Header,
        layout: Layout,
        scale: Scale,
        mcu_width: u32,
    ) -> Result<Raster> {
        let size = match scale {
            Scale::Full => header.size,
            Scale::Half => header.size.at_level(1),
        };
        let mut raster = Raster::new(size, layout, mcu_width);
        let plane = &mut raster.planes[0];
        let (pitch, format) = (plane.stride() as c_int, pixel_format(layout));
        let decoder = self.fresh_decoder();
        decoder.set_scale(scale);
        // SAFETY: the plane has at least the scaled size in pixels of this format, and its own
        // pitch.
        let code = unsafe {
            tj::tj3Decompress8(
                decoder.raw(),
                jpeg.as_ptr(),
                jpeg.len() as _,
                plane.data.as_mut_ptr(),
                pitch,
                format,
            )
        };
        decoder.check(code)?;
        raster.replicate_edges();
        Ok(raster)
    }

    /// Decodes a CMYK or YCCK file of 8 bits to interleaved samples, as stored (Adobe stores them
    /// inverted).
    ///
    /// # Errors
    /// [`Defect`] if the decoder fails or warns.
    pub fn decode_cmyk(&mut self, jpeg: &[u8], size: Size) -> Result<Vec<u8>> {
        let mut samples = vec![0; size.area() as usize * 4];
        let (pitch, format) = ((size.width * 4) as c_int, tj::TJPF_TJPF_CMYK as c_int);
        let decoder = self.fresh_decoder();
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

    /// Decodes a file of 9 to 16 bits to interleaved 8-bit samples of `layout` (grey or RGB),
    /// rounding down.
    ///
    /// # Errors
    /// [`Defect`] if the decoder fails or warns.
    pub fn decode_deep(&mut self, jpeg: &[u8], header: &Header, layout: Layout) -> Result<Vec<u8>> {
        let channels = if layout == Layout::Grey { 1 } else { 3 };
        let mut samples = vec![0u16; header.size.area() as usize * channels];
        let pitch = header.size.width as c_int * channels as c_int;
        let (format, len) = (pixel_format(layout), jpeg.len() as _);
        let decoder = self.fresh_decoder();
        // SAFETY: `samples` holds a 16-bit sample for every channel of every pixel, rows without
        // gaps; the signed samples of the 12-bit call are never negative.
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

    /// Encodes `raster`, padding included, as baseline JPEG with standard Huffman tables.
    /// `has_full_chroma` asks for 4:4:4 and is only valid for RGB.
    ///
    /// # Errors
    /// [`Defect`] if the encoder fails.
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
            // SAFETY: the plane is allocated to the padded width; the rest as above.
            unsafe {
                tj::tj3Compress8(
                    encoder.raw(),
                    pixels,
                    width,
                    pitch,
                    height,
                    pixel_format(raster.layout),
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

    /// A new instance for every image: libjpeg keeps Huffman and quantisation tables, and an image
    /// that lacks its own would be decoded with those of whichever image came before.
    fn fresh_decoder(&mut self) -> &mut Handle {
        self.decoder = new_decoder();
        &mut self.decoder
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

fn new_decoder() -> Handle {
    let mut decoder = Handle::new(tj::TJINIT_TJINIT_DECOMPRESS);
    decoder.set(tj::TJPARAM_TJPARAM_SCANLIMIT, MAX_SCANS);
    decoder
}

fn pixel_format(layout: Layout) -> c_int {
    match layout {
        Layout::Grey => tj::TJPF_TJPF_GRAY as c_int,
        Layout::Rgb | Layout::Ycc420 => tj::TJPF_TJPF_RGB as c_int,
    }
}
