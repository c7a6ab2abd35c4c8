//! One pair on the sheet: its frame with both boxes, and its two views.

use draw::{Align, Canvas, Text, Weight, palette};
use sampler::paint::paint_view;
use sampler::{Batch, CropMeta, PairMeta};
use schemas::frame::FrameMeta;
use schemas::geom::{BoxPx, Size};

/// Height of the pictures in pixels, whatever the network's input is.
pub(crate) const PICTURE_HEIGHT: u32 = 240;
/// A frame that would be wider than this is drawn smaller.
const MAX_FRAME_WIDTH: u32 = 427;
const GAP: i32 = 10;
/// Below the pictures: two lines.
const CAPTION_HEIGHT: i32 = 40;
const TITLE_Y: i32 = PICTURE_HEIGHT as i32 + 14;
const CAPTION_Y: i32 = TITLE_Y + 18;

/// Frame (right-aligned in `frame_width` pixels), view, view, and two lines below each.
pub(crate) fn draw_cell(
    frame: &Canvas,
    frame_width: u32,
    meta: Option<&FrameMeta>,
    batch: &Batch,
    ix: usize,
) -> Canvas {
    let pair = &batch.pairs()[ix];
    let side = PICTURE_HEIGHT;
    let width = frame_width as i32 + 2 * (GAP + side as i32);
    let size = Size::new(width as u32, (side as i32 + CAPTION_HEIGHT) as u32);
    let mut cell = Canvas::new(size, palette::PAPER);

    let shown = fit(pair.frame_size);
    let picture = draw_frame(&frame.resized(shown), pair);
    let left = (frame_width - shown.width) as i32;
    cell.paste(&picture, left, (side - shown.height) as i32 / 2);
    let title = Text {
        weight: Weight::Bold,
        ..Text::default()
    };
    let name = frame_name(meta, shown.width);
    cell.text(left, TITLE_Y, title, &score(pair));
    cell.text(left, CAPTION_Y, caption_look(), &name);

    for (view_ix, color) in [palette::ORANGE, palette::BLUE].into_iter().enumerate() {
        let x = frame_width as i32 + GAP + view_ix as i32 * (side as i32 + GAP);
        cell.paste(&paint_view(batch, ix, view_ix, side, color), x, 0);
        let title = Text { color, ..title };
        cell.text(x, TITLE_Y, title, &format!("view {}", view_ix + 1));
        let end = Text {
            align: Align::Right,
            ..caption_look()
        };
        let crop = &pair.crops[view_ix];
        let flipped = if crop.flip { "flipped" } else { "" };
        cell.text(x + side as i32, TITLE_Y, end, flipped);
        cell.text(x, CAPTION_Y, caption_look(), &crop_name(crop));
    }
    cell
}

/// How captions look.
pub(crate) fn caption_look() -> Text {
    Text {
        size: 14.0,
        color: palette::MUTED,
        ..Text::default()
    }
}

/// The frame's size on the sheet.
pub(crate) fn fit(frame: Size) -> Size {
    let scale = (f64::from(PICTURE_HEIGHT) / f64::from(frame.height))
        .min(f64::from(MAX_FRAME_WIDTH) / f64::from(frame.width));
    let scaled = |side: u32| ((f64::from(side) * scale).round() as u32).max(1);
    Size::new(scaled(frame.width), scaled(frame.height))
}

/// The frame, pale outside of both crops; their boxes, and what they share.
fn draw_frame(picture: &Canvas, pair: &PairMeta) -> Canvas {
    let size = picture.size();
    let (scale_x, scale_y) = (
        size.width as f32 / pair.frame_size.width as f32,
        size.height as f32 / pair.frame_size.height as f32,
    );
    let [a, b] = pair
        .crops
        .map(|crop| scaled(crop.crop_in_frame, scale_x, scale_y));
    let mut pale = picture.clone();
    let whole = BoxPx::from_xywh(0.0, 0.0, size.width as f32, size.height as f32);
    pale.tint(whole, palette::PAPER, 0.55);
    for crop in [a, b] {
        pale.paste(
            &picture.part(crop),
            crop.x0.round() as i32,
            crop.y0.round() as i32,
        );
    }
    if let Some(common) = a.intersection(b) {
        pale.tint(common, palette::GREEN, 0.14);
        pale.hatch(common, palette::GREEN, 0.45, 14);
    }
    for (crop, color) in [(a, palette::ORANGE), (b, palette::BLUE)] {
        pale.outline(grown(crop, 1.0), palette::PAPER, 5.0);
        pale.outline(crop, color, 3.0);
    }
    pale
}

fn scaled(area: BoxPx, x: f32, y: f32) -> BoxPx {
    BoxPx {
        x0: area.x0 * x,
        y0: area.y0 * y,
        x1: area.x1 * x,
        y1: area.y1 * y,
    }
}

fn grown(area: BoxPx, by: f32) -> BoxPx {
    BoxPx {
        x0: area.x0 - by,
        y0: area.y0 - by,
        x1: area.x1 + by,
        y1: area.y1 + by,
    }
}

fn score(pair: &PairMeta) -> String {
    let tries = if pair.tries == 1 {
        "1 try".to_owned()
    } else {
        format!("{} tries", pair.tries)
    };
    let kept = if pair.fell_back { ", best kept" } else { "" };
    format!("IoU {:.2}   {tries}{kept}", pair.iou)
}

fn crop_name(crop: &CropMeta) -> String {
    let area = crop.crop_in_frame;
    format!(
        "{:.0} × {:.0} px, level {}",
        area.width(),
        area.height(),
        crop.level
    )
}

/// Camera, time of day, weather and place, or else the frame's name; what fits into `width` pixels.
fn frame_name(meta: Option<&FrameMeta>, width: u32) -> String {
    let Some(meta) = meta else {
        return String::new();
    };
    let known = [
        &meta.camera,
        &meta.time_of_day,
        &meta.weather,
        &meta.location,
    ];
    let known: Vec<&str> = known.into_iter().flatten().map(String::as_str).collect();
    let mut name = if known.is_empty() {
        meta.frame_id.clone()
    } else {
        known.join(" · ")
    };
    while Canvas::text_width(caption_look(), &name) > width && name.pop().is_some() {}
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_fit_into_their_place() {
        assert_eq!(fit(Size::new(1920, 1280)), Size::new(360, 240));
        assert_eq!(fit(Size::new(1920, 1080)), Size::new(427, 240));
        let wide = fit(Size::new(4000, 1000));
        assert!(wide.width <= MAX_FRAME_WIDTH && wide.height <= PICTURE_HEIGHT);
    }
}
