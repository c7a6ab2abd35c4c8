//! TensorBoard events: the files that `tensorboard --logdir runs` finds and reads.
//!
//! Every call that logs something begins a file of its own, whose name comes after the earlier ones.
//! TensorBoard reads the files of a folder in that order and remembers how far it has come in each,
//! so what lies in one is never touched again: a TensorBoard that is open would go blind. A file
//! begins with the word that a session has started at a step. On it TensorBoard forgets what it has
//! read of that step and later ones, so the curves have neither gaps nor doubled points.
//!
//! Framing and messages are the `tfrecord` crate's.

use std::fs::{self, File};
use std::io::{BufReader, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow};
use draw::Canvas;
use tfrecord::io::sync::{try_read_len, try_read_record_data, try_write_record};
use tfrecord::protobuf::event::What;
use tfrecord::protobuf::session_log::SessionStatus;
use tfrecord::protobuf::{Event, SessionLog, summary};
use tfrecord::{Record, Summary};

/// How the name of such a file begins.
const PREFIX: &str = "events.out.tfevents.";

/// Writes the scalars and pictures of one call.
pub(crate) struct EventWriter {
    run_dir: PathBuf,
    /// Scalars of the past up to this step stay.
    kept: u64,
    /// Steps done before this call; pictures of the past up to here stay.
    done: u64,
    /// Begun at the first event.
    file: Option<File>,
}

impl EventWriter {
    /// A writer for a run that goes on after `done` steps. What earlier calls have written is hidden
    /// beyond step `kept`, but for pictures up to `done`.
    pub(crate) fn new(run_dir: &Path, kept: u64, done: u64) -> Self {
        EventWriter {
            run_dir: run_dir.to_owned(),
            kept,
            done,
            file: None,
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
        self.send(event(step, What::Summary(summary)))
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
        let summary = Summary { value: vec![value] };
        self.send(event(step, What::Summary(summary)))
    }

    fn send(&mut self, event: Event) -> Result<()> {
        let file = match &mut self.file {
            Some(file) => file,
            none => none.insert(begin(&self.run_dir, self.kept, self.done)?),
        };
        append(file, event)
    }
}

/// Begins a file after the earlier ones of `run_dir`: version, start, and the pictures that the
/// start hides although they stay.
fn begin(run_dir: &Path, kept: u64, done: u64) -> Result<File> {
    let earlier = event_files(run_dir)?;
    let newest = earlier.last().and_then(|path| path.file_name());
    let newest = newest.map(|name| name.to_string_lossy());
    let now = seconds_since_epoch() as u64;
    let path = run_dir.join(name_after(newest.as_deref(), now, &host_name()));
    let mut file = File::create_new(&path).with_context(|| format!("creating {path:?}"))?;
    append(
        &mut file,
        event(0, What::FileVersion("brain.Event:2".to_owned())),
    )?;
    let start = SessionLog {
        status: SessionStatus::Start.into(),
        ..SessionLog::default()
    };
    append(&mut file, event(kept + 1, What::SessionLog(start)))?;
    for picture in pictures(&earlier, kept + 1..done + 1)? {
        append(&mut file, picture)?;
    }
    Ok(file)
}

fn event(step: u64, what: What) -> Event {
    Event {
        wall_time: seconds_since_epoch(),
        step: step as i64,
        what: Some(what),
        source_metadata: None,
    }
}

/// One write a record, so that who reads along hardly ever sees a part of one.
fn append(file: &mut File, event: Event) -> Result<()> {
    let mut record = Vec::new();
    Event::to_bytes(event)
        .and_then(|bytes| try_write_record(&mut record, bytes))
        .map_err(|e| anyhow!("encoding TensorBoard events: {e}"))?;
    file.write_all(&record)
        .context("writing TensorBoard events")
}

/// `events.out.tfevents.SECONDS.HOST`, as TensorFlow names them, or a name that comes after the
/// `newest`, were that one written in this second or by a clock that is ahead.
fn name_after(newest: Option<&str>, seconds: u64, host: &str) -> String {
    let name = format!("{PREFIX}{seconds:010}.{host}");
    match newest {
        Some(newest) if newest >= name.as_str() => format!("{newest}.1"),
        _ => name,
    }
}

fn host_name() -> String {
    let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    match host.trim() {
        "" => "localhost".to_owned(),
        host => host.to_owned(),
    }
}

fn seconds_since_epoch() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.map_or(0.0, |d| d.as_secs_f64())
}

/// The run's files, in the order in which TensorBoard reads them.
fn event_files(run_dir: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(run_dir).with_context(|| format!("listing {run_dir:?}"))?;
    let is_events = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.starts_with(PREFIX)
    };
    let paths = entries.filter_map(|entry| entry.ok().map(|entry| entry.path()));
    let mut files: Vec<PathBuf> = paths.filter(is_events).collect();
    files.sort();
    Ok(files)
}

/// The events with pictures of these steps that no later start has hidden.
fn pictures(files: &[PathBuf], steps: std::ops::Range<u64>) -> Result<Vec<Event>> {
    let mut found: Vec<Event> = Vec::new();
    if steps.is_empty() {
        return Ok(found);
    }
    for path in files {
        for event in events(path)? {
            match &event.what {
                Some(What::SessionLog(_)) => found.retain(|earlier| earlier.step < event.step),
                Some(What::Summary(summary))
                    if has_picture(summary) && steps.contains(&(event.step as u64)) =>
                {
                    found.push(event);
                }
                _ => {}
            }
        }
    }
    Ok(found)
}

fn has_picture(summary: &Summary) -> bool {
    let is_picture =
        |value: &summary::Value| matches!(value.value, Some(summary::value::Value::Image(_)));
    summary.value.iter().any(is_picture)
}

/// The events of a file; a torn or damaged record ends it.
fn events(path: &Path) -> Result<Vec<Event>> {
    let file = File::open(path).with_context(|| format!("reading {path:?}"))?;
    let size = file.metadata()?.len();
    let mut reader = BufReader::new(file);
    let mut events = Vec::new();
    while let Some(event) = next_event(&mut reader, size)? {
        events.push(event);
    }
    Ok(events)
}

/// The next whole event, or `None` where the file or its good part ends. `size` bounds what a
/// damaged length can ask for.
fn next_event(reader: &mut BufReader<File>, size: u64) -> Result<Option<Event>> {
    let length = match try_read_len(reader, true) {
        Ok(Some(length)) if length as u64 <= size => length,
        Ok(_) => return Ok(None),
        Err(tfrecord::Error::IoError(e)) if e.kind() != ErrorKind::UnexpectedEof => {
            return Err(e.into());
        }
        Err(_) => return Ok(None),
    };
    let bytes = try_read_record_data(reader, length, true);
    Ok(bytes.ok().and_then(|b| Event::from_bytes(b).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use draw::palette;
    use schemas::geom::Size;
    use std::fs::OpenOptions;

    /// What TensorBoard shows of a folder: steps of events with scalars, and of those with pictures.
    fn shown(dir: &Path) -> [Vec<i64>; 2] {
        let mut shown = [Vec::new(), Vec::new()];
        for path in event_files(dir).unwrap() {
            for event in events(&path).unwrap() {
                match event.what {
                    Some(What::SessionLog(log)) if log.status == 1 => {
                        for steps in &mut shown {
                            steps.retain(|step| *step < event.step);
                        }
                    }
                    Some(What::Summary(summary)) => {
                        shown[usize::from(has_picture(&summary))].push(event.step);
                    }
                    _ => {}
                }
            }
        }
        shown
    }

    fn log(writer: &mut EventWriter, step: u64, with_picture: bool) {
        writer
            .scalars(step, &[("loss", -1.0), ("lr", 0.1)])
            .unwrap();
        if with_picture {
            let picture = Canvas::new(Size::new(4, 3), palette::PAPER);
            writer.picture(step, "pairs", &picture).unwrap();
        }
    }

    /// Content of every file, in order.
    fn contents(dir: &Path) -> Vec<Vec<u8>> {
        let files = event_files(dir).unwrap();
        files.iter().map(|path| fs::read(path).unwrap()).collect()
    }

    #[test]
    fn every_call_begins_a_file_and_touches_no_other() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::new(dir.path(), 0, 0);
        (1..=5).for_each(|step| log(&mut writer, step, step % 2 == 0));
        drop(writer);
        // A torn record, as a kill leaves it.
        let path = event_files(dir.path()).unwrap().pop().unwrap();
        let mut file = OpenOptions::new().append(true).open(path).unwrap();
        file.write_all(&[9, 0, 0]).unwrap();
        let before = contents(dir.path());
        let mut writer = EventWriter::new(dir.path(), 3, 3);
        (4..=6).for_each(|step| log(&mut writer, step, step % 3 == 0));
        drop(writer);
        assert_eq!(contents(dir.path())[..1], before);
        assert_eq!(contents(dir.path()).len(), 2);
        assert_eq!(shown(dir.path()), [vec![1, 2, 3, 4, 5, 6], vec![2, 6]]);
        // A third one goes back behind the second.
        let mut writer = EventWriter::new(dir.path(), 3, 3);
        log(&mut writer, 4, false);
        assert_eq!(shown(dir.path()), [vec![1, 2, 3, 4], vec![2]]);
    }

    #[test]
    fn a_call_that_logs_nothing_leaves_no_file() {
        let dir = tempfile::tempdir().unwrap();
        drop(EventWriter::new(dir.path(), 3, 3));
        assert!(contents(dir.path()).is_empty());
    }

    #[test]
    fn a_picture_stays_where_only_its_row_goes() {
        let dir = tempfile::tempdir().unwrap();
        let mut writer = EventWriter::new(dir.path(), 0, 0);
        (4..=6).for_each(|step| log(&mut writer, step, true));
        for _ in 0..2 {
            let mut writer = EventWriter::new(dir.path(), 4, 5);
            log(&mut writer, 6, false);
        }
        assert_eq!(shown(dir.path()), [vec![4, 6], vec![4, 5]]);
    }

    #[test]
    fn names_come_one_after_the_other_whatever_the_clock_says() {
        let first = name_after(None, 1_700_000_000, "b");
        assert_eq!(first, "events.out.tfevents.1700000000.b");
        let mut newest = first;
        for (seconds, host) in [
            (1_700_000_000, "b"),
            (1_700_000_000, "a"),
            (1_600_000_000, "c"),
            (1_700_000_001, "a"),
            (1_700_000_002, "b"),
        ] {
            let name = name_after(Some(&newest), seconds, host);
            assert!(name > newest, "{name} after {newest}");
            newest = name;
        }
        assert_eq!(newest, "events.out.tfevents.1700000002.b");
    }
}
