//! Tags of SODA10M images: city, location, period and weather, by file name.
//!
//! A tag file is JSON: a list of objects with a `file_name`, one such object a line, or a COCO
//! annotation file, whose `images` are that list. What is neither is passed over, whatever it holds.
//! Files are read as streams; ten million tags take 160 MB, since the few different combinations are
//! stored once.

use std::collections::HashMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, Read};

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use super::lenient::Lenient;

/// What is known of an image. A tag that is no text is not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct TagSet {
    /// `Shanghai`, …
    pub(crate) city: Option<String>,
    /// `Citystreet`, `Highway`, `Countryroad`, `Residential`.
    pub(crate) location: Option<String>,
    /// `Daytime`, `Night`, …
    pub(crate) period: Option<String>,
    /// `Clear`, `Overcast`, `Rainy`, …
    pub(crate) weather: Option<String>,
}

/// What an object of one image says.
const KEYS: [&str; 5] = ["file_name", "city", "location", "period", "weather"];

/// Tags of many images.
#[derive(Debug, Default)]
pub(crate) struct Tags {
    /// Hash of a file name and the number of its tags, sorted once all are read.
    images: Vec<(u64, u32)>,
    sets: Vec<TagSet>,
    numbers: HashMap<TagSet, u32>,
}

impl Tags {
    /// Adds the tags of a file, and says how many there are. They replace those of earlier files,
    /// once [`finish`](Self::finish) is called.
    ///
    /// # Errors
    /// If it cannot be read, or is no JSON. Then it adds nothing.
    pub(crate) fn read(&mut self, file: impl Read) -> io::Result<usize> {
        let before = self.images.len();
        let read = self.read_values(file);
        if read.is_err() {
            self.images.truncate(before);
        }
        read.map_err(io::Error::from)?;
        Ok(self.images.len() - before)
    }

    /// One value after the other, of which most files hold one.
    fn read_values(&mut self, file: impl Read) -> serde_json::Result<()> {
        let mut json = serde_json::Deserializer::from_reader(Lenient::new(file));
        loop {
            File(self).deserialize(&mut json)?;
            if json.end().is_ok() {
                return Ok(());
            }
        }
    }

    /// Makes all tags known to [`of`](Self::of).
    pub(crate) fn finish(&mut self) {
        self.images.sort_by_key(|&(hash, _)| hash);
        self.images.shrink_to_fit();
    }

    /// The tags of the image file `name`.
    pub(crate) fn of(&self, name: &str) -> Option<&TagSet> {
        let hash = hash(name);
        let after = self.images.partition_point(|&(other, _)| other <= hash);
        let &(found, number) = self.images[..after].last()?;
        (found == hash).then(|| &self.sets[number as usize])
    }

    fn add(&mut self, image: &Map<String, Value>) {
        let text = |key: &str| {
            image
                .get(key)
                .and_then(Value::as_str)
                .filter(|text| !text.is_empty())
                .map(str::to_owned)
        };
        let tags = TagSet {
            city: text("city"),
            location: text("location"),
            period: text("period"),
            weather: text("weather"),
        };
        let Some(path) = text("file_name").filter(|_| tags != TagSet::default()) else {
            return;
        };
        let name = path.rsplit(['/', '\\']).next().unwrap_or_default();
        let number = *self.numbers.entry(tags).or_insert_with_key(|tags| {
            self.sets.push(tags.clone());
            self.sets.len() as u32 - 1
        });
        self.images.push((hash(name), number));
    }
}

/// Two names of ten million have one hash with a probability of 3 in a million.
fn hash(name: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    hasher.finish()
}

/// A whole file: a list of images, an object with one, or something else.
struct File<'a>(&'a mut Tags);

impl<'de> DeserializeSeed<'de> for File<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for File<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut images: A) -> Result<(), A::Error> {
        while let Some(image) = images.next_element::<Value>()? {
            if let Value::Object(image) = image {
                self.0.add(&image);
            }
        }
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let mut image = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            if key == "images" {
                entries.next_value_seed(File(self.0))?;
            } else if KEYS.contains(&key.as_str()) {
                image.insert(key, entries.next_value()?);
            } else {
                entries.next_value::<IgnoredAny>()?;
            }
        }
        self.0.add(&image);
        Ok(())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tags(files: &[&str]) -> Tags {
        let mut tags = Tags::default();
        for file in files {
            tags.read(file.as_bytes()).unwrap();
        }
        tags.finish();
        tags
    }

    #[test]
    fn a_list_and_an_annotation_file_say_the_same() {
        let image = r#"{"file_name": "HT_VAL_1_SH.jpg", "city": "Shanghai", "location": "Citystreet",
                        "period": "Night", "weather": "Rainy", "id": 1}"#;
        let shanghai = TagSet {
            city: Some("Shanghai".into()),
            location: Some("Citystreet".into()),
            period: Some("Night".into()),
            weather: Some("Rainy".into()),
        };
        let coco = format!(
            r#"{{"annotations": [{{"bbox": [1, 2]}}], "images": [{image}], "categories": []}}"#
        );
        for file in [format!("[{image}]"), coco] {
            let tags = tags(&[&file]);
            assert_eq!(tags.of("HT_VAL_1_SH.jpg"), Some(&shanghai));
            assert_eq!(tags.of("HT_VAL_2_SH.jpg"), None);
        }
    }

    #[test]
    fn what_is_not_stated_is_not_known_and_later_files_win() {
        let tags = tags(&[
            r#"[{"file_name": "train/a.jpg", "weather": "Clear", "city": ""}, {"file_name": "b.jpg", "weather": 3}]"#,
            r#"[{"file_name": "a.jpg", "weather": "Rainy"}]"#,
        ]);
        assert_eq!(
            tags.of("a.jpg"),
            Some(&TagSet {
                weather: Some("Rainy".into()),
                ..TagSet::default()
            })
        );
        assert_eq!(tags.of("b.jpg"), None);
    }

    #[test]
    fn other_json_is_passed_over() {
        for other in [
            "{}",
            "[]",
            "3",
            "-1.5",
            "null",
            "true",
            r#""x""#,
            r#"[[1], 2, "x"]"#,
            r#"{"images": 3}"#,
        ] {
            assert!(tags(&[other]).images.is_empty(), "{other}");
        }
    }

    #[test]
    fn lines_marks_and_numbers_that_are_none_are_read() {
        let a = r#"{"file_name": "a.jpg", "city": "Shanghai", "area": NaN}"#;
        let b = r#"{"file_name": "b.jpg", "city": "Shanghai", "box": [Infinity, -Infinity]}"#;
        for file in [
            format!("[{a}, {b}]"),
            format!("{a}\n{b}\n"),
            format!("{a}\r\n\r\n{b}"),
            format!("\u{FEFF}[{a}]\n[{b}]"),
            format!(r#"{{"info": NaN, "images": [{a}, {b}]}}"#),
        ] {
            let tags = tags(&[&file]);
            for name in ["a.jpg", "b.jpg"] {
                let city = tags.of(name).and_then(|tags| tags.city.as_deref());
                assert_eq!(city, Some("Shanghai"), "{file}");
            }
        }
    }

    #[test]
    fn a_damaged_file_adds_nothing() {
        let mut tags = Tags::default();
        let image = r#"{"file_name": "a.jpg", "city": "Shanghai"}"#;
        assert_eq!(tags.read(image.as_bytes()).unwrap(), 1);
        for damaged in [
            format!("[{image}, {image}"),
            format!("{image}\n{image}\n{{"),
        ] {
            assert!(tags.read(damaged.as_bytes()).is_err());
            assert_eq!(tags.images.len(), 1);
        }
    }

    #[test]
    fn damage_is_an_error_that_names_the_line() {
        for damaged in [
            "",
            "[{\"file_name\": \"a.jpg\", ",
            "[]]",
            "{\n\"images\": [}",
        ] {
            let message = Tags::default()
                .read(damaged.as_bytes())
                .unwrap_err()
                .to_string();
            assert!(message.contains("line"), "{message}");
        }
    }
}
