//! `trainer plot`: runs beside each other.

use anyhow::Result;
use console::say;

use crate::cli::PlotArgs;
use crate::report::plot::draw;

/// Runs the command.
pub(super) fn plot(args: &PlotArgs) -> Result<()> {
    let described = draw(&args.runs, args.by, &args.out)?;
    say(format_args!("{}:", args.out.display()));
    for run in described {
        say(format_args!("  {run}"));
    }
    Ok(())
}
