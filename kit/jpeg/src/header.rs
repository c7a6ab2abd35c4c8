//! What the header of a JPEG says, as libjpeg-turbo reads it.
#![expect(unsafe_code, reason = "libjpeg-turbo has a C interface")]

use std::ffi::c_int;

use schemas::geom::Size;
use turbojpeg_sys as tj;

use crate::defect::{Defect, Result};
use crate::handle::Handle;
use crate::reader::Reader;

/// How the samples of a JPEG are to be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ColorModel {
    /// One component.
    Grey,
    /// The usual one.
    YCbCr,
    /// Three components without conversion.
    Rgb,
    /// CMYK or YCCK.
    Cmyk,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// As stored, before any EXIF rotation.
    pub(crate) size: Size,
    pub(crate) color: ColorModel,
    /// Chroma is halved in both directions, in the way that a plain 4:2:0 encoder does it.
    pub(crate) is_420: bool,
    /// libjpeg-turbo has a name for the sampling factors.
    pub(crate) has_known_sampling: bool,
    /// Bits of a sample.
    pub(crate) bits: u8,
    /// Coded by prediction (JPEG's rare lossless mode): there are no DCT coefficients.
    pub(crate) is_predictive: bool,
}

impl Header {
    /// Reads the header of `jpeg`.
    ///
    /// # Errors
    /// [`Defect`] if it is no JPEG or one that libjpeg-turbo has no name for.
    pub(crate) fn read(jpeg: &[u8]) -> Result<Self> {
        let mut decoder = Handle::to_read_header();
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
            // TurboJPEG takes an error for a warning if one came before it.
            Reader::open(jpeg)?;
            return Err(Defect::new("undecodable-jpeg", "its header has no size"));
        }
        Ok(Self {
            size,
            color,
            is_420: sampling == tj::TJSAMP_TJSAMP_420,
            has_known_sampling: sampling != tj::TJSAMP_TJSAMP_UNKNOWN,
            bits: decoder.get(tj::TJPARAM_TJPARAM_PRECISION) as u8,
            is_predictive: decoder.get(tj::TJPARAM_TJPARAM_LOSSLESS) != 0,
        })
    }
}
