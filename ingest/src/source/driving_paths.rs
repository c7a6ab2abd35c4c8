//! What the paths of driving sets say of a frame: drive, camera, time.
//!
//! A rule fits by the names of folders and by the form of the file's name, both; where none fits, a
//! path says nothing here. Sources: nuscenes-devkit, av2-api, argoverse-api, once_devkit, the
//! readme of KITTI's raw data, pandaset-devkit, doc.bdd100k.com, cityscapesScripts.

use super::facts::Facts;

/// What `folders`, from the outermost to the innermost, and the file `name` in them say.
pub(super) fn facts(folders: &[&str], name: &str) -> Option<Facts> {
    let (stem, _) = name.rsplit_once('.')?;
    nuscenes(stem)
        .or_else(|| argoverse2(folders, stem))
        .or_else(|| argoverse1(folders, stem))
        .or_else(|| once(folders, stem))
        .or_else(|| kitti_raw(folders, stem))
        .or_else(|| kitti(folders, stem))
        .or_else(|| pandaset(folders, stem))
        .or_else(|| bdd100k(folders, stem))
        .or_else(|| cityscapes(stem))
}

/// `n015-2018-07-24-11-22-45+0800__CAM_BACK__1532402927637525`: drive, camera, microseconds. Names
/// of nuImages are alike.
fn nuscenes(stem: &str) -> Option<Facts> {
    let (drive, rest) = stem.split_once("__")?;
    let (camera, micros) = rest.split_once("__")?;
    let micros = micros.parse().ok()?;
    let facts = camera_of(drive, camera, Some(micros));
    Some(facts).filter(|_| camera.starts_with("CAM_"))
}

/// `<log>/sensors/cameras/ring_front_center/315966265649927216`: nanoseconds.
fn argoverse2(folders: &[&str], stem: &str) -> Option<Facts> {
    let [.., log, "sensors", "cameras", camera] = folders else {
        return None;
    };
    let nanos: i64 = number(stem)?;
    Some(camera_of(log, camera, Some(nanos / 1000))).filter(|_| is_argoverse_camera(camera))
}

/// `train1/<log>/ring_front_center/ring_front_center_315968229010581848`: nanoseconds. Training
/// logs are shipped in four folders.
fn argoverse1(folders: &[&str], stem: &str) -> Option<Facts> {
    let [.., log, camera] = folders else {
        return None;
    };
    let nanos: i64 = number(stem.strip_prefix(camera)?.strip_prefix('_')?)?;
    let is_split = |folder: &&&str| matches!(**folder, "train1" | "train2" | "train3" | "train4");
    let split = folders.iter().find(is_split).map(|_| "train".to_owned());
    let facts = Facts {
        split,
        ..camera_of(log, camera, Some(nanos / 1000))
    };
    Some(facts).filter(|_| is_argoverse_camera(camera))
}

fn is_argoverse_camera(name: &str) -> bool {
    name.starts_with("ring_") || name.starts_with("stereo_")
}

/// `data/000076/cam01/1616343527200`: milliseconds. Raw data comes in folders `raw_0`, …
fn once(folders: &[&str], stem: &str) -> Option<Facts> {
    let [.., drive, camera] = folders else {
        return None;
    };
    let is_camera =
        camera.len() == 5 && camera.starts_with("cam0") && number(&camera[3..]).is_some();
    if !is_camera || drive.len() != 6 || number(drive).is_none() || stem.len() != 13 {
        return None;
    }
    let is_raw = |folder: &&&str| {
        folder.strip_prefix("raw_").is_some_and(|rest| {
            number(rest).is_some() || matches!(rest, "small" | "medium" | "large")
        })
    };
    Some(Facts {
        split: folders.iter().find(is_raw).map(ToString::to_string),
        ..camera_of(drive, camera, Some(number(stem)? * 1000))
    })
}

/// `2011_09_26/2011_09_26_drive_0001_sync/image_02/data/0000000000`; KITTI-360 has `data_rect`.
fn kitti_raw(folders: &[&str], stem: &str) -> Option<Facts> {
    let [.., drive, camera, "data" | "data_rect" | "data_rgb"] = folders else {
        return None;
    };
    let is_drive =
        drive.contains("_drive_") && drive.starts_with(|first: char| first.is_ascii_digit());
    number(stem)?;
    Some(camera_of(drive, camera, None)).filter(|_| is_drive && is_kitti_camera(camera))
}

/// `training/image_2/000000` and `000000_10`, drives `sequences/00/image_2/000000` (odometry) and
/// `training/image_02/0000/000000` (tracking).
fn kitti(folders: &[&str], stem: &str) -> Option<Facts> {
    let digits = stem
        .strip_suffix("_10")
        .or_else(|| stem.strip_suffix("_11"));
    number(digits.unwrap_or(stem)).filter(|_| stem.len() >= 6)?;
    let (drive, camera) = match folders {
        [.., "sequences", drive, camera] if number(drive).is_some() => (Some(drive), camera),
        [.., "training" | "testing", camera, drive] if number(drive).is_some() => {
            (Some(drive), camera)
        }
        [.., "training" | "testing", camera] => (None, camera),
        _ => return None,
    };
    let facts = Facts {
        segment: drive.map(ToString::to_string),
        camera: Some((*camera).to_owned()),
        ..Facts::default()
    };
    Some(facts).filter(|_| is_kitti_camera(camera))
}

fn is_kitti_camera(name: &str) -> bool {
    let number = name.strip_prefix("image_");
    number.is_some_and(|number| matches!(number.trim_start_matches('0'), "" | "1" | "2" | "3"))
}

/// `001/camera/front_camera/00`.
fn pandaset(folders: &[&str], stem: &str) -> Option<Facts> {
    let [.., drive, "camera", camera] = folders else {
        return None;
    };
    let is_drive = drive.len() == 3 && number(drive).is_some();
    number(stem)?;
    Some(camera_of(drive, camera, None)).filter(|_| is_drive && camera.ends_with("_camera"))
}

/// `b1c66a42-6f7d68ca`: one frame of a video, called like it. `b1c66a42-6f7d68ca-0000001`: one of
/// many, in a folder called like the video.
fn bdd100k(folders: &[&str], stem: &str) -> Option<Facts> {
    let is_hex = |text: &str| text.len() == 8 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_video = |text: &str| {
        text.split_once('-')
            .is_some_and(|(a, b)| is_hex(a) && is_hex(b))
    };
    let video = match stem.rsplit_once('-') {
        Some((video, frame)) if is_video(video) && frame.len() == 7 => {
            number(frame)?;
            folders.last().filter(|folder| **folder == video)?;
            video
        }
        _ => Some(stem).filter(|stem| is_video(stem))?,
    };
    Some(Facts {
        segment: Some(video.to_owned()),
        ..Facts::default()
    })
}

/// `aachen_000000_000019_leftImg8bit`: the city. Fog and rain are further words.
fn cityscapes(stem: &str) -> Option<Facts> {
    let mut words = stem.split('_');
    let city = words.next()?;
    let is_number =
        |word: Option<&str>| word.is_some_and(|word| word.len() == 6 && number(word).is_some());
    let is_frame = is_number(words.next()) && is_number(words.next());
    let is_image = matches!(words.next(), Some("leftImg8bit" | "rightImg8bit"));
    let is_city = !city.is_empty()
        && city
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'-');
    (is_frame && is_image && is_city).then(|| Facts {
        city: Some(city.to_owned()),
        ..Facts::default()
    })
}

/// Digits and nothing else.
fn number(text: &str) -> Option<i64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().ok())?
}

fn camera_of(segment: &str, camera: &str, timestamp_micros: Option<i64>) -> Facts {
    Facts {
        segment: Some(segment.to_owned()),
        camera: Some(camera.to_owned()),
        timestamp_micros,
        ..Facts::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(path: &str) -> Option<Facts> {
        let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
        facts(&folders.split('/').collect::<Vec<_>>(), name)
    }

    #[test]
    fn paths_of_driving_sets_say_drive_camera_and_time() {
        for (path, segment, camera, micros) in [
            (
                "samples/CAM_BACK_LEFT/n015-2018-07-24-11-22-45+0800__CAM_BACK_LEFT__1532402927647423.jpg",
                "n015-2018-07-24-11-22-45+0800",
                "CAM_BACK_LEFT",
                Some(1_532_402_927_647_423),
            ),
            (
                "train/02678d04-cc9f/sensors/cameras/ring_front_center/315969904449927217.jpg",
                "02678d04-cc9f",
                "ring_front_center",
                Some(315_969_904_449_927),
            ),
            (
                "train1/10b8dee6-778f/stereo_front_left/stereo_front_left_315968229010581848.jpg",
                "10b8dee6-778f",
                "stereo_front_left",
                Some(315_968_229_010_581),
            ),
            (
                "raw_0/data/000076/cam01/1616343527200.jpg",
                "000076",
                "cam01",
                Some(1_616_343_527_200_000),
            ),
            (
                "2011_09_26/2011_09_26_drive_0001_sync/image_02/data/0000000000.png",
                "2011_09_26_drive_0001_sync",
                "image_02",
                None,
            ),
            (
                "data_2d_raw/2013_05_28_drive_0000_sync/image_00/data_rect/0000000000.png",
                "2013_05_28_drive_0000_sync",
                "image_00",
                None,
            ),
            ("sequences/00/image_2/000000.png", "00", "image_2", None),
            ("training/image_2/000000.png", "", "image_2", None),
            ("training/image_3/000000_10.png", "", "image_3", None),
            ("testing/image_02/0007/000012.png", "0007", "image_02", None),
            (
                "001/camera/front_camera/00.jpg",
                "001",
                "front_camera",
                None,
            ),
        ] {
            let facts = of(path).unwrap_or_default();
            assert_eq!(facts.segment.unwrap_or_default(), segment, "{path}");
            assert_eq!(facts.camera.as_deref(), Some(camera), "{path}");
            assert_eq!(facts.timestamp_micros, micros, "{path}");
        }
    }

    #[test]
    fn splits_videos_and_cities_are_told() {
        let split = |path: &str| of(path).and_then(|facts| facts.split);
        assert_eq!(
            split("raw_0/data/000076/cam01/1616343527200.jpg").as_deref(),
            Some("raw_0")
        );
        assert_eq!(
            split("train3/log/ring_side_left/ring_side_left_1.jpg").as_deref(),
            Some("train")
        );
        let segment = |path: &str| of(path).and_then(|facts| facts.segment);
        for path in [
            "images/100k/train/b1c66a42-6f7d68ca.jpg",
            "images/track/train/b1c66a42-6f7d68ca/b1c66a42-6f7d68ca-0000001.jpg",
        ] {
            assert_eq!(
                segment(path).as_deref(),
                Some("b1c66a42-6f7d68ca"),
                "{path}"
            );
        }
        let city = |path: &str| of(path).and_then(|facts| facts.city);
        for (name, expected) in [
            ("aachen_000000_000019_leftImg8bit.png", "aachen"),
            (
                "lindau_000001_000019_rightImg8bit_foggy_beta_0.02.png",
                "lindau",
            ),
        ] {
            assert_eq!(city(name).as_deref(), Some(expected));
        }
    }

    #[test]
    fn other_paths_say_nothing() {
        for path in [
            "a__LIDAR_TOP__12.jpg",
            "a__CAM_FRONT__x.jpg",
            "a/sensors/cameras/front/1.jpg",
            "data/76/cam01/1616343527200.jpg",
            "images/image_2/000000.png",
            "training/image_2/000000x.png",
            "training/images/000000.png",
            "camera/front_camera/00.jpg",
            "other/b1c66a42-6f7d68ca-0000001.jpg",
            "b1c66a42-street.jpg",
            "a_b_leftImg8bit.png",
            "street.jpg",
            "street",
        ] {
            assert_eq!(of(path), None, "{path}");
        }
    }
}
