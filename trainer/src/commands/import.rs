//! `trainer import`: a run that begins with weights from elsewhere.
//!
//! Imported weights are a checkpoint of step 0: online and target backbone hold them, batch-norm
//! statistics included, heads are drawn as for any run, the optimizer is empty. So `trainer run`
//! needs to know nothing of their origin, and resuming is as exact as ever.

use std::collections::BTreeMap;

use anyhow::Result;
use console::{say, usage};
use model::files::checkpoint;
use model::files::weights::Weights;
use sampler::Cursor;
use tch::{Tensor, no_grad};

use super::{setup, weights};
use crate::cli::ImportArgs;
use crate::run::Session;

/// Runs the command.
///
/// # Errors
/// If the weights are of another ResNet, or the folder holds a run already.
pub(super) fn import(args: &ImportArgs) -> Result<()> {
    let (request, config) = setup::resolve(&args.setup, 1)?;
    let weights = weights::open(&args.weights, args.network)?;
    if weights.model.arch != config.model.arch {
        let (theirs, ours) = (weights.model.arch, config.model.arch);
        return Err(usage(format!(
            "{:?} holds a {theirs}, the config names a {ours}; change one, as in --set model.arch={theirs}",
            args.weights
        )));
    }
    if !request.fresh && checkpoint::list(&request.out)?.pop().is_some() {
        return Err(usage(format!(
            "{:?} holds a run; give another --out, or --fresh to move it aside",
            request.out
        )));
    }
    let mut session = Session::prepare(&request, config)?;
    load(&mut session, &weights)?;
    let written = session
        .snapshot(0, Cursor::default())?
        .write(&request.out)?;
    say(format_args!(
        "{}: {} before step 1; `trainer run` with --out {:?} goes on",
        written.display(),
        weights.origin,
        request.out
    ));
    Ok(())
}

/// Copies `weights` into both backbones.
fn load(session: &mut Session, weights: &Weights) -> Result<()> {
    let imported = weights.build(&session.config.model, session.device)?;
    let mut ours: BTreeMap<String, Tensor> = session.stepper.method.state().into_iter().collect();
    for (name, tensor) in imported.registry.state("") {
        for network in ["online", "target"] {
            let ours = ours.get_mut(&format!("{network}.backbone.{name}"));
            let ours = ours.expect("both backbones are built from the same config");
            no_grad(|| ours.copy_(&tensor));
        }
    }
    Ok(())
}
