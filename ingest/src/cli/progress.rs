//! How far a run is: a bar on a terminal, a line every ten seconds elsewhere.

use console::Progress;
use indicatif::{DecimalBytes, HumanCount};

/// Shows the progress of one run on stderr.
pub(super) struct Shown(Option<Progress>);

impl Shown {
    pub(super) fn new() -> Self {
        Self(None)
    }

    /// The run is as far as `run`.
    pub(super) fn show(&mut self, run: &ingest::Progress) {
        let shown = self.0.get_or_insert_with(|| {
            let template = "{bar:32} {percent:>3}%  {msg}{eta}";
            let progress = Progress::new(template, 0, run.total_weight);
            progress.quiet_at_first().quiet_at_end()
        });
        let message = message(run, shown.elapsed().as_secs_f64());
        shown.show(
            run.weight,
            || message.clone(),
            |shown| {
                let percent = 100 * run.weight / run.total_weight.max(1);
                format!("{percent:>3}%  {message}{}", shown.eta())
            },
        );
    }

    /// Removes the bar.
    pub(super) fn clear(self) {
        if let Some(shown) = self.0 {
            shown.clear();
        }
    }
}

fn message(run: &ingest::Progress, seconds: f64) -> String {
    let seconds = seconds.max(1e-3);
    let skipped = match run.skipped {
        0 => String::new(),
        skipped => format!("  {} skipped", HumanCount(skipped)),
    };
    format!(
        "{} frames  {:.0}/s  {}/s in  {} out{skipped}",
        HumanCount(run.frames),
        run.frames as f64 / seconds,
        DecimalBytes((run.bytes_in as f64 / seconds) as u64),
        DecimalBytes(run.bytes_out),
    )
}
