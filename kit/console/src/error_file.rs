//! The file in which torchrun looks for the reason why a process failed.
//!
//! It shows the message beside rank, machine and exit code, and takes the oldest for the root of all
//! others. The layout is that of `torch.distributed.elastic.multiprocessing.errors`.

use std::env;
use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use serde_json::json;

/// Writes `message` there if the process has been told of a file. A file that cannot be written is
/// no second failure: the line is on stderr as well.
pub(crate) fn record(message: &str) {
    let Some(file) = env::var_os("TORCHELASTIC_ERROR_FILE").filter(|file| !file.is_empty()) else {
        return;
    };
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_or(0, |now| now.as_secs());
    let reason = json!({
        "message": {
            "message": message,
            "extraInfo": { "timestamp": seconds.to_string() },
        }
    });
    if let Err(error) = fs::write(&file, reason.to_string()) {
        tracing::warn!("torchrun's file {file:?} cannot be written: {error}");
    }
}
