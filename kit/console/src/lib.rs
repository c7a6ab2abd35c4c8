//! What the three programs share on a terminal.
//!
//! * [`Program::run`]: logs, panics, errors and exit codes, in one place for all of them.
//! * [`print()`], [`print_line`], [`print_json`]: results on stdout. A reader that has gone away
//!   (`| head -1`) ends the program quietly: [`is_reader_gone`].
//! * [`say`]: a line on stderr, for people.
//! * [`Progress`]: a bar on a terminal, a line every ten seconds elsewhere.
//! * [`usage`]: an error that the user mends by another command line; the exit code is 2.
//! * [`quiet`], [`speak_as`]: one of several processes, of which another speaks for all;
//!   [`told_elsewhere`]: a failure that another one tells.
//! * [`layers`]: a config from its defaults, a TOML file and `key=value` overrides.
//!
//! Nothing else in the workspace writes to stdout or stderr: a lint holds that.

#![deny(missing_docs)]

mod elsewhere;
mod error_file;
pub mod layers;
mod output;
mod program;
mod progress;
mod speaker;
mod usage;

pub use elsewhere::told_elsewhere;
pub use indicatif::HumanDuration;
pub use output::{is_reader_gone, print, print_json, print_line, say};
pub use program::Program;
pub use progress::Progress;
pub use speaker::{quiet, speak_as};
pub use usage::{is_usage, one_line, usage};
