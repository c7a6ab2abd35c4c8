//! Raw data sets as streams of encoded images. `waymo`, `soda10m` and `images` are the data sets; the
//! rest is what they share.
//!
//! [`expand`] finds the inputs. A [`Dataset`] turns an input into [`Job`]s (one per shard), and a
//! job opens as an iterator over its [`Item`]s in a fixed order; [`read`] fetches the bytes of one.
//! What cannot be read of an item is a [`Defect`](crate::Defect) at that item's place.

mod archive;
mod archive_names;
mod choice;
mod chosen;
mod dataset;
mod driving_paths;
mod facts;
mod file_items;
mod file_jobs;
mod files;
mod found;
mod glance;
mod image_files;
mod images;
mod inputs;
mod item;
mod job;
mod label_pictures;
mod lenient;
mod listing;
mod naming;
mod new_index;
mod open;
mod passed_over;
mod path_list;
mod read;
mod search;
mod selection;
mod soda10m;
mod system_files;
mod tags;
mod unpacked;
pub mod waymo;

pub use dataset::Dataset;
pub(crate) use files::Files;
pub use inputs::{Input, expand};
pub use item::{Data, Item, Items, SourceImage};
pub(crate) use job::Content;
pub use job::Job;
pub(crate) use naming::{root_of, short_name};
pub(crate) use new_index::NewIndex;
pub(crate) use passed_over::count_of;
pub use passed_over::{PassedOver, PassedOverFiles};
pub use read::read;
pub use search::Search;
pub use selection::Selection;
