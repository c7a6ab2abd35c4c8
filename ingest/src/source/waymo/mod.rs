//! Waymo Open Dataset: camera images of the perception data set in both versions, and of the
//! end-to-end release.
//!
//! `v1` are TFRecord files, `v2` Parquet files of the component `camera_image`; which one a file is
//! shows in its name. Either way a file is one drive and becomes one shard, and a frame has the
//! same name in both. A file of the end-to-end release holds moments of many drives.

mod compressed;
mod damage;
mod drive;
mod find;
mod frame;
pub mod messages;
mod names;
mod peek;
pub(super) mod place;
mod split;
mod table;
pub mod tfrecord;
pub(super) mod twice;
pub(super) mod v1;
pub(super) mod v2;

pub use drive::CAMERAS;
pub use find::jobs;
