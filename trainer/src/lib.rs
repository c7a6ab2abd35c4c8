//! Batches of crop pairs in, a pre-trained backbone out.
//!
//! ```no_run
//! use trainer::config::{find, resolve};
//! use trainer::run::{Request, Session, Signals, train};
//!
//! # fn main() -> anyhow::Result<()> {
//! let request = Request {
//!     shards: "demo/shards".into(),
//!     out: "runs/demo".into(),
//!     device: "cpu".into(),
//!     steps: None,
//!     fresh: false,
//!     allow_change: Vec::new(),
//! };
//! let config = resolve(&find("demo_cpu")?, &[])?;
//! let outcome = train(Session::prepare(&request, config)?, None, &Signals::listen()?, false)?;
//! println!("{} steps, in {}", outcome.step, outcome.run.display());
//! # Ok(())
//! # }
//! ```
//!
//! * [`cli`] parses, [`commands`] carry out: arguments become a request, answers are printed.
//! * [`launch`]: several processes that are one command.
//! * [`config`]: one run as data.
//! * [`run`]: a run is built or restored, and stepped to its end. `trainer run` reads from top to
//!   bottom: [`cli`] → [`config`] → [`run::Session`] → [`run::train`].
//! * [`method`]: what is trained, one paper a file.
//! * [`report`]: what a run says of itself.
//! * [`mod@bench`]: what a step costs.
//! * `doctor`: whether the processes of a run are alike, and how fast they talk.
//!
//! Networks and their mathematics are crate `model`, scores of what was learned crate `eval`.
#![deny(missing_docs)]

pub mod bench;
pub mod cli;
pub mod commands;
pub mod config;
mod doctor;
pub mod launch;
pub mod method;
pub mod report;
pub mod run;
