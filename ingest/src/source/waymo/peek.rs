//! A look at the beginning of a TFRecord file: what its first record is.
//!
//! Files of the motion data set are TFRecords, too, called like those with images, but hold no
//! images. They are told by their content: messages `Scenario`, whose first field are the times of
//! its steps, and `tf.Example`, whose features are called `state/…`, `roadgraph_samples/…`.

use std::io::Read;

use super::compressed;
use super::place::Place;
use super::tfrecord::{HEADER_BYTES, parse_header};

/// How far it is looked.
const PEEK_BYTES: u64 = 4096;

/// How names of features begin in the motion data set.
const MOTION_FEATURES: [&[u8]; 4] = [
    b"state/",
    b"roadgraph_samples/",
    b"traffic_light_state/",
    b"scenario/",
];

/// What the first record is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum First {
    /// Of the motion data set.
    Motion,
    /// A frame of this drive, as far as can be seen.
    Frame(Option<String>),
}

/// Looks at the file at `place`. What cannot be read is taken for a frame, and reported when it is.
pub(super) fn peek(place: &Place) -> First {
    let mut head = Vec::new();
    if let Ok(unpacked) = compressed::open(place) {
        // All that came before an error counts.
        let _ = unpacked.reader.take(PEEK_BYTES).read_to_end(&mut head);
    }
    first(&head)
}

fn first(head: &[u8]) -> First {
    let Some((header, data)) = head.split_first_chunk::<{ HEADER_BYTES as usize }>() else {
        return First::Frame(None);
    };
    let Some(length) = parse_header(header) else {
        return First::Frame(None);
    };
    let data = &data[..data
        .len()
        .min(usize::try_from(length).unwrap_or(usize::MAX))];
    match is_scenario(data) || is_example(data) {
        true => First::Motion,
        false => First::Frame(context_name(data)),
    }
}

/// A field whose bytes have a length in front, and what follows it. The field may be cut off.
fn delimited(data: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, mut rest) = data.split_first()?;
    let mut len = 0_u64;
    for shift in (0..64).step_by(7) {
        let (&byte, after) = rest.split_first()?;
        rest = after;
        len |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            let len = usize::try_from(len).ok()?.min(rest.len());
            let (content, after) = rest.split_at(len);
            return Some((tag, content, after));
        }
    }
    None
}

/// The content of field 1, if `data` begin with it.
fn field_1(data: &[u8]) -> Option<&[u8]> {
    delimited(data)
        .filter(|&(tag, ..)| tag == 0x0A)
        .map(|(_, content, _)| content)
}

/// `Scenario` begins with `repeated double timestamps_seconds = 1`, packed or not. Those of the
/// lidar release leave all out but `scenario_id = 5`, 16 hexadecimal digits, and fields 12 or 13.
fn is_scenario(data: &[u8]) -> bool {
    if data.len() >= 18 && data[0] == 0x09 && data[9] == 0x09 {
        return is_time(&data[1..9], &data[10..18]);
    }
    match delimited(data) {
        Some((0x0A, times, _)) if times.len() >= 16 => is_time(&times[..8], &times[8..16]),
        Some((0x2A, id, rest)) => {
            let is_lidar = rest.first().is_some_and(|tag| [0x62, 0x6A].contains(tag));
            is_lidar && id.len() == 16 && id.iter().all(u8::is_ascii_hexdigit)
        }
        _ => false,
    }
}

/// Whether two doubles are times of a scenario: seconds from its beginning, some tenths apart.
fn is_time(a: &[u8], b: &[u8]) -> bool {
    let [a, b] = [a, b].map(|bytes| {
        bytes
            .first_chunk()
            .map_or(f64::NAN, |bytes| f64::from_le_bytes(*bytes))
    });
    (0.0..1000.0).contains(&a) && (0.001..10.0).contains(&(b - a))
}

/// `Example.features.feature`, a map whose entries begin with their key.
fn is_example(data: &[u8]) -> bool {
    let key = field_1(data)
        .and_then(field_1)
        .and_then(|entry| field_1(entry));
    key.is_some_and(|key| MOTION_FEATURES.iter().any(|begin| key.starts_with(begin)))
}

/// `Frame.context.name`.
fn context_name(data: &[u8]) -> Option<String> {
    let name = field_1(field_1(data)?)?;
    let text = std::str::from_utf8(name).ok()?;
    let is_name = !text.is_empty() && !text.contains(char::is_control);
    is_name.then(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use prost::Message;

    use super::*;
    use crate::source::waymo::messages::{Context, Frame, Stats};
    use crate::source::waymo::tfrecord::framed;

    fn field(tag: u8, content: &[u8]) -> Vec<u8> {
        let len = content.len();
        assert!(len < 1 << 14);
        [&[tag, len as u8 | 0x80, (len >> 7) as u8], content].concat()
    }

    #[test]
    fn messages_of_the_motion_data_set_are_known() {
        let times: Vec<f64> = (0..91).map(|step| f64::from(step) * 0.1).collect();
        let unpacked: Vec<u8> = times
            .iter()
            .flat_map(|time| [&[0x09][..], &time.to_le_bytes()].concat())
            .collect();
        let packed: Vec<u8> = times.iter().flat_map(|time| time.to_le_bytes()).collect();
        let example = |key: &str| {
            let entry = [field(0x0A, key.as_bytes()), field(0x12, &[7; 5000])].concat();
            field(0x0A, &field(0x0A, &entry))
        };
        let lidar = [field(0x2A, b"637f20cafde22ff8"), field(0x62, &[1; 9])].concat();
        for data in [
            unpacked,
            field(0x0A, &packed),
            example("state/past/x"),
            example("roadgraph_samples/xyz"),
            example("scenario/id"),
            lidar,
        ] {
            let file = framed(&data);
            assert_eq!(first(&file), First::Motion);
            assert_eq!(first(&file[..file.len().min(100)]), First::Motion);
        }
        assert_eq!(
            first(&framed(&example("image/encoded"))),
            First::Frame(None)
        );
    }

    #[test]
    fn frames_are_none_and_say_their_drive() {
        for name in [
            "10023947602400723454_1120_000_1140_000",
            "drive",
            "state/x",
            "AAAAAAAAAAAAAAAAAAAAAAAAAAAA",
            "00000000000000000000000000000",
        ] {
            let frame = Frame {
                context: Some(Context {
                    name: Some(name.into()),
                    stats: Some(Stats::default()),
                }),
                timestamp_micros: Some(7),
                images: Vec::new(),
            };
            let found = first(&framed(&frame.encode_to_vec()));
            assert_eq!(found, First::Frame(Some(name.into())));
        }
    }

    #[test]
    fn anything_else_is_taken_for_a_frame() {
        let good = framed(&[9; 40]);
        for len in 0..good.len() {
            assert_eq!(first(&good[..len]), First::Frame(None), "{len} bytes");
        }
        assert_eq!(first(&[0x0A; 4096]), First::Frame(None));
        assert_eq!(first(&framed(&[0xFF; 100])), First::Frame(None));
    }
}
