//! Whole frames: the pixels of a stored level, from the level that suffices.

#![allow(clippy::unwrap_used, reason = "in tests a panic is the report")]

use sampler::Error;
use sampler::frames::{Frames, Picture};
use sampler::pixels::decode::Decoder;
use schemas::geom::Size;
use testkit::photos;
use turbojpeg::PixelFormat;

const NUM_FRAMES: u32 = 5;

fn set() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    photos::write(dir.path(), NUM_FRAMES, 2);
    dir
}

/// What a decoder of whole files makes of a level of made-up frame `seed`.
fn expected(seed: u32, level: u8) -> Picture {
    let mut size = photos::FRAME;
    let mut rgb = photos::picture(size, seed);
    if level == 1 {
        rgb = photos::halved(size, &rgb);
        size = size.at_level(1);
    }
    let image = turbojpeg::decompress(&photos::photo_jpeg(size, &rgb), PixelFormat::RGB).unwrap();
    assert_eq!(image.pitch, 3 * image.width);
    Picture {
        size,
        rgb: image.pixels,
    }
}

#[test]
fn pictures_are_the_pixels_of_the_level_that_suffices() {
    let dir = set();
    let frames = Frames::open(dir.path(), None).unwrap();
    let mut decoder = Decoder::new().unwrap();
    let half = photos::FRAME.at_level(1).min_side();
    for (ix, min_side, level) in [
        (0, 1, 1),
        (1, half * 20 / 21, 1),
        (2, half, 0),
        (3, half + 1, 0),
        (4, 10_000, 0),
    ] {
        let stored = frames.stored(ix);
        stored.will_need(min_side);
        assert_eq!(stored.size(), photos::FRAME);
        let picture = stored.picture(&mut decoder, min_side).unwrap();
        assert!(picture == expected(ix as u32, level), "frame {ix}");
        let region = stored.decode(&mut decoder, min_side).unwrap();
        let Size { width, height } = picture.size;
        assert_eq!(region.level, level);
        assert_eq!(region.crop, [0.0, 0.0, width.into(), height.into()]);
    }
}

#[test]
fn spread_frames_are_different_and_reach_both_halves() {
    let dir = set();
    let frames = Frames::open(dir.path(), None).unwrap();
    let spread = |count| frames.spread(count).collect::<Vec<_>>();
    assert_eq!(spread(2), [1, 3]);
    assert_eq!(spread(5), [0, 1, 2, 3, 4]);
    assert_eq!(spread(9), spread(5));
}

#[test]
#[cfg(feature = "sql")]
fn a_filter_leaves_frames_their_rows() {
    let dir = set();
    let frames = Frames::open(dir.path(), Some("camera = 'SIDE_LEFT'")).unwrap();
    let rows: Vec<u32> = (0..frames.index().len())
        .map(|ix| frames.index().row(ix))
        .collect();
    assert_eq!(rows, [1, 4]);
    let metas = frames.metas(&rows).unwrap();
    let names: Vec<&str> = metas.values().map(|meta| meta.frame_id.as_str()).collect();
    assert_eq!(names, ["drive/0001/SIDE_LEFT", "drive/0004/SIDE_LEFT"]);

    let mut decoder = Decoder::new().unwrap();
    let picture = frames.stored_at(4).unwrap().picture(&mut decoder, 1);
    assert!(picture.unwrap() == expected(4, 1));
    assert!(matches!(
        frames.stored_at(2),
        Err(sampler::BrokenFrame::Unknown { row: 2 })
    ));
}

#[test]
#[cfg(not(feature = "sql"))]
fn a_build_without_sql_refuses_filters_by_name() {
    let dir = set();
    let refused = Frames::open(dir.path(), Some("camera = 'REAR'")).unwrap_err();
    assert!(matches!(
        refused,
        Error::Config {
            field: "filter",
            ..
        }
    ));
    assert!(refused.to_string().contains("feature `sql`"), "{refused}");
}

#[test]
fn a_set_without_such_frames_says_so() {
    let dir = set();
    #[cfg(feature = "sql")]
    {
        let none = Frames::open(dir.path(), Some("camera = 'REAR'")).unwrap_err();
        assert!(matches!(none, Error::Empty { .. }), "{none}");
    }
    let missing = Frames::open(&dir.path().join("none"), None).unwrap_err();
    assert!(missing.to_string().contains("no such folder"), "{missing}");
}
