//! Where files lie in the layouts of Waymo, SODA10M and Cityscapes, relative to the output folder.

use std::path::PathBuf;

const CITY_CODES: [&str; 4] = ["BJ", "SH", "GZ", "SZ"];

/// Where a drive lies.
pub(super) fn waymo_path(name: &str) -> PathBuf {
    format!("waymo/segment-{name}_with_camera_labels.tfrecord").into()
}

/// Where an unlabelled SODA10M picture lies.
pub(super) fn soda10m_path(seed: u64, ix: u32) -> PathBuf {
    let city = CITY_CODES[ix as usize % CITY_CODES.len()];
    format!(
        "soda10m/SSLAD-2D/unlabel/image_0/UNLABEL_01_{city}_{:03}_{:014}.jpg",
        seed % 1_000,
        ix + 1
    )
    .into()
}

/// Where a Cityscapes picture and its labels lie.
pub(super) fn cityscapes_paths(split: &str, ix: u32) -> [PathBuf; 2] {
    let stem = format!("demo/demo_{ix:06}_000019");
    [
        format!("cityscapes/leftImg8bit/{split}/{stem}_leftImg8bit.png").into(),
        format!("cityscapes/gtFine/{split}/{stem}_gtFine_labelIds.png").into(),
    ]
}
