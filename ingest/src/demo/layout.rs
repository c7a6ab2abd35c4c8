//! Files as the three data sets lay them out: names, encodings, and the Waymo records in their
//! order.

use super::photo::Photo;
use super::plan::{Drive, Plan, WAYMO_CAMERAS};
use crate::error::{Error, Result};
use crate::source::waymo::messages::{CameraImage, Context, Frame, Stats};
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use prost::Message;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use tfrecord::RecordWriter;

const JPEG_QUALITY: i32 = 90;
/// When the first drive began: microseconds since 1970.
const EPOCH_MICROS: i64 = 1_550_000_000_000_000;
const CITY_CODES: [&str; 4] = ["BJ", "SH", "GZ", "SZ"];

/// Where a drive lies.
pub fn waymo_path(name: &str) -> PathBuf {
    format!("waymo/segment-{name}_with_camera_labels.tfrecord").into()
}

/// Where an unlabelled SODA10M picture lies.
pub fn soda10m_path(seed: u64, ix: u32) -> PathBuf {
    let city = CITY_CODES[ix as usize % CITY_CODES.len()];
    format!(
        "soda10m/SSLAD-2D/unlabel/image_0/UNLABEL_01_{city}_{:03}_{:014}.jpg",
        seed % 1_000,
        ix + 1
    )
    .into()
}

/// Where a Cityscapes picture and its labels lie.
pub fn cityscapes_paths(split: &str, ix: u32) -> [PathBuf; 2] {
    let stem = format!("demo/demo_{ix:06}_000019");
    [
        format!("cityscapes/leftImg8bit/{split}/{stem}_leftImg8bit.png").into(),
        format!("cityscapes/gtFine/{split}/{stem}_gtFine_labelIds.png").into(),
    ]
}

/// A picture as JPEG: baseline, 4:2:0, like Waymo's.
pub fn jpeg(photo: &Photo) -> Vec<u8> {
    let (width, height) = (photo.size.width as usize, photo.size.height as usize);
    let image = turbojpeg::Image {
        pixels: photo.rgba.as_slice(),
        width,
        pitch: width * 4,
        height,
        format: turbojpeg::PixelFormat::RGBA,
    };
    let jpeg = turbojpeg::compress(image, JPEG_QUALITY, turbojpeg::Subsamp::Sub2x2);
    jpeg.expect("RGBA of this size can be encoded").to_vec()
}

/// A picture and its label ids as PNGs.
pub fn pngs(photo: &Photo) -> (Vec<u8>, Vec<u8>) {
    let png = |pixels: &[u8], color| {
        let mut file = Vec::new();
        let encoder =
            PngEncoder::new_with_quality(&mut file, CompressionType::Fast, FilterType::Sub);
        let encoded = encoder.write_image(pixels, photo.size.width, photo.size.height, color);
        encoded.expect("a picture in memory can be encoded into memory");
        file
    };
    let rgb: Vec<u8> = photo
        .rgba
        .chunks_exact(4)
        .flat_map(|px| [px[0], px[1], px[2]])
        .collect();
    let labels = photo
        .labels
        .as_deref()
        .expect("Cityscapes pictures are drawn with labels");
    (
        png(&rgb, ExtendedColorType::Rgb8),
        png(labels, ExtendedColorType::L8),
    )
}

/// A step of a drive as a Waymo `Frame` message. `jpegs` are numbered as in `CameraName`.
pub fn waymo_record(drive: &Drive, micros: i64, jpegs: Vec<(i32, Vec<u8>)>) -> Vec<u8> {
    let stats = Stats {
        time_of_day: Some(drive.hour.name().to_owned()),
        location: Some(drive.location.to_owned()),
        weather: Some(drive.weather.name().to_owned()),
    };
    let images = jpegs.into_iter().map(|(number, jpeg)| CameraImage {
        name: Some(number),
        image: Some(jpeg.into()),
    });
    let frame = Frame {
        context: Some(Context {
            name: Some(drive.name.clone()),
            stats: Some(stats),
        }),
        timestamp_micros: Some(EPOCH_MICROS + micros),
        images: images.collect(),
    };
    frame.encode_to_vec()
}

/// What a thread has drawn.
pub enum Drawn {
    /// A record of a drive.
    Step {
        drive_ix: usize,
        step: u32,
        record: Vec<u8>,
    },
    /// Whole files, with their paths in the output folder.
    Files(Vec<(PathBuf, Vec<u8>)>),
}

/// Puts what the threads have drawn in its place: every file is whole or not there.
pub struct Writer<'a> {
    out: &'a Path,
    plan: &'a Plan,
    /// Records that wait for earlier ones, by drive and step.
    waiting: BTreeMap<(usize, u32), Vec<u8>>,
    open: Vec<OpenDrive>,
}

/// A drive of which some records are written.
struct OpenDrive {
    num_written: u32,
    file: Option<RecordWriter<Vec<u8>, std::io::BufWriter<fs::File>>>,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a Path, plan: &'a Plan) -> Self {
        let open = plan
            .drives
            .iter()
            .map(|_| OpenDrive {
                num_written: 0,
                file: None,
            })
            .collect();
        Self {
            out,
            plan,
            waiting: BTreeMap::new(),
            open,
        }
    }

    /// Returns how many images came with it.
    pub fn write(&mut self, drawn: Drawn) -> Result<u64> {
        match drawn {
            Drawn::Step {
                drive_ix,
                step,
                record,
            } => {
                self.waiting.insert((drive_ix, step), record);
                self.append_ready(drive_ix)?;
                Ok(WAYMO_CAMERAS.len() as u64)
            }
            Drawn::Files(files) => {
                for (path, bytes) in files {
                    let path = self.out.join(path);
                    let partial = prepare(&path)?;
                    fs::write(&partial, bytes).map_err(Error::io("write", &partial))?;
                    fs::rename(&partial, &path).map_err(Error::io("rename to", &path))?;
                }
                Ok(1)
            }
        }
    }

    /// Appends the records of a drive whose turn it is.
    fn append_ready(&mut self, drive_ix: usize) -> Result<()> {
        let drive = &self.plan.drives[drive_ix];
        let open = &mut self.open[drive_ix];
        let path = self.out.join(waymo_path(&drive.name));
        let partial = partial_of(&path);
        while let Some(record) = self.waiting.remove(&(drive_ix, open.num_written)) {
            let file = match &mut open.file {
                Some(file) => file,
                none => {
                    prepare(&path)?;
                    none.insert(RecordWriter::create(&partial).map_err(tfrecord_error(&partial))?)
                }
            };
            file.send(record).map_err(tfrecord_error(&partial))?;
            open.num_written += 1;
        }
        if open.num_written == drive.num_steps
            && let Some(mut file) = open.file.take()
        {
            file.flush().map_err(tfrecord_error(&partial))?;
            fs::rename(&partial, &path).map_err(Error::io("rename to", &path))?;
        }
        Ok(())
    }

    /// Checks that nothing is left waiting.
    pub fn finish(self) -> Result<()> {
        assert!(
            self.waiting.is_empty() && self.open.iter().all(|o| o.file.is_none()),
            "every drive is complete"
        );
        Ok(())
    }
}

/// Makes the folder of a file, and returns the name to write it under until it is whole.
fn prepare(path: &Path) -> Result<PathBuf> {
    let folder = path
        .parent()
        .expect("files lie in folders of the output folder");
    fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))?;
    Ok(partial_of(path))
}

fn partial_of(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".partial");
    name.into()
}

fn tfrecord_error(path: &Path) -> impl FnOnce(tfrecord::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::Io {
        action: "write",
        path,
        source: std::io::Error::other(error),
    }
}
