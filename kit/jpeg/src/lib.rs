//! Whole JPEGs, and the PNGs that lie beside them: the one decoder and transcoder of the workspace.
//!
//! ```
//! # let bytes = {
//! #     let grey = jpeg::Raster::from_pixels(schemas::geom::Size::new(8, 8), jpeg::Layout::Grey, 8, &[77; 64]);
//! #     jpeg::Encoder::new().encode(&grey, 90, false, jpeg::Restart(0))?.to_vec()
//! # };
//! let picture = jpeg::decode_rgb(&bytes)?;
//! assert_eq!((picture.dimensions(), picture[(3, 4)].0), ((8, 8), [77; 3]));
//! # Ok::<(), jpeg::Defect>(())
//! ```
//!
//! * [`decode`], [`decode_rgb`]: any JPEG or PNG to pixels, upright. CMYK, YCCK, 12 and 16 bits,
//!   arithmetic and predictive coding, rotation by EXIF or XMP: all of them.
//! * [`StoredPng`]: the numbers of a PNG as they are stored, for pictures of labels.
//! * [`check`]: whether a JPEG can be decoded without damage.
//! * [`Jpeg`], [`Png`]: the same in two steps, for those who want the size before the pixels.
//! * [`Transcoder`]: level 0 and the half of a JPEG out of one Huffman decoding.
//! * [`Encoder`]: JPEGs with restart markers, from coefficients or from a [`Raster`].
//!
//! A file whose decoder loses or makes up a coefficient is a [`Defect`]. A warning that costs none
//! is not: padding, oddities of headers, a missing end (reader.c has the list). Pixels and
//! orientation are those of Pillow.
//!
//! Tile-addressable JPEGs are cut and indexed by `schemas`; parts of them are decoded by `sampler`.

#![deny(missing_docs)]

mod cmyk;
mod decoder;
mod defect;
mod encoder;
mod handle;
mod header;
mod jpeg;
mod limit;
mod markers;
mod message;
mod orientation;
mod picture;
mod png;
mod png_text;
mod raster;
mod reader;
mod stored_png;
mod tiff;
mod transcoder;

pub use image::{DynamicImage, RgbImage};

pub use defect::{Defect, Result, UNFINISHED};
pub use encoder::Encoder;
pub use jpeg::{Jpeg, check};
pub use picture::{Format, decode, decode_rgb};
pub use png::Png;
pub use raster::{Layout, Plane, Raster};
pub use stored_png::StoredPng;
pub use transcoder::{Restart, Transcoder};
