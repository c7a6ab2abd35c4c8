//! What a label picture says of each pixel.
//!
//! A picture of numbers (grey) holds ids. A picture of colours (RGB, or a palette) holds the classes'
//! colours, or ids as grey levels: R = G = B throughout. Whatever is neither is refused by file and
//! value: a label that was guessed makes a score of something else.
//!
//! | picture | is read as |
//! |---|---|
//! | grey, 8 bits | ids |
//! | grey, fewer bits | 0, and ignored where all bits are set; any other level is refused |
//! | grey, 16 bits | ids as stored; 65535 is ignored |
//! | palette that is grey, each level at its own index | ids |
//! | palette of the classes' colours | those classes; index 255 is ignored |
//! | RGB, R = G = B and all of them ids | ids |
//! | RGB of the classes' colours | those classes |

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail, ensure};
use draw::Color;
use jpeg::StoredPng;
use schemas::geom::Size;

use super::classes::{Coding, IGNORED, of_color};

/// Reads the train id of every pixel of a PNG, row by row.
///
/// # Errors
/// If the file cannot be read, or a pixel stands for nothing that `coding` has.
pub(super) fn read(path: &Path, coding: Coding) -> Result<(Size, Vec<u8>)> {
    let unreadable = || format!("cannot read the label picture {path:?}");
    let bytes = fs::read(path).with_context(unreadable)?;
    let png = StoredPng::read(&bytes, u64::MAX)
        .map_err(|defect| anyhow!(defect.detail))
        .with_context(unreadable)?;
    let ids = train_ids(&png, coding).with_context(|| format!("the label picture {path:?}"))?;
    Ok((png.size, ids))
}

fn train_ids(png: &StoredPng, coding: Coding) -> Result<Vec<u8>> {
    match (&png.palette, png.channels) {
        (Some(palette), _) => of_indices(&png.samples, palette, coding),
        (None, 1 | 2) => {
            let levels = png.samples.iter().step_by(png.channels);
            translated(levels.copied(), |level| of_level(level, png.bits, coding))
        }
        _ => of_colors(png, coding),
    }
}

/// Translates every value by `rule`, which is asked once for each that occurs.
fn translated<T: Ord + Copy>(
    values: impl Iterator<Item = T>,
    mut rule: impl FnMut(T) -> Result<u8>,
) -> Result<Vec<u8>> {
    let mut known = BTreeMap::new();
    let mut last = None; // neighbours are alike
    values
        .map(|value| match last {
            Some((same, id)) if same == value => Ok(id),
            _ => {
                let id = match known.get(&value) {
                    Some(id) => *id,
                    None => *known.entry(value).or_insert(rule(value)?),
                };
                last = Some((value, id));
                Ok(id)
            }
        })
        .collect()
}

/// The id that a grey level of so many bits stands for.
fn of_level(level: u16, bits: u8, coding: Coding) -> Result<u8> {
    let most = u16::MAX >> (16 - bits);
    match bits {
        8 | 16 if level != most => number(level, coding),
        _ if level == most => Ok(IGNORED),
        _ if level == 0 => number(0, coding),
        // Whoever looks at it sees 17 for 1 of 4 bits; whoever wrote it may have meant 1.
        _ => bail!(
            "holds {level} in {bits} bits, which is the level {}; save it with 8 bits",
            level * (255 / most)
        ),
    }
}

fn number(number: u16, coding: Coding) -> Result<u8> {
    coding
        .of_number(number)
        .with_context(|| format!("holds the number {number}, which {coding:?} do not have"))
}

fn of_indices(indices: &[u16], palette: &[Color], coding: Coding) -> Result<Vec<u8>> {
    let used: BTreeSet<u16> = indices.iter().copied().collect();
    let color = |index: u16| palette.get(usize::from(index)).copied();
    if let Some(beyond) = used.iter().find(|index| color(**index).is_none()) {
        bail!(
            "holds the index {beyond}; its palette has {} colours",
            palette.len()
        );
    }
    let is_level_of_index = |index: &u16| color(*index).is_some_and(|c| c == [*index as u8; 3]);
    let is_grey = coding != Coding::Colors && palette.iter().all(|color| is_level(*color));
    if is_grey && used.iter().all(is_level_of_index) {
        refuse_black(palette)?;
        return translated(indices.iter().copied(), |index| number(index, coding));
    }
    translated(indices.iter().copied(), |index| {
        let color = color(index).expect("no index is beyond the palette");
        match of_color(color) {
            Some(id) => Ok(id),
            None if index == u16::from(IGNORED) => Ok(IGNORED),
            None if is_grey => bail!(
                "holds the index {index}, whose colour is the grey level {}: either may be the id; save it as grey \
                 without a palette",
                color[0]
            ),
            None => Err(unknown_color(color)),
        }
    })
}

fn of_colors(png: &StoredPng, coding: Coding) -> Result<Vec<u8>> {
    let colors = png
        .samples
        .chunks_exact(png.channels)
        .map(|pixel| color(pixel, png.bits))
        .collect::<Result<Vec<Color>>>()?;
    let is_number = |color: &Color| is_level(*color) && coding.of_number(color[0].into()).is_some();
    if coding == Coding::Colors || !colors.iter().all(is_number) {
        return translated(colors.into_iter(), |color| {
            of_color(color).ok_or_else(|| unknown_color(color))
        });
    }
    refuse_black(&colors)?;
    translated(colors.into_iter(), |color| number(color[0].into(), coding))
}

/// Refuses colours that are black and no other.
fn refuse_black(colors: &[Color]) -> Result<()> {
    ensure!(
        colors.iter().any(|color| *color != [0, 0, 0]),
        "is black throughout: that is the id 0 everywhere, or nothing labelled; save ids as grey, or call colours \
         X_train_color.png"
    );
    Ok(())
}

/// A pixel's colour; its alpha says nothing.
fn color(pixel: &[u16], bits: u8) -> Result<Color> {
    let channel = |ix: usize| match (bits, pixel[ix]) {
        (16, value) if value.is_multiple_of(257) => Ok((value / 257) as u8),
        (16, value) => bail!("holds the 16-bit value {value}, which is no colour of 8 bits"),
        (_, value) => Ok(value as u8),
    };
    Ok([channel(0)?, channel(1)?, channel(2)?])
}

fn is_level([red, green, blue]: Color) -> bool {
    red == green && green == blue
}

fn unknown_color([red, green, blue]: Color) -> anyhow::Error {
    anyhow!(
        "holds the colour ({red}, {green}, {blue}), which no class of Cityscapes or BDD100K has; save ids as grey, or use \
         the classes' colours"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::segmentation::classes::color_of;

    fn png(bits: u8, channels: usize, samples: &[u16], palette: Option<Vec<Color>>) -> StoredPng {
        StoredPng {
            size: Size::new((samples.len() / channels) as u32, 1),
            bits,
            channels,
            samples: samples.to_vec(),
            palette,
        }
    }

    fn read(png: &StoredPng, coding: Coding) -> std::result::Result<Vec<u8>, String> {
        train_ids(png, coding).map_err(|error| format!("{error:#}"))
    }

    fn rgb(colors: &[Color]) -> StoredPng {
        let samples: Vec<u16> = colors.iter().flatten().map(|&c| c.into()).collect();
        png(8, 3, &samples, None)
    }

    #[track_caller]
    fn assert_refused(png: &StoredPng, coding: Coding, words: &[&str]) {
        let error = read(png, coding).unwrap_err();
        for word in words {
            assert!(error.contains(word), "{error}");
        }
    }

    #[test]
    fn grey_pictures_hold_ids_in_any_depth() {
        let ids = [3, 18, IGNORED, 0];
        assert_eq!(
            read(&png(8, 1, &[3, 18, 255, 0], None), Coding::TrainIds),
            Ok(ids.to_vec())
        );
        assert_eq!(
            read(
                &png(16, 1, &[3, 18, 255, 0, 65_535], None),
                Coding::TrainIds
            ),
            Ok([&ids[..], &[IGNORED]].concat())
        );
        // With an alpha channel.
        assert_eq!(
            read(&png(8, 2, &[3, 255, 0, 255], None), Coding::TrainIds),
            Ok(vec![3, 0])
        );
        // One bit has the levels 0 and 255.
        assert_eq!(
            read(&png(1, 1, &[0, 1], None), Coding::TrainIds),
            Ok(vec![0, IGNORED])
        );
        assert_eq!(
            read(&png(4, 1, &[0, 15], None), Coding::TrainIds),
            Ok(vec![0, IGNORED])
        );
        assert_refused(
            &png(4, 1, &[1], None),
            Coding::TrainIds,
            &["holds 1", "level 17"],
        );
        assert_refused(&png(16, 1, &[771], None), Coding::TrainIds, &["771"]);
        assert_refused(
            &png(8, 1, &[19], None),
            Coding::TrainIds,
            &["19", "TrainIds"],
        );
        assert_eq!(
            read(&png(16, 1, &[7, 33], None), Coding::LabelIds),
            Ok(vec![0, 18])
        );
    }

    #[test]
    fn a_grey_palette_holds_ids() {
        let grey: Vec<Color> = (0..=255).map(|level| [level; 3]).collect();
        assert_eq!(
            read(
                &png(8, 1, &[5, 255, 0], Some(grey.clone())),
                Coding::TrainIds
            ),
            Ok(vec![5, IGNORED, 0])
        );
        let refused = png(8, 1, &[5, 20], Some(grey));
        assert_refused(&refused, Coding::TrainIds, &["number 20"]);
        let spread: Vec<Color> = (0..19).map(|id| [id * 13; 3]).collect();
        let ambiguous = png(8, 1, &[0, 3], Some(spread.clone()));
        assert_refused(&ambiguous, Coding::TrainIds, &["index 3", "level 39"]);
        assert_refused(
            &png(8, 1, &[19], Some(spread)),
            Coding::TrainIds,
            &["index 19"],
        );
        // Black, building and pole are grey and no ids.
        let colors = vec![[0; 3], [70; 3], [153; 3]];
        assert_eq!(
            read(&png(8, 1, &[0, 1, 2], Some(colors)), Coding::TrainIds),
            Ok(vec![IGNORED, 2, 5])
        );
    }

    #[test]
    fn a_coloured_palette_holds_the_colours_classes() {
        let mut palette: Vec<Color> = (0..19).rev().map(color_of).collect();
        palette.push([0, 0, 0]);
        assert_eq!(
            read(&png(8, 1, &[0, 18, 19], Some(palette)), Coding::TrainIds),
            Ok(vec![18, 0, IGNORED])
        );
        let voc = vec![[0, 0, 0], [128, 0, 0]];
        let refused = png(8, 1, &[0, 1], Some(voc.clone()));
        assert_refused(&refused, Coding::TrainIds, &["(128, 0, 0)"]);
        assert_refused(&png(8, 1, &[2], Some(voc)), Coding::TrainIds, &["index 2"]);
    }

    #[test]
    fn equal_channels_are_ids_where_all_of_them_are() {
        assert_eq!(
            read(&rgb(&[[3; 3], [255; 3], [0; 3]]), Coding::TrainIds),
            Ok(vec![3, IGNORED, 0])
        );
        assert_eq!(
            read(&rgb(&[[33; 3], [255; 3]]), Coding::LabelIds),
            Ok(vec![18, IGNORED])
        );
        // Building, pole and black are grey and colours.
        assert_eq!(
            read(&rgb(&[[70; 3], [153; 3], [0; 3]]), Coding::TrainIds),
            Ok(vec![2, 5, IGNORED])
        );
        assert_refused(
            &rgb(&[[30; 3], [0; 3]]),
            Coding::TrainIds,
            &["(30, 30, 30)"],
        );
        assert_refused(
            &rgb(&[[3; 3], [128, 64, 128]]),
            Coding::TrainIds,
            &["(3, 3, 3)"],
        );
    }

    #[test]
    fn black_throughout_is_what_the_name_says_or_refused() {
        let black = rgb(&[[0; 3]; 4]);
        assert_eq!(read(&black, Coding::Colors), Ok(vec![IGNORED; 4]));
        assert_refused(&black, Coding::TrainIds, &["black throughout"]);
        let palette = png(1, 1, &[0; 4], Some(vec![[0; 3]]));
        assert_eq!(read(&palette, Coding::Colors), Ok(vec![IGNORED; 4]));
        assert_refused(&palette, Coding::LabelIds, &["black throughout"]);
    }

    #[test]
    fn colours_of_16_bits_are_those_of_8_or_refused() {
        let road = [128 * 257, 64 * 257, 128 * 257];
        assert_eq!(read(&png(16, 3, &road, None), Coding::Colors), Ok(vec![0]));
        assert_refused(&png(16, 3, &[128, 64, 128], None), Coding::Colors, &["128"]);
    }
}
