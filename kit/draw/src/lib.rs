//! Pictures for people.
//!
//! ```
//! use draw::{Canvas, Text, palette};
//! use schemas::geom::{BoxPx, Size};
//!
//! let mut canvas = Canvas::new(Size::new(320, 200), palette::PAPER);
//! canvas.outline(BoxPx::from_xywh(20.0, 50.0, 120.0, 80.0), palette::ORANGE, 3.0);
//! canvas.text(20, 30, Text::default(), "a crop");
//! let png: Vec<u8> = canvas.png(); // or canvas.save(path), which leaves a whole file or none
//! # assert!(!png.is_empty());
//! ```
//!
//! Small on purpose: contact sheets, plots and the trainer's cluster pictures are made of images
//! that lie side by side, outlined boxes, tinted areas and captions. Positions are pixels from the
//! top left corner; whatever lies outside the canvas is clipped. Charts are drawn by plotters into
//! a part of the canvas ([`Canvas::chart`]), enlarged and averaged down: plotters places glyphs on
//! whole pixels, which shows in small print.

#![deny(missing_docs)]

mod axes;
mod canvas;
mod chart;
mod color;
mod error;
mod text;

pub use axes::{Axes, Chart};
pub use canvas::Canvas;
pub use chart::{CHART_SCALE, chart_color};
pub use color::{Color, palette};
pub use error::{Error, Result};
pub use text::{Align, Text, Weight};
