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
//!   arithmetic and predictive coding, EXIF rotation: all of them.
//! * [`StoredPng`]: the numbers of a PNG as they are stored, for pictures of labels.
//! * [`check`]: whether a JPEG can be decoded without damage.
//! * [`Jpeg`], [`Png`]: the same in two steps, for those who want the size before the pixels.
//! * [`Transcoder`]: level 0 and the half of a JPEG out of one Huffman decoding.
//! * [`Encoder`]: JPEGs with restart markers, from coefficients or from a [`Raster`].
//!
//! What a decoder warns about is a [`Defect`], because a decoder that warns has made up pixels.
//! Warnings that cost no pixel are the exception: padding behind the last block, and oddities of
//! headers, which are mended before the decoder sees them.
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
mod picture;
mod png;
mod raster;
mod stored_png;
mod transcoder;

pub use image::{DynamicImage, RgbImage};

pub use defect::{Defect, Result};
pub use encoder::Encoder;
pub use jpeg::{Jpeg, check};
pub use picture::{Format, decode, decode_rgb};
pub use png::Png;
pub use raster::{Layout, Plane, Raster};
pub use stored_png::StoredPng;
pub use transcoder::{Restart, Transcoder};
