//! How much a view loses by being made from a stored level instead of the original image.
//!
//! Crops of accepted pairs (IoU >= 0.5) are drawn in frames of the set, as a sampler draws them. Each becomes a view twice:
//! from the level that a sampler chooses for it, and from the original file, decoded in full; their
//! difference is the PSNR. Crops for which a sampler chooses level 0 are counted and not measured:
//! what is lossless would only flatter the median.
//!
//! The frames are a random selection of those that the given inputs and the set have in common; the
//! same set, inputs and seed give the same crops. Inputs are read only as far as frames of the
//! selection are to come.

mod choose;
mod report;
mod views;

use std::collections::BTreeMap;
use std::collections::HashMap;
use std::iter;
use std::path::PathBuf;
use std::sync::Arc;

use sampler::PairConfig;
use sampler::random::crop::draw_pair;
use sampler::random::rng::{Purpose, Stream};
use schemas::catalog::{Catalog, ShardInfo};
use schemas::geom::choose_level;
use schemas::inputs::GivenInputs;
use schemas::shard::{FrameEntry, Settings, ShardReader};

use crate::error::{Defect, Error, Result, Trouble};
use crate::source::{Dataset, Input, Job, Search, Selection, expand, read, root_of};

pub use report::{Distribution, Fidelity, LevelFidelity, Measured, Sample};
pub use views::{Comparison, write_contact_sheet};

use choose::choose;
use report::Tally;
use views::{VIEW_PX, Viewer};

/// Pairs drawn in a frame for each crop that is to be measured, before the frame is given up: crops
/// of a small frame nearly all need level 0.
const PAIRS_PER_CROP: usize = 10;

/// What to compare.
#[derive(Clone, Debug)]
pub struct Request {
    /// Folder of the set.
    pub shards: PathBuf,
    /// Files and folders that were ingested into it, or some of them.
    pub inputs: Vec<Input>,
    /// Crops to measure.
    pub crops: usize,
    /// Names the frames and crops.
    pub seed: u64,
}

/// Measures what `request` asks for; `on_progress` hears of the number of crops so far.
///
/// # Errors
/// If there is no set, it holds nothing of an input, an input is no longer what it was when it was
/// ingested, or reading fails.
pub fn measure(request: &Request, on_progress: &mut dyn FnMut(u64)) -> Result<Measured> {
    let catalog = Catalog::open(&request.shards)?;
    let stored = stored_jobs(&catalog, &request.inputs)?;
    let chosen = choose_frames(&stored, request)?;
    let mut meter = Meter::new(catalog.settings(), request.seed, on_progress);
    let (share, rest) = (request.crops / chosen.len(), request.crops % chosen.len());
    let mut wanted = vec![Vec::new(); stored.len()];
    for (number, (job_ix, row)) in chosen.into_iter().enumerate() {
        wanted[job_ix].push((row, share + usize::from(number < rest)));
    }
    for (job, rows) in stored
        .iter()
        .zip(wanted)
        .filter(|(_, rows)| !rows.is_empty())
    {
        meter.measure_job(job, &rows)?;
    }
    Ok(meter.tally.finish())
}

/// A job whose shard is in the set.
struct StoredJob {
    job: Job,
    shard: PathBuf,
    /// Rows that have more than level 0.
    rows: Vec<usize>,
}

/// The jobs of all inputs that the set has shards of.
fn stored_jobs(catalog: &Catalog, inputs: &[Input]) -> Result<Vec<StoredJob>> {
    let mut jobs = Vec::new();
    for input in expand(inputs)? {
        let of_input = jobs_in_set(catalog, &input)?;
        if of_input.is_empty() {
            let advice = format!("give what was ingested into {:?}", catalog.dir());
            return Err(Error::input(
                "the set holds nothing of this input",
                input.path,
                advice,
            ));
        }
        jobs.extend(of_input);
    }
    let stored = |job: Job| {
        let shard = catalog
            .dir()
            .join(schemas::shard::FRAMES_DIR)
            .join(job.id.file_name());
        let has_reduced_level = |row: &FrameEntry| {
            let levels = catalog.settings().levels.iter().zip(&row.levels);
            levels
                .into_iter()
                .any(|(&level, entry)| level > 0 && entry.is_some())
        };
        let rows = ShardReader::open(&shard)?.rows()?;
        let rows = rows
            .iter()
            .enumerate()
            .filter(|(_, row)| has_reduced_level(row))
            .map(|(ix, _)| ix)
            .collect();
        Ok(StoredJob { job, shard, rows })
    };
    let by_name: BTreeMap<String, Job> = jobs
        .into_iter()
        .map(|job| (job.id.file_name(), job))
        .collect();
    by_name.into_values().map(stored).collect()
}

/// The jobs of `path`, read as the data set that its shards are of.
fn jobs_in_set(catalog: &Catalog, input: &Input) -> Result<Vec<Job>> {
    let (root, given) = (root_of(&input.path), GivenInputs::read(catalog.dir()));
    let bytes = |info: &ShardInfo| info.input.as_ref().and_then(|input| input.bytes);
    let shards = catalog.shards().iter();
    let in_set = shards.map(|info| (info.id.input.clone(), bytes(info)));
    let in_set: Arc<HashMap<_, _>> = Arc::new(in_set.collect());
    let mut found = Vec::new();
    for dataset in Dataset::ALL {
        let known = given.of_root(dataset.name(), &root);
        let mut search = Search {
            name: known.map_or(input.name.clone(), |given| given.name.clone()),
            in_set: in_set.clone(),
            given_before: given.inputs_of(dataset.name(), &root),
            selection: known.map_or_else(Selection::default, |given| {
                Selection::of_options(&given.options)
            }),
            ..Search::default()
        };
        // What is no input of this data set is one of another.
        for job in dataset.jobs(&input.path, &mut search).unwrap_or_default() {
            if is_in_set(catalog, &job, dataset)? {
                found.push(job);
            }
        }
    }
    Ok(found)
}

fn is_in_set(catalog: &Catalog, job: &Job, dataset: Dataset) -> Result<bool> {
    let name = job.id.file_name();
    let Ok(ix) = catalog
        .shards()
        .binary_search_by(|info| info.name.cmp(&name))
    else {
        return Ok(false);
    };
    let rows = ShardReader::open(&catalog.shard_path(ix as u32))?.rows()?;
    Ok(rows
        .first()
        .is_none_or(|row| row.meta.dataset == dataset.name()))
}

/// Frames to measure, as numbers of job and row, ascending: two crops or more in each.
fn choose_frames(stored: &[StoredJob], request: &Request) -> Result<Vec<(usize, usize)>> {
    let frames = stored
        .iter()
        .enumerate()
        .flat_map(|(ix, job)| job.rows.iter().map(move |&row| (ix, row)));
    let mut stream = Stream::new(request.seed, 0, Purpose::Order, 0, 0);
    let mut chosen = choose(frames, request.crops.div_ceil(2), &mut stream);
    if chosen.is_empty() {
        let advice = format!(
            "level 1 is stored of frames with {} pixels a side and more",
            2 * VIEW_PX
        );
        return Err(Error::input(
            "no frame of the inputs has a level besides 0 in this set",
            &request.shards,
            advice,
        ));
    }
    chosen.sort_unstable();
    Ok(chosen)
}

/// Measures frame after frame.
struct Meter<'a> {
    settings: &'a Settings,
    seed: u64,
    on_progress: &'a mut dyn FnMut(u64),
    measured: u64,
    viewer: Viewer,
    tally: Tally,
}

impl<'a> Meter<'a> {
    fn new(settings: &'a Settings, seed: u64, on_progress: &'a mut dyn FnMut(u64)) -> Self {
        Self {
            settings,
            seed,
            on_progress,
            measured: 0,
            viewer: Viewer::new(),
            tally: Tally::new(&settings.levels),
        }
    }

    /// Measures some rows of a shard, each with the number of its crops.
    fn measure_job(&mut self, stored: &StoredJob, wanted: &[(usize, usize)]) -> Result<()> {
        let shard = ShardReader::open(&stored.shard)?;
        let rows = shard.rows()?;
        let mut wanted: HashMap<&str, (&FrameEntry, usize)> = wanted
            .iter()
            .map(|&(row, crops)| (rows[row].meta.frame_id.as_str(), (&rows[row], crops)))
            .collect();
        for item in stored.job.open(self.settings)? {
            let Ok(image) = item?.content else { continue };
            let Some((row, crops)) = wanted.remove(image.meta.frame_id.as_str()) else {
                continue;
            };
            let file = read(image.data).map_err(|trouble| changed(row, trouble))?;
            self.measure_frame(&shard, row, &file, crops)?;
            if wanted.is_empty() {
                return Ok(());
            }
        }
        match wanted
            .into_values()
            .map(|(row, _)| row)
            .min_by_key(|row| &row.meta.frame_id)
        {
            Some(row) => Err(changed(
                row,
                Defect::new("gone", "it is no longer there").into(),
            )),
            None => Ok(()),
        }
    }

    fn measure_frame(
        &mut self,
        shard: &ShardReader,
        row: &FrameEntry,
        file: &[u8],
        crops: usize,
    ) -> Result<()> {
        let original = jpeg::decode_rgb(file).map_err(|defect| changed(row, defect.into()))?;
        if original.dimensions() != (row.meta.size.width, row.meta.size.height) {
            return Err(changed(
                row,
                Defect::new("other-size", "its size is another").into(),
            ));
        }
        self.tally.add_frame(row, file.len() as u64);
        let levels = &self.settings.levels;
        let mut decoded = vec![None; levels.len()];
        let config = PairConfig::default();
        let mut stream = Stream::new(self.seed, 0, Purpose::Pair, 0, row.meta.key());
        let pairs = iter::repeat_with(|| draw_pair(&mut stream, row.meta.size, &config))
            .take(PAIRS_PER_CROP * crops)
            .filter(|pair| !pair.fell_back);
        let mut measured = 0;
        for crop in pairs.flat_map(|pair| [pair.a, pair.b]) {
            let chosen = choose_level(crop.size(), VIEW_PX, levels, |ix| row.levels[ix].is_some());
            let Some((ix, level)) = chosen.filter(|&(_, level)| level > 0) else {
                self.tally.add_exact();
                continue;
            };
            let pixels = match &mut decoded[ix] {
                Some(pixels) => pixels,
                empty => empty.insert(views::decode_level(shard, row, ix)?),
            };
            let comparison = Comparison {
                original: self.viewer.view(&original, crop, 0),
                stored: self.viewer.view(pixels, crop, level),
            };
            self.tally.add(&row.meta.frame_id, ix, crop, comparison);
            self.measured += 1;
            (self.on_progress)(self.measured);
            measured += 1;
            if measured == crops {
                break;
            }
        }
        Ok(())
    }
}

/// The input differs from what was ingested.
fn changed(row: &FrameEntry, trouble: Trouble) -> Error {
    match trouble {
        Trouble::Run(error) => error,
        Trouble::Item(Defect { reason, detail }) => {
            let advice = format!("give the input as it was ({reason}: {detail})");
            Error::input(
                "an image is not what it was when it was ingested",
                &row.meta.source,
                advice,
            )
        }
    }
}
