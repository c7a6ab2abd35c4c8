//! TensorBoard events: the file that `tensorboard --logdir runs` finds and reads.
//!
//! Framing and messages are the `tfrecord` crate's. One file a run: a resumed run cuts it back to
//! its checkpoint's step and appends, so that the curves have neither gaps nor doubled points.

use std::fs::{self, File, OpenOptions};
use std::io::{BufReader, ErrorKind, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use draw::Canvas;
use tfrecord::protobuf::event::What;
use tfrecord::protobuf::{Event, summary};
use tfrecord::{Record, RecordWriter, Summary};

/// Appends scalars and pictures to a run's events file.
pub(crate) struct EventWriter {
    records: RecordWriter<Event, File>,
}

impl EventWriter {
    /// Opens the run's events file, cut back to `step`, or makes a new one.
    pub(crate) fn open(run_dir: &Path, step: u64) -> Result<Self> {
        match existing(run_dir)? {
            Some(path) => Self::append(&path, step),
            None => Self::create(&run_dir.join(file_name())),
        }
    }

    /// Writes one row: all scalars of one step in one event.
    pub(crate) fn scalars(&mut self, step: u64, values: &[(&str, f64)]) -> Result<()> {
        let value = |&(tag, value): &(&str, f64)| summary::Value {
            tag: tag.to_owned(),
            value: Some(summary::value::Value::SimpleValue(value as f32)),
            ..summary::Value::default()
        };
        let summary = Summary {
            value: values.iter().map(value).collect(),
        };
        self.send(step, What::Summary(summary))
    }

    /// Writes one picture.
    pub(crate) fn picture(&mut self, step: u64, tag: &str, picture: &Canvas) -> Result<()> {
        let size = picture.size();
        let image = summary::Image {
            height: size.height as i32,
            width: size.width as i32,
            // RGB.
            colorspace: 3,
            encoded_image_string: picture.png(),
        };
        let value = summary::Value {
            tag: tag.to_owned(),
            value: Some(summary::value::Value::Image(image)),
            ..summary::Value::default()
        };
        self.send(step, What::Summary(Summary { value: vec![value] }))
    }

    fn create(path: &Path) -> Result<Self> {
        let file = File::create(path).with_context(|| format!("creating {path:?}"))?;
        let mut writer = Self::from_file(file)?;
        writer.send(0, What::FileVersion("brain.Event:2".to_owned()))?;
        Ok(writer)
    }

    fn append(path: &Path, step: u64) -> Result<Self> {
        let keep = end_of_step(path, step)?;
        if keep == 0 {
            return Self::create(path);
        }
        let open = || -> std::io::Result<File> {
            let mut file = OpenOptions::new().write(true).open(path)?;
            file.set_len(keep)?;
            file.seek(SeekFrom::End(0))?;
            Ok(file)
        };
        Self::from_file(open().with_context(|| format!("cutting back {path:?}"))?)
    }

    fn from_file(file: File) -> Result<Self> {
        let records = RecordWriter::from_writer(file).map_err(|e| anyhow!("events file: {e}"))?;
        Ok(EventWriter { records })
    }

    fn send(&mut self, step: u64, what: What) -> Result<()> {
        let event = Event {
            wall_time: seconds_since_epoch(),
            step: step as i64,
            what: Some(what),
            source_metadata: None,
        };
        self.records
            .send(event)
            .map_err(|e| anyhow!("writing TensorBoard events: {e}"))
    }
}

/// `events.out.tfevents.SECONDS.HOST`: TensorBoard looks for `tfevents` in the name.
fn file_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let host = match host.trim() {
        "" => "localhost",
        host => host,
    };
    format!(
        "events.out.tfevents.{:010}.{host}",
        seconds_since_epoch() as u64
    )
}

fn seconds_since_epoch() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |d| d.as_secs_f64())
}

/// The run's events file: the first by name, where there are several.
fn existing(run_dir: &Path) -> Result<Option<PathBuf>> {
    let entries = fs::read_dir(run_dir).with_context(|| format!("listing {run_dir:?}"))?;
    let names = entries.filter_map(|e| e.ok().map(|e| e.path()));
    let is_events = |p: &PathBuf| {
        let name = p.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with("events.out.tfevents.")
    };
    Ok(names.filter(is_events).min())
}

/// Where the records up to and including `step` end; a torn or damaged record ends the file.
fn end_of_step(path: &Path, step: u64) -> Result<u64> {
    let file = File::open(path).with_context(|| format!("reading {path:?}"))?;
    let size = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let mut keep = 0;
    while let Some(event) = next_event(&mut reader, size)? {
        if event.step > step as i64 {
            break;
        }
        keep = reader.stream_position()?;
    }
    Ok(keep)
}

/// The next whole event, or `None` where the file or its good part ends. `size` bounds what a
/// damaged length can ask for.
fn next_event(reader: &mut BufReader<File>, size: u64) -> Result<Option<Event>> {
    let length = match tfrecord::io::sync::try_read_len(reader, true) {
        Ok(Some(length)) if length as u64 <= size => length,
        Ok(_) => return Ok(None),
        Err(tfrecord::Error::IoError(e)) if e.kind() != ErrorKind::UnexpectedEof => {
            return Err(e.into());
        }
        Err(_) => return Ok(None),
    };
    let bytes = tfrecord::io::sync::try_read_record_data(reader, length, true);
    Ok(bytes.ok().and_then(|b| Event::from_bytes(b).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn steps(dir: &Path) -> Vec<i64> {
        let path = existing(dir).unwrap().unwrap();
        let size = fs::metadata(&path).unwrap().len();
        let mut reader = BufReader::new(File::open(path).unwrap());
        std::iter::from_fn(|| next_event(&mut reader, size).unwrap())
            .map(|e| e.step)
            .collect()
    }

    #[test]
    fn a_resumed_file_has_neither_gaps_nor_doubles() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::open(dir.path(), 0).unwrap();
        for step in 1..=5 {
            writer
                .scalars(step, &[("loss", -1.0), ("lr", 0.1)])
                .unwrap();
        }
        drop(writer);
        // A torn record, as a kill leaves it.
        let path = existing(dir.path()).unwrap().unwrap();
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(&[9, 0, 0]).unwrap();
        let mut writer = EventWriter::open(dir.path(), 3).unwrap();
        writer.scalars(4, &[("loss", -2.0)]).unwrap();
        assert_eq!(steps(dir.path()), [0, 1, 2, 3, 4]);
    }
}
