//! The whole of it: claim the folder, draw on threads, write in order.

use std::sync::{Mutex, PoisonError, mpsc};
use std::time::Instant;

use super::claim::Claim;
use super::config::{DemoConfig, MIN_FRAMES};
use super::draw::draw;
use super::plan::Plan;
use super::report::DemoReport;
use super::write::Writer;
use crate::error::{Error, Result};

/// Renders everything; `progress` hears of finished and of all images, on the calling thread.
///
/// # Errors
/// If `num_frames` is below [`MIN_FRAMES`], the folder holds files of somebody else, or cannot be
/// written.
pub fn render(config: &DemoConfig, progress: &mut dyn FnMut(u64, u64)) -> Result<DemoReport> {
    let started = Instant::now();
    if config.num_frames < MIN_FRAMES {
        return Err(Error::Output {
            detail: format!("{} images do not fill the three layouts", config.num_frames),
            dir: config.out.clone(),
            advice: "ask for at least 8 with --frames".to_owned(),
        });
    }
    let plan = Plan::new(config.seed, config.num_frames);
    let claim = Claim::new(config, plan.files());
    let unchanged = claim.is_fulfilled()?;
    if !unchanged {
        claim.stake()?;
        draw_all(config, &plan, progress)?;
        claim.fulfil()?;
    }
    let [waymo, soda10m, cityscapes] = plan.counts();
    Ok(DemoReport {
        out: config.out.clone(),
        frames: waymo + soda10m + cityscapes,
        waymo_frames: waymo,
        soda10m_frames: soda10m,
        cityscapes_frames: cityscapes,
        bytes: claim.bytes()?,
        unchanged,
        seconds: started.elapsed().as_secs_f64(),
    })
}

/// Threads draw and encode; this one writes, in the order of the plan where files need it.
fn draw_all(config: &DemoConfig, plan: &Plan, progress: &mut dyn FnMut(u64, u64)) -> Result<()> {
    let tasks = Mutex::new(plan.tasks().into_iter());
    let next_task = || tasks.lock().unwrap_or_else(PoisonError::into_inner).next();
    let total: u64 = plan.counts().iter().sum();
    let mut writer = Writer::new(&config.out, plan);
    std::thread::scope(|scope| {
        let threads = config.threads.max(1);
        // Bounded: pictures wait for the disk, not in memory.
        let (send, receive) = mpsc::sync_channel(2 * threads);
        for _ in 0..threads {
            let (send, next_task) = (send.clone(), &next_task);
            scope.spawn(move || {
                while let Some(task) = next_task() {
                    // The receiver goes away when writing failed: then nobody needs the rest.
                    if send.send(draw(task)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(send);
        let mut done = 0;
        for drawn in receive {
            done += writer.write(drawn)?;
            progress(done, total);
        }
        writer.finish()
    })
}
