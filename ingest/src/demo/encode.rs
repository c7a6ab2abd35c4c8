//! Photographs as the three data sets encode them.

use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use image::{ExtendedColorType, ImageEncoder};
use prost::Message;
use scenes::{Hour, Photo, Weather};

use super::plan::Drive;
use crate::source::waymo::messages::{CameraImage, Context, Frame, Stats};

const JPEG_QUALITY: i32 = 90;
/// When the first drive began: microseconds since 1970.
const EPOCH_MICROS: i64 = 1_550_000_000_000_000;

/// A picture as JPEG: baseline, 4:2:0, like Waymo's.
pub(super) fn jpeg(photo: &Photo) -> Vec<u8> {
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
pub(super) fn pngs(photo: &Photo) -> (Vec<u8>, Vec<u8>) {
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
pub(super) fn waymo_record(drive: &Drive, micros: i64, jpegs: Vec<(i32, Vec<u8>)>) -> Vec<u8> {
    let stats = Stats {
        time_of_day: Some(time_of_day(drive.hour).to_owned()),
        location: Some(drive.location.to_owned()),
        weather: Some(weather(drive.weather).to_owned()),
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

/// An hour as Waymo's `time_of_day` names it.
fn time_of_day(hour: Hour) -> &'static str {
    match hour {
        Hour::Day => "Day",
        Hour::DawnDusk => "Dawn/Dusk",
        Hour::Night => "Night",
    }
}

/// As Waymo's `weather` names it.
fn weather(weather: Weather) -> &'static str {
    match weather {
        Weather::Sunny => "sunny",
        Weather::Rain => "rain",
    }
}
