//! SODA10M: JPEGs whose names carry split and city, the same as archives, and JSON files of tags.
//!
//! Unlabelled: `unlabel/image_3/UNLABEL_01_BJ_000_00000000072719.jpg`, split `3`, city `BJ`.
//! Labelled: `labeled/train/HT_TRAIN_000001_SH_000.jpg`, split `train`, city `SH`. Other names (any
//! folder of street scenes can stand in) have neither. Tags say the city by its name, and period
//! (time of day), weather and location.
//!
//! However deep the parts lie and however they are spelt, every split is an input of its own, so
//! that a set grows as downloads arrive. What lies in no split is an input too: nothing below a
//! folder is left out in silence.

mod layout;
mod tag_files;
mod twice;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use super::chosen::Chosen;
use super::dataset::Dataset;
use super::facts::Facts;
use super::file_jobs::{cut, no_images, of_archive};
use super::files::Files;
use super::found::{Found, find};
use super::job::Job;
use super::naming::short_name;
use super::search::Search;
use super::tags::Tags;
use super::unpacked;
use crate::error::Result;
use layout::{Layout, name_of_copies, unlabelled_split};

pub(super) use layout::frame_id;

/// Jobs of `path`: a folder that holds parts of the set at any depth, one of its parts or splits,
/// any folder of images, or an archive. Tags are taken from `search.tag_files`, from JSON files in
/// the input, and from those that lie beside an archive or a part.
///
/// # Errors
/// If `path` is no folder and no archive, cannot be read, or holds no image, or a tag file of
/// `search.tag_files` is damaged.
pub(super) fn jobs(path: &Path, search: &mut Search) -> Result<Vec<Job>> {
    let mut found = find(Dataset::Soda10m, path, search)?;
    let layout = Layout::of(path, search.name.as_deref());
    read_each_once(&mut found, &layout, search);
    let tags = Arc::new(tag_files::read(&mut found, path, search)?);

    let num_stored = search.num_stored;
    let mut jobs = jobs_in_folder(&found, &layout, &tags, search);
    for mut archive in found.archives {
        let source = |ix| format!("{}/{}", archive.input, archive.archive.relative(ix));
        archive.chosen = archive
            .chosen
            .filtered(|ix| !count_stored(search, &source(ix)));
        jobs.extend(of_archive(Dataset::Soda10m, archive, &tags));
    }
    match jobs.is_empty() && search.num_stored == num_stored {
        true => Err(no_images(Dataset::Soda10m, path, &search.passed_over)),
        false => Ok(jobs),
    }
}

/// Whether the set holds the item `source` already; then it is counted.
fn count_stored(search: &mut Search, source: &str) -> bool {
    let is_stored = search.is_stored(source);
    search.num_stored += u64::from(is_stored);
    is_stored
}

/// Leaves out what is there twice: in two folders, in an archive and beside it, in two archives.
fn read_each_once(found: &mut Found, layout: &Layout, search: &mut Search) {
    twice::in_folders(found, layout, search);
    let key = |source: &str| match name_of_copies(source) {
        Some(name) => unpacked::key(&name),
        None => unpacked::key(source),
    };
    let root = found.listing.root().to_owned();
    unpacked::settle(
        found,
        &|path| key(&layout.place(path).source(path)),
        &|archive, member| {
            let archive = archive.archive.path();
            let source = format!("{}/{member}", short_name(archive, 2));
            let mut keys = vec![key(&source)];
            let places = unpacked::places(&root, archive, member);
            keys.extend(places.map(|path| key(&layout.place(&path).source(&path))));
            keys
        },
        search,
    );
    twice::in_archives(found, search);
}

/// Jobs of the images in folders: each split is an input.
fn jobs_in_folder(
    found: &Found,
    layout: &Layout,
    tags: &Arc<Tags>,
    search: &mut Search,
) -> Vec<Job> {
    let listing = &found.listing;
    let mut inputs: BTreeMap<(String, String), (Chosen, usize)> = BTreeMap::new();
    let mut last = layout.place("");
    let mut last_folder = String::new();
    for (ix, _) in found.in_folder.iter() {
        let path = listing.relative(ix);
        let folder = match listing.lost(ix) {
            Some(_) => path.as_str(),
            None => path.rsplit_once('/').map_or("", |(folder, _)| folder),
        };
        if folder != last_folder {
            last = layout.place_of_folder(folder);
            folder.clone_into(&mut last_folder);
        }
        if !search.stored.is_empty()
            && layout
                .old_sources(&path, &last)
                .iter()
                .any(|source| search.is_stored(source))
        {
            search.num_stored += 1;
            continue;
        }
        let key = (last.input(), last.name.clone());
        let input = inputs
            .entry(key)
            .or_insert_with(|| (Chosen::default(), last.above));
        input.0.push(ix, last.above.min(path.len()));
    }
    let jobs = inputs
        .into_iter()
        .flat_map(|((input, name), (chosen, above))| {
            let (first, _) = chosen.get(0);
            let path = listing.relative(first);
            let mut folder = listing.root().to_owned();
            folder.extend(path.get(..above.saturating_sub(1)));
            let files = Files::of_folder(listing.clone(), chosen, folder, name);
            cut(Dataset::Soda10m, files, &input, tags)
        });
    jobs.collect()
}

/// What the name of an image in the folder or archive `input`, and its tags, say.
pub(super) fn facts(input: &str, relative: &str, tags: &Tags) -> Facts {
    let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let stem = name.split_once('.').map_or(name, |(stem, _)| stem);
    let tokens: Vec<&str> = stem.split('_').collect();
    let (split, city) = match tokens[..] {
        ["UNLABEL", _, city, ..] => {
            let split = folders
                .rsplit('/')
                .chain(input.rsplit('/'))
                .find_map(unlabelled_split);
            (split, city_code(city))
        }
        ["HT", split, _, city, ..] => (Some(split.to_ascii_lowercase()), city_code(city)),
        _ => (None, None),
    };
    let tags = tags.of(name).cloned().unwrap_or_default();
    Facts {
        split,
        time_of_day: tags.period,
        weather: tags.weather,
        location: tags.location,
        city: tags.city.or(city),
        ..Facts::default()
    }
}

fn city_code(token: &str) -> Option<String> {
    let is_code = !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_uppercase());
    is_code.then(|| token.to_owned())
}

#[cfg(test)]
mod tests;
