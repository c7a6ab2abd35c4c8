//! A JPEG of any kind, in two steps: what its headers say, then its pixels or its coefficients.

use image::metadata::Orientation;
use image::{DynamicImage, GrayImage, RgbImage};
use schemas::geom::Size;

use crate::cmyk::rgb_from_cmyk;
use crate::decoder;
use crate::defect::{Defect, Result};
use crate::header::{ColorModel, Header};
use crate::limit::check_size;
use crate::markers::Markers;
use crate::orientation::orientation;
use crate::raster::Layout;
use crate::transcoder::Transcoder;

/// A JPEG whose headers have been read.
pub struct Jpeg<'a> {
    bytes: &'a [u8],
    header: Header,
    mcu_width: u32,
    orientation: Orientation,
}

impl<'a> Jpeg<'a> {
    /// Reads the headers of a JPEG.
    ///
    /// # Errors
    /// [`Defect`] if it is none, or has more than `max_pixels`.
    pub fn open(bytes: &'a [u8], max_pixels: u64) -> Result<Self> {
        let markers = Markers::scan(bytes);
        let header = Header::read(bytes)?;
        check_size(header.size, max_pixels)?;
        Ok(Self {
            bytes,
            header,
            mcu_width: markers.mcu_width(),
            orientation: orientation(markers.exif().as_deref(), markers.xmp),
        })
    }

    /// As stored, before any EXIF rotation.
    pub fn size(&self) -> Size {
        self.header.size
    }

    /// Whether it has one component.
    pub fn is_grey(&self) -> bool {
        self.header.color == ColorModel::Grey
    }

    /// Whether chroma is halved in both directions, in the way that a plain 4:2:0 encoder does it.
    pub fn is_420(&self) -> bool {
        self.header.is_420
    }

    /// Width of a minimum coded unit in pixels.
    pub fn mcu_width(&self) -> u32 {
        self.mcu_width
    }

    /// Whether its coefficients are those of an upright grey or YCbCr image of 8 bits, so that
    /// [`transcoder`](Self::transcoder) loses nothing. Others can be decoded only, as can those of
    /// which the transcoder says that they are [unfinished](crate::UNFINISHED).
    pub fn can_be_transcoded(&self) -> bool {
        let header = &self.header;
        header.bits == 8
            && !header.is_predictive
            && header.has_known_sampling
            && matches!(header.color, ColorModel::Grey | ColorModel::YCbCr)
            && self.orientation == Orientation::NoTransforms
    }

    /// A transcoder of this file, which [can be transcoded](Self::can_be_transcoded).
    ///
    /// # Errors
    /// [`Defect`] if it is damaged.
    pub fn transcoder(&self) -> Result<Transcoder<'_>> {
        Transcoder::new(self.bytes)
    }

    /// Decodes it to upright grey or RGB of 8 bits.
    ///
    /// # Errors
    /// [`Defect`] if it is damaged.
    pub fn decode(&self) -> Result<DynamicImage> {
        let mut image = self.decode_as_stored()?;
        image.apply_orientation(self.orientation);
        Ok(image)
    }

    /// The pixels before any EXIF rotation.
    fn decode_as_stored(&self) -> Result<DynamicImage> {
        let (jpeg, header) = (self.bytes, &self.header);
        let layout = if self.is_grey() {
            Layout::Grey
        } else {
            Layout::Rgb
        };
        let pixels = match (header.color, header.bits) {
            (ColorModel::Cmyk, 8) => rgb_from_cmyk(&decoder::decode_inks(jpeg, header)?),
            (ColorModel::Cmyk, bits) => {
                return Err(Defect::new(
                    "unsupported-jpeg",
                    format!("CMYK with {bits} bits a sample"),
                ));
            }
            (_, 2..=8) => decoder::decode(jpeg, header, layout)?,
            _ => decoder::decode_deep(jpeg, header, layout)?,
        };
        Ok(image_of(header.size, layout, pixels))
    }
}

/// Decodes `jpeg`, a file of 8 bits, to see that nothing of it is damaged.
///
/// # Errors
/// [`Defect`] if it is damaged.
pub fn check(jpeg: &[u8]) -> Result<()> {
    decoder::check(jpeg)
}

fn image_of(size: Size, layout: Layout, pixels: Vec<u8>) -> DynamicImage {
    let image = match layout {
        Layout::Grey => {
            GrayImage::from_raw(size.width, size.height, pixels).map(DynamicImage::from)
        }
        _ => RgbImage::from_raw(size.width, size.height, pixels).map(DynamicImage::from),
    };
    image.expect("the decoder wrote every pixel")
}
