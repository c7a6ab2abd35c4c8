//! The cameras of the three data sets, on our cars.

use scenes::{Mount, Rng};
use schemas::geom::Size;

/// Name, number and mount of Waymo's cameras, in the order of its files.
pub(super) const WAYMO_CAMERAS: [(&str, i32, Mount); 5] = [
    ("FRONT", 1, waymo_mount(1280, 620.0, 0.0)),
    ("FRONT_LEFT", 2, waymo_mount(1280, 620.0, -45.0)),
    ("SIDE_LEFT", 4, waymo_mount(886, 330.0, -90.0)),
    ("FRONT_RIGHT", 3, waymo_mount(1280, 620.0, 45.0)),
    ("SIDE_RIGHT", 5, waymo_mount(886, 330.0, 90.0)),
];

const fn waymo_mount(height: u32, horizon: f32, yaw_degrees: f32) -> Mount {
    Mount {
        size: Size {
            width: 1920,
            height,
        },
        focal: 2_050.0,
        horizon,
        height: 2.1,
        yaw_degrees,
    }
}

/// SODA10M was taken with many cars' dashboard cameras.
pub(super) fn soda10m_mount(seed: u64) -> Mount {
    let mut rng = Rng::new(seed).fork(8);
    Mount {
        size: Size {
            width: 1920,
            height: 1080,
        },
        focal: rng.range(1_150.0, 1_600.0),
        horizon: rng.range(470.0, 580.0),
        height: rng.range(1.35, 1.9),
        yaw_degrees: rng.range(-6.0, 6.0),
    }
}

/// The camera of Cityscapes, at half its resolution.
pub(super) const CITYSCAPES_MOUNT: Mount = Mount {
    size: Size {
        width: 1024,
        height: 512,
    },
    focal: 1_131.0,
    horizon: 230.0,
    height: 1.25,
    yaw_degrees: 0.0,
};
