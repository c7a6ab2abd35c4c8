//! Says what is going on: a bar on a terminal, a line where output is piped.

use std::io::IsTerminal;

use indicatif::{ProgressBar, ProgressStyle};

/// A task of known length.
pub struct Progress {
    bar: ProgressBar,
}

impl Progress {
    /// Announces a task of `len` units.
    pub fn start(what: &str, len: u64) -> Self {
        if !std::io::stderr().is_terminal() {
            eprintln!("{what} …");
            return Self {
                bar: ProgressBar::hidden(),
            };
        }
        let style = ProgressStyle::with_template("{msg} {wide_bar} {percent:>3} %")
            .expect("the template is valid");
        Self {
            bar: ProgressBar::new(len)
                .with_style(style)
                .with_message(what.to_owned()),
        }
    }

    /// Moves on to `done` units.
    pub fn at(&self, done: u64) {
        self.bar.set_position(done);
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
