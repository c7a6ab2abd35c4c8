//! `sampler preview`: a contact sheet of what the network will see.
//!
//! One cell per pair: the frame with both boxes and their common part, and the two views as they
//! lie in the batch, each with the common part outlined where the network sees it (mirrored, if the
//! view is). Several thresholds stand side by side, the same frames in the same order below each.

mod cell;

use anyhow::{Context, ensure};
use console::{Progress, print};
use draw::{Align, Canvas, Text, Weight, palette};
use sampler::pixels::decode::Decoder;
use sampler::{Cursor, FrameError, Sampler, SamplerConfig};
use schemas::geom::Size;

use crate::cli::args::PreviewArgs;
use cell::{PICTURE_HEIGHT, caption_look, draw_cell, fit};

const CELL_GAP: i32 = 36;
const MARGIN: i32 = 32;
const HEADER_HEIGHT: i32 = 92;
const HEADING_HEIGHT: i32 = 34;
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
        let stored = frames.stored_at(pair.frame).map_err(FrameError::from);
        let frame = stored.and_then(|stored| stored.picture(&mut decoder, PICTURE_HEIGHT));
        let frame = frame.with_context(|| format!("frame {} cannot be shown", pair.frame))?;
        let name = names.get(&pair.frame);
        Ok(draw_cell(&frame.into(), frame_width, name, &batch, ix))
    });
    cells.collect()
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
