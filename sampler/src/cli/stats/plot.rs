//! The picture of `sampler stats`: six panels.

use draw::{Align, Axes, Canvas, Color, Text, Weight, chart_color, palette};
use plotters::prelude::{DrawingArea, Rectangle};
use plotters::style::Color as _;
use schemas::geom::{Rect, Size};

use super::counted::{Counted, Distribution};
use crate::cli::numbers::grouped;

const PANEL: Size = Size::new(420, 290);
const MARGIN: u32 = 28;
const GAP: u32 = 20;
const HEADER: u32 = 92;
const TITLE: u32 = 26;
const BINS: usize = 48;

/// Bars of one panel: where each begins and ends, and its share in percent.
struct Panel<'a> {
    title: &'a str,
    note: String,
    color: Color,
    bars: Vec<(f64, f64, f64)>,
    /// Whole-number classes are labelled at their middle.
    classes: bool,
}

/// Draws all distributions.
pub(crate) fn draw(counted: &Counted) -> draw::Result<Canvas> {
    let width = 2 * MARGIN + 3 * PANEL.width + 2 * GAP;
    let height = HEADER + 2 * PANEL.height + GAP + MARGIN;
    let mut canvas = Canvas::new(Size::new(width, height), palette::PAPER);
    let title = format!("Crop pairs with IoU ≥ {}", counted.min_iou);
    canvas.text(
        MARGIN as i32,
        34,
        Text {
            size: 26.0,
            weight: Weight::Bold,
            ..Text::default()
        },
        &title,
    );
    let line = format!(
        "{} pairs of {} frames; {:.1} % of the boxes drawn were taken, {} pairs fell back",
        grouped(counted.pairs),
        grouped(counted.frames),
        100.0 * counted.acceptance(),
        grouped(counted.fallbacks)
    );
    canvas.text(
        MARGIN as i32,
        66,
        Text {
            color: palette::MUTED,
            ..Text::default()
        },
        &line,
    );
    for (ix, panel) in panels(counted).iter().enumerate() {
        let (column, row) = (ix as u32 % 3, ix as u32 / 3);
        let (x, y) = (
            MARGIN + column * (PANEL.width + GAP),
            HEADER + row * (PANEL.height + GAP),
        );
        draw_panel(
            &mut canvas,
            Rect::new(x, y, PANEL.width, PANEL.height),
            panel,
        )?;
    }
    Ok(canvas)
}

fn panels(counted: &Counted) -> [Panel<'static>; 6] {
    let smooth = |title, of: &Distribution, [low, high]: [f64; 2], color, decimals: usize| Panel {
        title,
        note: format!("median {:.decimals$}", of.quantile(0.5)),
        color,
        bars: histogram(of.values(), low, high, BINS),
        classes: false,
    };
    // Fallbacks may lie below the threshold.
    let low_iou = f64::from(counted.min_iou).min((counted.iou.quantile(0.0) * 20.0).floor() / 20.0);
    let most_tries = counted.tries.quantile(0.99).max(5.0);
    let (short, ratio) = (&counted.short_side, &counted.ratio);
    let levels = counted.levels.iter().map(|(&level, &crops)| {
        (
            f64::from(level) - 0.4,
            f64::from(level) + 0.4,
            counted.crop_percent(crops),
        )
    });
    let tries = Panel {
        title: "Tries until a pair",
        note: format!("99 % within {:.0}", counted.tries.quantile(0.99)),
        color: palette::GREEN,
        bars: histogram(
            counted.tries.values(),
            0.5,
            most_tries + 0.5,
            most_tries as usize,
        ),
        classes: true,
    };
    let levels = Panel {
        title: "Level that serves a crop",
        note: format!("{:.2} % enlarged", counted.crop_percent(counted.upsampled)),
        color: palette::ORANGE,
        bars: levels.collect(),
        classes: true,
    };
    let (iou, area) = (&counted.iou, &counted.area);
    let (ratio_title, ratio_ends) = (
        "Width / height of a crop",
        [0.001, 0.999].map(|q| ratio.quantile(q)),
    );
    let (side_title, longest) = ("Shorter side of a crop, frame pixels", short.quantile(1.0));
    [
        smooth("IoU of a pair", iou, [low_iou, 1.0], palette::GREEN, 2),
        tries,
        smooth("Area of a crop / frame", area, [0.0, 1.0], palette::BLUE, 2),
        smooth(ratio_title, ratio, ratio_ends, palette::BLUE, 2),
        smooth(side_title, short, [0.0, longest], palette::BLUE, 0),
        levels,
    ]
}

/// Shares in percent of `count` equal bins of `low..high`; values outside count for the total only.
fn histogram(values: &[f64], low: f64, high: f64, count: usize) -> Vec<(f64, f64, f64)> {
    let width = (high - low).max(f64::MIN_POSITIVE) / count as f64;
    let mut bins = vec![0u64; count];
    for value in values.iter().filter(|value| (low..=high).contains(*value)) {
        bins[(((value - low) / width) as usize).min(count - 1)] += 1;
    }
    let bar = |(ix, &bin): (usize, &u64)| {
        let start = low + ix as f64 * width;
        (
            start,
            start + width,
            100.0 * bin as f64 / values.len() as f64,
        )
    };
    bins.iter().enumerate().map(bar).collect()
}

fn draw_panel(canvas: &mut Canvas, area: Rect, panel: &Panel<'_>) -> draw::Result<()> {
    let (x, y) = (area.x as i32, area.y as i32);
    canvas.text(
        x,
        y + 10,
        Text {
            size: 16.0,
            weight: Weight::Bold,
            ..Text::default()
        },
        panel.title,
    );
    let end = Text {
        align: Align::Right,
        color: palette::MUTED,
        size: 13.5,
        ..Text::default()
    };
    canvas.text(x + area.width as i32, y + 10, end, &panel.note);
    let inner = Rect::new(area.x, area.y + TITLE, area.width, area.height - TITLE);
    canvas.chart(inner, |area| draw_bars(area, panel))
}

fn draw_bars<DB: plotters::prelude::DrawingBackend>(
    area: &DrawingArea<DB, plotters::coord::Shift>,
    panel: &Panel<'_>,
) -> Result<(), plotters::drawing::DrawingAreaErrorKind<DB::ErrorType>> {
    let low = panel.bars.first().map_or(0.0, |bar| bar.0);
    let high = panel.bars.last().map_or(1.0, |bar| bar.1).max(low + 1e-9);
    let top = panel
        .bars
        .iter()
        .map(|bar| bar.2)
        .fold(0.0, f64::max)
        .max(1e-9);
    let whole = panel.classes;
    let label = |value: &f64| match (whole, high - low > 20.0) {
        (true, _) if (value - value.round()).abs() < 1e-6 => format!("{value:.0}"),
        (true, _) => String::new(),
        (false, true) => format!("{value:.0}"),
        (false, false) => format!("{:.2}", value)
            .trim_end_matches('0')
            .trim_end_matches('.')
            .to_owned(),
    };
    let axes = Axes {
        x: low..high,
        y: 0.0..top * 1.06,
        x_labels: if whole && high - low < 12.0 {
            (high - low) as usize + 1
        } else {
            7
        },
        x_label: &label,
        y_label: &|value| format!("{} %", format!("{value:.1}").trim_end_matches(".0")),
    };
    let mut chart = axes.draw(area)?;
    let color = chart_color(panel.color).mix(0.85).filled();
    chart.draw_series(panel.bars.iter().map(|&(from, to, share)| {
        let gap = (to - from) * 0.04;
        Rectangle::new([(from + gap, 0.0), (to - gap, share)], color)
    }))?;
    area.present()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bins_hold_all_values_of_their_range() {
        let bars = histogram(&[0.0, 0.1, 0.5, 1.0, 2.0], 0.0, 1.0, 2);
        assert_eq!(bars, [(0.0, 0.5, 40.0), (0.5, 1.0, 40.0)]);
    }
}
