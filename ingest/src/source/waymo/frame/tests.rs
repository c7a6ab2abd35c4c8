use super::*;
use crate::source::Data;
use crate::source::waymo::CAMERAS;
use crate::source::waymo::messages::{Context, EndToEndFrame, Stats};

fn frame(cameras: &[i32]) -> Frame {
    let stats = Stats {
        time_of_day: Some("Day".into()),
        location: Some("location_sf".into()),
        weather: Some(String::new()),
    };
    let image = |&camera: &i32| CameraImage {
        name: Some(camera),
        image: Some(Bytes::from_static(b"jpeg")),
    };
    Frame {
        context: Some(Context {
            name: Some("drive".into()),
            stats: Some(stats),
        }),
        timestamp_micros: Some(7),
        images: cameras.iter().map(image).collect(),
    }
}

fn read(frame: &Frame, cameras: &[&str]) -> Result<Images, Defect> {
    let cameras = cameras.iter().map(|&camera| camera.to_owned()).collect();
    images(frame.encode_to_vec().into(), Some("training"), &cameras).map(Option::unwrap_or_default)
}

#[test]
fn a_frame_yields_one_image_a_camera() {
    let images = read(&frame(&[1, 2, 3, 4, 5, 6, 7, 8]), &[]).unwrap();
    let ids: Vec<_> = images
        .iter()
        .map(|image| image.as_ref().unwrap().meta.frame_id.as_str())
        .collect();
    assert_eq!(ids, CAMERAS.map(|camera| format!("drive/7/{camera}")));
    let meta = &images[2].as_ref().unwrap().meta;
    assert_eq!(
        (meta.time_of_day.as_deref(), meta.weather.as_deref()),
        (Some("Day"), None)
    );
    assert_eq!(
        (meta.split.as_deref(), meta.segment.as_deref()),
        (Some("training"), Some("drive"))
    );
}

#[test]
fn only_wanted_cameras_appear() {
    let images = read(&frame(&[1, 2, 3]), &["FRONT_RIGHT", "FRONT"]).unwrap();
    let cameras = images
        .into_iter()
        .map(|image| image.unwrap().meta.camera.unwrap());
    assert_eq!(cameras.collect::<Vec<_>>(), ["FRONT", "FRONT_RIGHT"]);
}

#[test]
fn unknown_cameras_and_nameless_frames_are_defects() {
    let images = read(&frame(&[9, 1]), &[]).unwrap();
    assert_eq!(images[0].as_ref().unwrap_err().reason, "unknown-camera");
    assert!(images[1].is_ok());
    let nameless = Frame {
        context: None,
        ..frame(&[1])
    };
    assert_eq!(read(&nameless, &[]).unwrap_err().reason, "bad-protobuf");
    assert_eq!(
        read(
            &Frame {
                context: None,
                ..frame(&[])
            },
            &[]
        )
        .unwrap()
        .len(),
        0
    );
}

#[test]
fn jpegs_are_slices_of_the_record() {
    let record = Bytes::from(frame(&[1]).encode_to_vec());
    let images = images(record.clone(), None, &BTreeSet::new())
        .unwrap()
        .unwrap();
    let Data::Bytes(jpeg) = &images[0].as_ref().unwrap().data else {
        panic!("not bytes")
    };
    assert!(record.as_ptr_range().contains(&jpeg.as_ptr()));
}

/// `frame` as the end-to-end release has it, with a field behind that is not declared.
fn wrapped(frame: &Frame) -> Vec<u8> {
    let wrapper = EndToEndFrame {
        frame: Some(frame.clone()),
    };
    [&wrapper.encode_to_vec()[..], &[0x3A, 2, 1, 1]].concat()
}

fn moment(context: &str, timestamp: Option<i64>) -> Frame {
    let mut moment = frame(&[1, 2, 3, 4, 5, 6, 7, 8]);
    moment.context.as_mut().unwrap().name = Some(context.into());
    moment.timestamp_micros = timestamp;
    for image in &mut moment.images {
        image.image = Some(Bytes::from_static(b"\xFF\xD8\xFF\xE0 and so on"));
    }
    moment
}

fn read_bytes(record: Vec<u8>) -> Result<Images, Defect> {
    images(record.into(), Some("training"), &BTreeSet::new()).map(Option::unwrap)
}

#[test]
fn a_message_with_nothing_of_a_frame_is_none() {
    // Nothing; an unknown field; a `tf.Example`, whose feature reads like a context's name.
    let example = b"\x0A\x0F\x0A\x0D\x0A\x0Bimage/width";
    for record in [&b""[..], b"\xFA\x3F\x01x", example] {
        let found = images(record.to_vec().into(), None, &BTreeSet::new());
        assert!(found.unwrap().is_none(), "{record:?}");
    }
}

#[test]
fn a_moment_of_the_end_to_end_release_yields_eight_images_of_its_sequence() {
    for (timestamp, known) in [(None, None), (Some(0), None), (Some(5), Some(5))] {
        let images = read_bytes(wrapped(&moment("8e737334b520-085", timestamp))).unwrap();
        assert_eq!(images.len(), 8);
        let meta = &images[7].as_ref().unwrap().meta;
        let micros = known.unwrap_or(0);
        assert_eq!(
            meta.frame_id,
            format!("8e737334b520-085/{micros}/REAR_RIGHT")
        );
        assert_eq!(meta.segment.as_deref(), Some("8e737334b520"));
        assert_eq!(meta.timestamp_micros, known);
    }
}

#[test]
fn a_moment_without_images_is_no_skip() {
    let empty = Frame {
        images: Vec::new(),
        ..moment("8e737334b520-085", Some(0))
    };
    assert!(read_bytes(wrapped(&empty)).unwrap().is_empty());
}

#[test]
fn a_frame_is_never_taken_for_a_moment() {
    // Its context read as a frame: `stats` is field 4, as images are.
    let imageless = frame(&[]);
    assert!(read_bytes(imageless.encode_to_vec()).unwrap().is_empty());
    let of_moment = moment("8e737334b520-085", Some(5));
    let images = read_bytes(of_moment.encode_to_vec()).unwrap();
    let meta = &images[0].as_ref().unwrap().meta;
    assert_eq!(meta.segment.as_deref(), Some("8e737334b520-085"));
}

#[test]
fn contexts_end_in_an_index() {
    for (context, expected) in [
        ("8e73-085", "8e73"),
        ("a-b-007", "a-b"),
        ("8e73", "8e73"),
        ("8e73-", "8e73-"),
        ("-085", "-085"),
        ("8e73-x5", "8e73-x5"),
    ] {
        assert_eq!(sequence(context), expected);
    }
}
