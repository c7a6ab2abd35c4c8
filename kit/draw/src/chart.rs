//! A plotters chart in a part of a canvas.

use std::sync::Once;

use image::imageops::{self, FilterType};
use plotters::coord::Shift;
use plotters::prelude::{BitMapBackend, DrawingArea, IntoDrawingArea};
use plotters::style::text_anchor::Pos;
use plotters::style::{Color as _, FontStyle, IntoFont, RGBColor, TextStyle, register_font};
use schemas::geom::Rect;

use crate::canvas::Canvas;
use crate::color::Color;
use crate::error::{Error, Result};

/// How much larger charts are drawn than they appear. Lengths given to plotters are to be
/// multiplied by it.
pub const CHART_SCALE: u32 = 3;

/// Name under which plotters finds the font.
const CHART_FONT: &str = "draw";

impl Canvas {
    /// Lets `draw` put a plotters chart into `area`.
    ///
    /// # Errors
    /// [`Error`] with what plotters says (a range without extent, for instance).
    pub fn chart<E: std::error::Error>(
        &mut self,
        area: Rect,
        draw: impl FnOnce(&DrawingArea<BitMapBackend<'_>, Shift>) -> Result<(), E>,
    ) -> Result<()> {
        load_chart_font();
        let part =
            imageops::crop_imm(&self.image, area.x, area.y, area.width, area.height).to_image();
        let (width, height) = (part.width() * CHART_SCALE, part.height() * CHART_SCALE);
        let mut large = imageops::resize(&part, width, height, FilterType::Nearest);
        let backend = BitMapBackend::with_buffer(&mut large, (width, height));
        let failed = |detail: String| Error {
            path: "chart".into(),
            detail,
        };
        draw(&backend.into_drawing_area()).map_err(|error| failed(error.to_string()))?;
        let small = imageops::resize(&large, part.width(), part.height(), FilterType::Triangle);
        imageops::replace(&mut self.image, &small, area.x.into(), area.y.into());
        Ok(())
    }
}

/// The font of charts; `size` in pixels as they appear.
pub(crate) fn chart_font(size: f64, color: Color) -> TextStyle<'static> {
    load_chart_font();
    let font = (CHART_FONT, size * f64::from(CHART_SCALE)).into_font();
    TextStyle {
        font,
        color: chart_color(color).to_backend_color(),
        pos: Pos::default(),
    }
}

/// A colour as plotters has it.
pub fn chart_color([red, green, blue]: Color) -> RGBColor {
    RGBColor(red, green, blue)
}

/// plotters keeps fonts in a global table.
fn load_chart_font() {
    static LOADED: Once = Once::new();
    LOADED.call_once(|| {
        let registered = register_font(CHART_FONT, FontStyle::Normal, dejavu::sans::regular());
        assert!(
            registered.is_ok(),
            "the fonts that are part of this program are fonts"
        );
    });
}
