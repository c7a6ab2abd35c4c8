//! Several processes before they train as one: whether they are alike, and how fast they talk.
//!
//! Every rank says what it has, every rank hears it, and the first one's report is printed. What
//! keeps a rank from joining at all is an error of the join, which names it.

mod link;
mod rank;
mod report;

use anyhow::Result;
use host::Place;
use native::Ranks;

use crate::config::RunConfig;
use crate::run::{Request, settle};
use rank::About;
use report::Report;

/// Examines all ranks of the run that is asked for; the same report on each of them. Touches no
/// folder.
///
/// # Errors
/// A device or config with which no rank could compute; a rank that does not answer; a network that
/// adds up wrongly.
pub(crate) fn examine(
    ranks: &Ranks,
    place: &Place,
    request: &Request,
    mut config: RunConfig,
) -> Result<Report> {
    let (device, fused_kernels) = ranks.together(settle(&mut config, &request.device))?;
    let mine = About::this_rank(ranks, place, request, &config, device, &fused_kernels);
    let all = ranks.together(mine)?.gathered(ranks)?;
    let link = link::measure(ranks, device, &config)?;
    Report::new(place.launcher, &all, link)
}
