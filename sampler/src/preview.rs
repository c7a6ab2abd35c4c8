//! `sampler preview`: a contact sheet of what the network will see.
//!
//! One cell per pair: the frame with both boxes and their common part, and the two views as they
//! lie in the batch, each with the common part outlined where the network sees it (mirrored, if the
//! view is). Several thresholds stand side by side, the same frames in the same order below each.

use anyhow::{Context, ensure};
use console::{Progress, print};
use draw::{Align, Canvas, Text, Weight, palette};
use sampler::decode::Decoder;
use sampler::picture::paint_view;
use sampler::{Batch, CropMeta, Cursor, PairMeta, Sampler, SamplerConfig};
use schemas::frame::FrameMeta;
use schemas::geom::{BoxPx, Size};

use crate::cli::PreviewArgs;

/// Height of the pictures in pixels, whatever the network's input is.
const PICTURE_HEIGHT: u32 = 240;
const GAP: i32 = 10;
const CELL_GAP: i32 = 36;
const MARGIN: i32 = 32;
const HEADER_HEIGHT: i32 = 92;
const HEADING_HEIGHT: i32 = 34;
const CAPTION_HEIGHT: i32 = 40;
/// A frame that would be wider than this is drawn smaller.
const MAX_FRAME_WIDTH: u32 = 427;
/// Frames side by side when there is one threshold.
const COLUMNS: usize = 2;

/// Runs the command.
pub(crate) fn run(args: &PreviewArgs) -> anyhow::Result<()> {
    ensure!(args.pairs > 0, "--pairs is 0, but must be at least 1");
    ensure!(
        args.out.extension().is_some_and(|end| end == "png"),
        "--out {:?} must end in .png",
        args.out
    );
    let base = SamplerConfig {
        threads: args.threads,
        ..args.set.config(args.iou[0])
    };
    let sampler = Sampler::open(&args.set.shards, base)?;
    let num_pairs = args.pairs.min(sampler.num_frames() as usize);
    let progress = Progress::announce("drawing pairs", args.iou.len() as u64);
    let mut columns = Vec::new();
    for &min_iou in &args.iou {
        columns.push((min_iou, draw_column(&sampler, min_iou, num_pairs)?));
        progress.at(columns.len() as u64);
    }
    drop(progress);
    let sheet = arrange(columns, args);
    sheet.save(&args.out)?;
    let Size { width, height } = sheet.size();
    let shown = args.iou.len() * num_pairs;
    print(format_args!(
        "{shown} pairs from {num_pairs} frames: {} ({width} × {height})\n",
        args.out.display()
    ))
}

/// The cells of one threshold.
fn draw_column(sampler: &Sampler, min_iou: f32, num_pairs: usize) -> anyhow::Result<Vec<Canvas>> {
    let mut config = SamplerConfig {
        batch: num_pairs,
        depth: 1,
        ..sampler.config().clone()
    };
    config.pair.min_iou = min_iou;
    let sampler = sampler.with_config(config)?;
    let mut batches = sampler.start(Cursor::default())?;
    let batch = batches.next().context("no batch")??;
    let frames = sampler.frames();
    let rows: Vec<u32> = batch.pairs().iter().map(|pair| pair.frame).collect();
    let names = frames.metas(&rows)?;
    let mut decoder = Decoder::new()?;
    let frame_width = batch
        .pairs()
        .iter()
        .map(|pair| fit(pair.frame_size).width)
        .max()
        .unwrap_or(0);
    let cells = (0..num_pairs).map(|ix| {
        let pair = &batch.pairs()[ix];
        let stored = frames.stored_at(pair.frame);
        let frame = stored.and_then(|stored| stored.picture(&mut decoder, PICTURE_HEIGHT));
        let frame = frame.with_context(|| format!("frame {} cannot be shown", pair.frame))?;
        Ok(draw_cell(
            &frame.into(),
            frame_width,
            names.get(&pair.frame),
            &batch,
            ix,
        ))
    });
    cells.collect()
}

/// Frame (right-aligned in `frame_width` pixels), view, view, and two lines below each.
fn draw_cell(
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
    let caption_y = side as i32 + 14;
    cell.text(
        left,
        caption_y,
        Text {
            weight: Weight::Bold,
            ..Text::default()
        },
        &score(pair),
    );
    cell.text(
        left,
        caption_y + 18,
        caption_look(),
        &frame_name(meta, shown.width),
    );

    for (view_ix, color) in [palette::ORANGE, palette::BLUE].into_iter().enumerate() {
        let crop = &pair.crops[view_ix];
        let x = frame_width as i32 + GAP + view_ix as i32 * (side as i32 + GAP);
        cell.paste(&paint_view(batch, ix, view_ix, PICTURE_HEIGHT, color), x, 0);
        let title = Text {
            weight: Weight::Bold,
            color,
            ..Text::default()
        };
        cell.text(
            x,
            caption_y,
            title,
            if view_ix == 0 { "view 1" } else { "view 2" },
        );
        let end = Text {
            align: Align::Right,
            ..caption_look()
        };
        cell.text(
            x + side as i32,
            caption_y,
            end,
            if crop.flip { "flipped" } else { "" },
        );
        cell.text(x, caption_y + 18, caption_look(), &crop_name(crop));
    }
    cell
}

fn caption_look() -> Text {
    Text {
        size: 14.0,
        color: palette::MUTED,
        ..Text::default()
    }
}

/// The frame's size on the sheet.
fn fit(frame: Size) -> Size {
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

/// Puts the cells of all thresholds on one sheet.
fn arrange(columns: Vec<(f32, Vec<Canvas>)>, args: &PreviewArgs) -> Canvas {
    let several = columns.len() > 1;
    let min_iou = columns[0].0;
    let headings: Vec<String> = columns
        .iter()
        .map(|(min_iou, _)| format!("IoU ≥ {min_iou}"))
        .collect();
    let grid: Vec<Vec<Canvas>> = if several {
        columns.into_iter().map(|(_, cells)| cells).collect()
    } else {
        let mut grid: Vec<Vec<Canvas>> = (0..COLUMNS).map(|_| Vec::new()).collect();
        let cells = columns.into_iter().flat_map(|(_, cells)| cells);
        cells
            .enumerate()
            .for_each(|(ix, cell)| grid[ix % COLUMNS].push(cell));
        grid.retain(|column| !column.is_empty());
        grid
    };
    let cell = grid[0][0].size();
    let (step_x, step_y) = (
        cell.width as i32 + CELL_GAP,
        cell.height as i32 + CELL_GAP / 2,
    );
    let top = HEADER_HEIGHT + if several { HEADING_HEIGHT } else { 0 };
    let width = 2 * MARGIN + grid.len() as i32 * step_x - CELL_GAP;
    let height = top + grid[0].len() as i32 * step_y + MARGIN / 2;
    let mut sheet = Canvas::new(Size::new(width as u32, height as u32), palette::PAPER);
    draw_header(&mut sheet, (!several).then_some(min_iou), args);
    for (column, cells) in grid.iter().enumerate() {
        let x = MARGIN + column as i32 * step_x;
        if several {
            let look = Text {
                size: 20.0,
                weight: Weight::Bold,
                ..Text::default()
            };
            sheet.text(
                x,
                HEADER_HEIGHT + HEADING_HEIGHT / 2 - 6,
                look,
                &headings[column],
            );
        }
        for (row, cell) in cells.iter().enumerate() {
            sheet.paste(cell, x, top + row as i32 * step_y);
        }
    }
    sheet
}

fn draw_header(sheet: &mut Canvas, min_iou: Option<f32>, args: &PreviewArgs) {
    let title = match min_iou {
        Some(0.0) => "Crop pairs, any overlap".to_owned(),
        Some(min_iou) => format!("Crop pairs with IoU ≥ {min_iou}"),
        None => "Crop pairs under several IoU thresholds".to_owned(),
    };
    sheet.text(
        MARGIN,
        32,
        Text {
            size: 26.0,
            weight: Weight::Bold,
            ..Text::default()
        },
        &title,
    );
    let right = sheet.size().width as i32 - MARGIN;
    let end = Text {
        align: Align::Right,
        ..caption_look()
    };
    sheet.text(
        right,
        34,
        end,
        &format!("{}   seed {}", args.set.shards.display(), args.set.seed),
    );
    let entries = [
        (palette::ORANGE, "crop and view 1"),
        (palette::BLUE, "crop and view 2"),
        (palette::GREEN, "what both see"),
    ];
    sheet.legend(MARGIN, 66, &entries);
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
