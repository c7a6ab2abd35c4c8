//! The picture: a panel a quantity, below the names of the runs.

use std::ops::Range;

use draw::{Align, Axes, CHART_SCALE, Canvas, Color, Text, Weight, chart_color, palette};
use plotters::coord::Shift;
use plotters::drawing::DrawingAreaErrorKind;
use plotters::element::{Circle, Polygon};
use plotters::prelude::{DrawingArea, DrawingBackend, LineSeries};
use plotters::style::Color as _;
use schemas::geom::{Rect, Size};

use super::curve::{Point, thinned};
use super::runs::{By, Run};
use crate::report::metrics::Row;

/// Most runs that the palette keeps apart.
pub(super) const MOST_RUNS: usize = palette::SERIES.len();

const PANEL: Size = Size::new(430, 290);
const COLUMNS: u32 = 3;
const MARGIN: u32 = 28;
const GAP: u32 = 26;
const TITLE: u32 = 26;
const HEADING_Y: u32 = 34;
const LEGEND_Y: u32 = 70;
const LEGEND_LINE: u32 = 26;
/// Points of a curve: about one for two pixels of a panel.
const MOST_POINTS: usize = 180;
/// Curves of fewer points show each of them.
const FEW_POINTS: usize = 25;
/// Runs whose last values find room above a panel.
const MOST_NOTES: usize = 4;

/// A quantity of a row.
struct Quantity {
    title: &'static str,
    of: fn(&Row) -> Option<f64>,
    /// Whether its axis begins at zero.
    from_zero: bool,
}

const QUANTITIES: [Quantity; 16] = [
    Quantity {
        title: "Loss",
        of: |row| Some(row.loss),
        from_zero: false,
    },
    Quantity {
        title: "Loss, 1D",
        of: |row| Some(row.loss_1d),
        from_zero: false,
    },
    Quantity {
        title: "Loss, 2D",
        of: |row| row.loss_2d,
        from_zero: false,
    },
    Quantity {
        title: "Spread of projections (z_std)",
        of: |row| Some(row.z_std),
        from_zero: false,
    },
    Quantity {
        title: "Spread of cells (z2d_std)",
        of: |row| row.z2d_std,
        from_zero: false,
    },
    Quantity {
        title: "Effective rank of projections",
        of: |row| row.diagnostics.z_rank,
        from_zero: true,
    },
    Quantity {
        title: "Largest cluster, % of cells",
        of: |row| percent(row.diagnostics.cluster_max),
        from_zero: true,
    },
    Quantity {
        title: "Smallest cluster, % of cells",
        of: |row| percent(row.diagnostics.cluster_min),
        from_zero: true,
    },
    Quantity {
        title: "Linear probe, mIoU in %",
        of: |row| row.probe_miou,
        from_zero: false,
    },
    Quantity {
        title: "Gradient norm",
        of: |row| row.diagnostics.grad_norm,
        from_zero: true,
    },
    Quantity {
        title: "Weight norm",
        of: |row| row.diagnostics.weight_norm,
        from_zero: false,
    },
    Quantity {
        title: "LARS's trust ratio, median",
        of: |row| row.diagnostics.trust_median,
        from_zero: true,
    },
    Quantity {
        title: "Learning rate",
        of: |row| Some(row.lr),
        from_zero: true,
    },
    Quantity {
        title: "EMA coefficient τ",
        of: |row| Some(row.tau),
        from_zero: false,
    },
    Quantity {
        title: "Pairs a second",
        of: |row| Some(row.pairs_per_s),
        from_zero: true,
    },
    Quantity {
        title: "Data wait, % of a step",
        of: |row| percent((row.step_s > 0.0).then(|| row.data_wait_s / row.step_s)),
        from_zero: true,
    },
];

fn percent(share: Option<f64>) -> Option<f64> {
    share.map(|share| 100.0 * share)
}

/// One panel.
struct Panel {
    title: &'static str,
    x: Range<f64>,
    y: Range<f64>,
    /// One a run; empty for a run without this quantity.
    curves: Vec<(Color, Vec<Point>)>,
    /// What is written above it: the last value of every run that has one.
    last: Vec<(Color, f64)>,
}

/// Draws every quantity that a run has.
///
/// # Errors
/// What plotters says.
pub(super) fn draw(runs: &[Run], by: By) -> draw::Result<Canvas> {
    let panels: Vec<Panel> = QUANTITIES
        .iter()
        .filter_map(|quantity| panel(runs, quantity))
        .collect();
    let width = 2 * MARGIN + COLUMNS * PANEL.width + (COLUMNS - 1) * GAP;
    let legend = legend_lines(runs, width - 2 * MARGIN);
    let top = LEGEND_Y + legend.len() as u32 * LEGEND_LINE;
    let rows = (panels.len() as u32).div_ceil(COLUMNS);
    let size = Size::new(width, top + rows * (PANEL.height + GAP) + MARGIN - GAP);
    let mut canvas = Canvas::new(size, palette::PAPER);
    let heading = Text {
        size: 26.0,
        weight: Weight::Bold,
        ..Text::default()
    };
    canvas.text(
        MARGIN as i32,
        HEADING_Y as i32,
        heading,
        &format!("Training over {}", by.unit()),
    );
    for (line, entries) in (0..).zip(&legend) {
        let entries: Vec<(Color, &str)> = entries
            .iter()
            .map(|(color, text)| (*color, text.as_str()))
            .collect();
        canvas.legend(
            MARGIN as i32,
            (LEGEND_Y + line * LEGEND_LINE) as i32,
            &entries,
        );
    }
    for (ix, panel) in (0..).zip(&panels) {
        let (column, row) = (ix % COLUMNS, ix / COLUMNS);
        let (x, y) = (
            MARGIN + column * (PANEL.width + GAP),
            top + row * (PANEL.height + GAP),
        );
        panel.draw(&mut canvas, Rect::new(x, y, PANEL.width, PANEL.height))?;
    }
    Ok(canvas)
}

/// A run in a few words.
pub(super) fn describe(run: &Run) -> String {
    let (_, last) = run.rows.last().expect("a run without rows is refused");
    format!("{}: step {}, epoch {:.1}", run.name, last.step, last.epoch)
}

/// Colours and names, as many a line as fit into `width` pixels.
fn legend_lines(runs: &[Run], width: u32) -> Vec<Vec<(Color, String)>> {
    let mut lines: Vec<Vec<(Color, String)>> = Vec::new();
    let mut left = 0;
    for (run, color) in runs.iter().zip(palette::SERIES) {
        let text = describe(run);
        let needed = 44 + Canvas::text_width(Text::default(), &text);
        match lines.last_mut().filter(|_| needed <= left) {
            Some(line) => line.push((color, text)),
            None => {
                lines.push(vec![(color, text)]);
                left = width;
            }
        }
        left = left.saturating_sub(needed);
    }
    lines
}

/// The panel of a quantity, if a run has it.
fn panel(runs: &[Run], quantity: &Quantity) -> Option<Panel> {
    let values = runs.iter().map(|run| -> Vec<(f64, f64)> {
        run.rows
            .iter()
            .filter_map(|(x, row)| Some((*x, (quantity.of)(row)?)))
            .collect()
    });
    let values: Vec<(Color, Vec<(f64, f64)>)> = palette::SERIES.into_iter().zip(values).collect();
    let last: Vec<(Color, f64)> = values
        .iter()
        .filter_map(|(color, all)| Some((*color, all.last()?.1)))
        .collect();
    if last.is_empty() {
        return None;
    }
    let curves: Vec<_> = values
        .iter()
        .map(|(color, all)| (*color, thinned(all, MOST_POINTS)))
        .collect();
    let points = || curves.iter().flat_map(|(_, points)| points);
    let y = extent(
        points()
            .flat_map(|point| [point.low, point.high])
            .chain(quantity.from_zero.then_some(0.0)),
    );
    let air = 0.04 * (y.end - y.start);
    let low = if quantity.from_zero {
        y.start
    } else {
        y.start - air
    };
    // All panels have one x axis, also where a run has a quantity at some steps only.
    let x = extent(
        runs.iter()
            .flat_map(|run| &run.rows)
            .map(|(x, _)| *x)
            .chain([0.0]),
    );
    Some(Panel {
        title: quantity.title,
        x,
        y: low..y.end + air,
        curves,
        last,
    })
}

/// From the lowest to the highest value, and never nothing: plotters wants a range.
fn extent(values: impl Iterator<Item = f64>) -> Range<f64> {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| {
        (low.min(v), high.max(v))
    });
    let least = 1e-3 * low.abs().max(high.abs()).max(1e-3);
    match high - low < least {
        true => low - least..high + least,
        false => low..high,
    }
}

impl Panel {
    fn draw(&self, canvas: &mut Canvas, area: Rect) -> draw::Result<()> {
        let (x, y) = (area.x as i32, area.y as i32 + 10);
        canvas.text(
            x,
            y,
            Text {
                size: 16.0,
                weight: Weight::Bold,
                ..Text::default()
            },
            self.title,
        );
        let format = number_format(&self.y, 1);
        let mut end = x + area.width as i32;
        for &(color, value) in self
            .last
            .iter()
            .rev()
            .filter(|_| self.last.len() <= MOST_NOTES)
        {
            let look = Text {
                align: Align::Right,
                color,
                size: 13.5,
                weight: Weight::Bold,
            };
            let text = format(&value);
            canvas.text(end, y, look, &text);
            end -= Canvas::text_width(look, &text) as i32 + 10;
        }
        let inner = Rect::new(area.x, area.y + TITLE, area.width, area.height - TITLE);
        canvas.chart(inner, |area| self.draw_curves(area))
    }

    fn draw_curves<DB: DrawingBackend>(
        &self,
        area: &DrawingArea<DB, Shift>,
    ) -> Result<(), DrawingAreaErrorKind<DB::ErrorType>> {
        let axes = Axes {
            x: self.x.clone(),
            y: self.y.clone(),
            x_labels: 7,
            x_label: &number_format(&self.x, 0),
            y_label: &number_format(&self.y, 0),
        };
        let mut chart = axes.draw(area)?;
        for (color, points) in &self.curves {
            let color = chart_color(*color);
            // plotters smears a polygon without area.
            if points.iter().any(|point| point.low < point.high) {
                let above = points.iter().map(|point| (point.x, point.high));
                let below = points.iter().rev().map(|point| (point.x, point.low));
                let band: Vec<(f64, f64)> = above.chain(below).collect();
                chart.draw_series([Polygon::new(band, color.mix(0.18))])?;
            }
            let line = || points.iter().map(|point| (point.x, point.mean));
            chart.draw_series(LineSeries::new(line(), color.stroke_width(2 * CHART_SCALE)))?;
            let marks = line().filter(|_| points.len() < FEW_POINTS);
            chart.draw_series(marks.map(|at| Circle::new(at, 3 * CHART_SCALE, color.filled())))?;
        }
        area.present()
    }
}

/// Writes numbers with as many decimals as tell the labels of `range` apart, or `more`; large ones
/// in thousands.
fn number_format(range: &Range<f64>, more: usize) -> impl Fn(&f64) -> String + use<> {
    let span = range.end - range.start;
    let (unit, suffix) = if span < 10_000.0 {
        (1.0, "")
    } else {
        (1000.0, "k")
    };
    let decimals = (2.0 - (span / unit).log10()).floor().clamp(0.0, 6.0) as usize + more;
    move |value| {
        let text = format!("{:.decimals$}", value / unit);
        let text = if text.contains('.') {
            text.trim_end_matches('0').trim_end_matches('.')
        } else {
            text.as_str()
        };
        if ["0", "-0"].contains(&text) {
            "0".to_owned()
        } else {
            text.replace('-', "−") + suffix
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_tell_values_of_a_range_apart() {
        let written = |low: f64, high: f64, value: f64| number_format(&(low..high), 0)(&value);
        assert_eq!(written(0.0, 80.0, 20.0), "20");
        assert_eq!(written(-3.4, -0.1, -2.5), "−2.5");
        assert_eq!(written(0.991, 1.0, 0.9925), "0.9925");
        assert_eq!(written(0.0, 4.8, -1e-17), "0");
        assert_eq!(written(0.0, 8000.0, 4000.0), "4000");
        assert_eq!(written(0.0, 250_000.0, 150_000.0), "150k");
        assert_eq!(written(0.0, 250_000.0, 0.0), "0");
        assert_eq!(number_format(&(-3.4..-0.1), 1)(&-3.2468), "−3.25");
    }

    #[test]
    fn a_range_is_never_empty() {
        for value in [0.0, 1.0, -4.0, 1e9, 1e-9] {
            let range = extent([value].into_iter());
            assert!(range.start < value && value < range.end, "{range:?}");
        }
    }
}
