//! Puts what was drawn in its place: every file is whole or not there.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::Path;

use tfrecord::RecordWriter;

use super::cameras::WAYMO_CAMERAS;
use super::draw::Drawn;
use super::paths;
use super::plan::Plan;
use crate::error::{Error, Result};

/// Puts what the threads have drawn in its place: every file is whole or not there.
pub(super) struct Writer<'a> {
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
    pub(super) fn new(out: &'a Path, plan: &'a Plan) -> Self {
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
    pub(super) fn write(&mut self, drawn: Drawn) -> Result<u64> {
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
                    make_folder_of(&path)?;
                    host::replace(&path, |out| out.write_all(&bytes))
                        .map_err(Error::io("write", &path))?;
                }
                Ok(1)
            }
        }
    }

    /// Appends the records of a drive whose turn it is.
    fn append_ready(&mut self, drive_ix: usize) -> Result<()> {
        let drive = &self.plan.drives[drive_ix];
        let open = &mut self.open[drive_ix];
        let path = self.out.join(paths::waymo_path(&drive.name));
        let partial = host::partial_name(&path);
        while let Some(record) = self.waiting.remove(&(drive_ix, open.num_written)) {
            let file = match &mut open.file {
                Some(file) => file,
                none => {
                    make_folder_of(&path)?;
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
            let synced = fs::File::open(&partial).and_then(|file| file.sync_all());
            synced.map_err(Error::io("write", &partial))?;
            host::publish(&partial, &path).map_err(Error::io("rename to", &path))?;
        }
        Ok(())
    }

    /// Checks that nothing is left waiting.
    pub(super) fn finish(self) -> Result<()> {
        assert!(
            self.waiting.is_empty() && self.open.iter().all(|o| o.file.is_none()),
            "every drive is complete"
        );
        Ok(())
    }
}

fn make_folder_of(path: &Path) -> Result<()> {
    let folder = path
        .parent()
        .expect("files lie in folders of the output folder");
    fs::create_dir_all(folder).map_err(Error::io("create the folder", folder))
}

fn tfrecord_error(path: &Path) -> impl FnOnce(tfrecord::Error) -> Error {
    let path = path.to_owned();
    move |error| Error::Io {
        action: "write",
        path,
        source: std::io::Error::other(error),
    }
}
