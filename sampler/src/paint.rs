//! Views of a batch as pictures for people.

use schemas::geom::{BoxPx, Size};

use crate::batch::Batch;
use crate::meta::CropMeta;
use draw::{Canvas, Color, palette};

/// View `view_ix` (0 or 1) of pair `ix`, `side` pixels high and wide, with an edge of `color` and
/// the common part outlined in green.
///
/// # Panics
/// If there is no such pair or view, or the batch holds floats.
pub fn paint_view(batch: &Batch, ix: usize, view_ix: usize, side: u32, color: Color) -> Canvas {
    let output = batch.output();
    let bytes = (output * output * 3) as usize;
    let pixels = &batch.view(view_ix)[ix * bytes..][..bytes];
    let mut view =
        Canvas::from_rgb(Size::new(output, output), pixels).resized(Size::new(side, side));
    let crop = &batch.pairs()[ix].crops[view_ix];
    let seen = overlap_as_seen(crop);
    let [x0, y0, x1, y1] = [seen.x0, seen.y0, seen.x1, seen.y1].map(|share| share * side as f32);
    view.outline(
        BoxPx::from_xywh(0.0, 0.0, side as f32, side as f32),
        color,
        3.0,
    );
    if seen.area() > 0.0 {
        // Inside the view's own edge, so that both stay visible.
        let most = side as f32 - 4.0;
        let inner = BoxPx {
            x0: x0.max(4.0),
            y0: y0.max(4.0),
            x1: x1.min(most),
            y1: y1.min(most),
        };
        let outer = BoxPx {
            x0: inner.x0 - 1.0,
            y0: inner.y0 - 1.0,
            x1: inner.x1 + 1.0,
            y1: inner.y1 + 1.0,
        };
        view.outline(outer, palette::PAPER, 4.0);
        view.outline(inner, palette::GREEN, 2.0);
    }
    view
}

/// The common part in unit coordinates of the pixels: mirrored, if they are.
fn overlap_as_seen(crop: &CropMeta) -> BoxPx {
    let overlap = crop.overlap_in_view;
    if crop.flip {
        BoxPx {
            x0: 1.0 - overlap.x1,
            x1: 1.0 - overlap.x0,
            ..overlap
        }
    } else {
        overlap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flipped_view_shows_the_overlap_mirrored() {
        let overlap = BoxPx {
            x0: 0.1,
            y0: 0.2,
            x1: 0.5,
            y1: 1.0,
        };
        let crop = CropMeta {
            crop_in_frame: overlap,
            overlap_in_view: overlap,
            flip: true,
            level: 0,
        };
        let seen = overlap_as_seen(&crop);
        assert!((seen.x0 - 0.5).abs() < 1e-6 && (seen.x1 - 0.9).abs() < 1e-6);
        assert_eq!((seen.y0, seen.y1), (0.2, 1.0));
        assert_eq!(
            overlap_as_seen(&CropMeta {
                flip: false,
                ..crop
            }),
            overlap
        );
    }
}
