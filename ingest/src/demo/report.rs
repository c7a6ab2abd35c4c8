//! What was rendered, for machines and for people.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

/// What was rendered.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct DemoReport {
    /// The folder.
    pub out: PathBuf,
    /// Images in all.
    pub frames: u64,
    /// Camera images in Waymo TFRecords.
    pub waymo_frames: u64,
    /// JPEGs in SODA10M's layout.
    pub soda10m_frames: u64,
    /// Pictures with labels in Cityscapes' layout.
    pub cityscapes_frames: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Whether an earlier run had made exactly this already, so that nothing was rendered.
    pub unchanged: bool,
    /// Time taken, in seconds.
    pub seconds: f64,
}

impl fmt::Display for DemoReport {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let megabytes = self.bytes as f64 / 1e6;
        if self.unchanged {
            writeln!(
                f,
                "kept       {} images, {megabytes:.0} MB, rendered before",
                self.frames
            )?;
        } else {
            writeln!(
                f,
                "rendered   {} images, {megabytes:.0} MB, in {:.1} s",
                self.frames, self.seconds
            )?;
        }
        let out = self.out.display();
        writeln!(
            f,
            "Waymo      {:>4} images in {out}/waymo",
            self.waymo_frames
        )?;
        writeln!(
            f,
            "SODA10M    {:>4} images in {out}/soda10m",
            self.soda10m_frames
        )?;
        write!(
            f,
            "Cityscapes {:>4} images with labels in {out}/cityscapes",
            self.cityscapes_frames
        )
    }
}
