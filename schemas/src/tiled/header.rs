//! The marker segments in front of a JPEG's scan.
//!
//! Only what tiling needs is understood: one interleaved baseline scan of 8-bit samples. All
//! offsets come from untrusted bytes and are checked before use.

use std::ops::Range;

use super::row_starts::{APP_MARKER, is_ours};
use crate::geom::Size;
use crate::{Error, Result};

const SOI: u8 = 0xD8;
const EOI: u8 = 0xD9;
const SOS: u8 = 0xDA;
const DRI: u8 = 0xDD;
const SOF0: u8 = 0xC0;
const SOF1: u8 = 0xC1;

/// What stands in front of the scan, and where.
#[derive(Clone, Debug)]
pub(super) struct Header<'a> {
    /// The whole file.
    pub jpeg: &'a [u8],
    pub size: Size,
    pub mcu: Size,
    /// MCUs between restart markers; 0: none.
    pub restart_interval: u32,
    /// Position of the two height bytes in the frame header; the two of the width follow.
    pub size_at: usize,
    /// Our index segment, marker and length included.
    pub index: Option<Range<usize>>,
    /// Entropy-coded bytes: from behind the SOS segment to before the EOI marker.
    pub scan: Range<usize>,
}

impl<'a> Header<'a> {
    pub(super) fn parse(jpeg: &'a [u8]) -> Result<Self> {
        if jpeg.get(..2) != Some(&[0xFF, SOI]) {
            return Err(Error::Tiled("it does not start with an SOI marker"));
        }
        let (mut frame, mut restart_interval, mut index) = (None, 0, None);
        let mut at = 2;
        loop {
            let marker = match jpeg.get(at..at + 2) {
                Some(&[0xFF, marker]) => marker,
                _ => return Err(Error::Tiled("a marker is missing in its header")),
            };
            let len = be16(jpeg, at + 2)? as usize;
            let body = at + 4..at + 2 + len;
            if len < 2 || body.end > jpeg.len() {
                return Err(Error::Tiled("a header segment is longer than the file"));
            }
            match marker {
                SOF0 | SOF1 => frame = Some((Frame::parse(&jpeg[body.clone()])?, body.start + 1)),
                0xC2 | 0xC3 | 0xC5..=0xC7 | 0xC9..=0xCB | 0xCD..=0xCF => {
                    return Err(Error::Tiled(
                        "it is not baseline (progressive, lossless or arithmetic)",
                    ));
                }
                DRI if len == 4 => restart_interval = u32::from(be16(jpeg, body.start)?),
                APP_MARKER if is_ours(&jpeg[body.clone()]) => {
                    index = Some(at..body.end);
                }
                SOS => {
                    let (frame, size_at) =
                        frame.ok_or(Error::Tiled("its scan comes before its frame header"))?;
                    if jpeg[body.clone()].first() != Some(&frame.components) {
                        return Err(Error::Tiled(
                            "its components are not in one interleaved scan",
                        ));
                    }
                    let scan = body.end..scan_end(jpeg, body.end)?;
                    let Frame { size, mcu, .. } = frame;
                    return Ok(Self {
                        jpeg,
                        size,
                        mcu,
                        restart_interval,
                        size_at,
                        index,
                        scan,
                    });
                }
                _ => {}
            }
            at = body.end;
        }
    }

    /// # Errors
    /// If the restart interval is absent or does not divide the row.
    pub(super) fn check_tiling(&self) -> Result<()> {
        match self.restart_interval {
            0 => Err(Error::Tiled("it has no restart interval")),
            n if !self.mcus_per_row().is_multiple_of(n) => Err(Error::Tiled(
                "its restart interval does not divide its rows",
            )),
            _ => Ok(()),
        }
    }

    pub(super) fn mcus_per_row(&self) -> u32 {
        self.size.width.div_ceil(self.mcu.width)
    }

    pub(super) fn rows(&self) -> u32 {
        self.size.height.div_ceil(self.mcu.height)
    }
}

struct Frame {
    size: Size,
    mcu: Size,
    components: u8,
}

impl Frame {
    /// `body`: precision, height, width, number of components, then id, sampling factors and table
    /// of each.
    fn parse(body: &[u8]) -> Result<Self> {
        let (&[precision, h0, h1, w0, w1, components], rest) = body
            .split_first_chunk()
            .ok_or(Error::Tiled("its frame header is too short"))?;
        if precision != 8 {
            return Err(Error::Tiled("its samples are not of 8 bits"));
        }
        if !matches!(components, 1 | 3 | 4) || rest.len() != 3 * usize::from(components) {
            return Err(Error::Tiled(
                "its frame header has no valid list of components",
            ));
        }
        let factors = rest
            .chunks_exact(3)
            .map(|component| (component[1] >> 4, component[1] & 15));
        let (h, v) = factors
            .clone()
            .fold((1, 1), |max, (h, v)| (max.0.max(h), max.1.max(v)));
        if factors
            .clone()
            .any(|(h, v)| !(1..=4).contains(&h) || !(1..=4).contains(&v))
        {
            return Err(Error::Tiled("its sampling factors are not 1 to 4"));
        }
        // A scan of one component is not interleaved: its MCU is one block, whatever its factors
        // say.
        let (h, v) = if components == 1 { (1, 1) } else { (h, v) };
        let size = Size::new(
            u16::from_be_bytes([w0, w1]).into(),
            u16::from_be_bytes([h0, h1]).into(),
        );
        if size.width == 0 || size.height == 0 {
            return Err(Error::Tiled("it has no pixels"));
        }
        Ok(Self {
            size,
            mcu: Size::new(8 * u32::from(h), 8 * u32::from(v)),
            components,
        })
    }
}

fn be16(bytes: &[u8], at: usize) -> Result<u16> {
    match bytes.get(at..at + 2) {
        Some(&[high, low]) => Ok(u16::from_be_bytes([high, low])),
        _ => Err(Error::Tiled("its header is cut off")),
    }
}

/// Our own JPEGs end with their EOI marker; nothing may follow it.
fn scan_end(jpeg: &[u8], scan_start: usize) -> Result<usize> {
    match jpeg.len().checked_sub(2) {
        Some(end) if end >= scan_start && jpeg[end..] == [0xFF, EOI] => Ok(end),
        _ => Err(Error::Tiled("it does not end with an EOI marker")),
    }
}
