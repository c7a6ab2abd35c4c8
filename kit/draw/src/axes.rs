//! The axes of a chart, alike in every picture.

use std::ops::Range;

use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::prelude::{Cartesian2d, DrawingArea, DrawingBackend};
use plotters::style::{Color as _, TRANSPARENT};

use crate::chart::{CHART_SCALE, chart_color, chart_font};
use crate::color::palette;

/// A chart over two ranges of numbers.
pub type Chart<'a, DB> = ChartContext<'a, DB, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// What the axes of a chart show.
pub struct Axes<'a> {
    /// From the left to the right end.
    pub x: Range<f64>,
    /// From the lower to the upper end.
    pub y: Range<f64>,
    /// Labels along x, about.
    pub x_labels: usize,
    /// How a value of x is written.
    pub x_label: &'a dyn Fn(&f64) -> String,
    /// How a value of y is written.
    pub y_label: &'a dyn Fn(&f64) -> String,
}

impl Axes<'_> {
    /// Draws them into `area`, with faint lines across at the labels of y.
    ///
    /// # Errors
    /// What plotters says, for instance of a range without extent.
    pub fn draw<'b, DB: DrawingBackend>(
        &self,
        area: &'b DrawingArea<DB, Shift>,
    ) -> Result<Chart<'b, DB>, DrawingAreaErrorKind<DB::ErrorType>> {
        let mut chart = ChartBuilder::on(area)
            .x_label_area_size(26 * CHART_SCALE)
            .y_label_area_size(54 * CHART_SCALE)
            .margin_right(14 * CHART_SCALE)
            .margin_top(6 * CHART_SCALE)
            .build_cartesian_2d(self.x.clone(), self.y.clone())?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(chart_color(palette::FAINT).stroke_width(CHART_SCALE))
            .axis_style(chart_color(palette::MUTED).stroke_width(CHART_SCALE))
            .set_all_tick_mark_size(4 * CHART_SCALE)
            .x_labels(self.x_labels)
            .y_labels(5)
            .x_label_formatter(&self.x_label)
            .y_label_formatter(&self.y_label)
            .label_style(chart_font(13.0, palette::MUTED))
            .draw()?;
        Ok(chart)
    }
}
