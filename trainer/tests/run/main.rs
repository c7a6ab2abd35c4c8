//! The `trainer` program from outside: trains on small made-up shards, stops, resumes, refuses,
//! exports, draws.
#![expect(clippy::unwrap_used, reason = "a test fails where it unwraps")]

mod bench;
mod doctor;
mod embed;
mod export;
mod foreign;
mod grown;
mod kill;
mod labelled;
mod launch;
mod pipes;
mod plot;
mod ranks;
mod refusals;
mod resume;
mod signals;
mod storage;
mod tensorboard;
mod timm;
#[allow(dead_code, reason = "other programs' tests use more of it")]
mod train;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;
use testkit::scenes;

/// A run of a few seconds: ResNet-18, views of 64 pixels, 2 x 2 cells at stride 32, 4 x 4 here.
const CONFIG: &str = r#"
# A test.
seed = 5
[data]
batch = 6
[augment]
view_px = 64
[model]
arch = "resnet18"
layer4_stride = 1
hidden = 64
dim = 32
[schedule]
total_steps = 8
warmup_steps = 2
[run]
log_every_steps = 2
checkpoint_every_steps = 3
keep_checkpoints = 2
threads = 1
"#;

/// Shards, a config, and a folder for what one test writes, removed with all that is in it when the
/// test ends.
struct Bench {
    dir: TempDir,
    /// `cpu` or `cuda`.
    device: &'static str,
}

impl Bench {
    fn new() -> Bench {
        Bench::on("cpu")
    }

    fn on(device: &'static str) -> Bench {
        let bench = Bench {
            dir: tempfile::tempdir().unwrap(),
            device,
        };
        scenes::write(&bench.path("shards"), 0..20);
        std::fs::write(bench.path("small.toml"), CONFIG).unwrap();
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// `trainer run` on the shared shards and config into `out`.
    fn run(&self, out: &Path, more: &[&str]) -> Output {
        self.command(out, more).output().unwrap()
    }

    fn command(&self, out: &Path, more: &[&str]) -> Command {
        let mut command = trainer(&["run", "--device", self.device]);
        command
            .arg(self.path("shards"))
            .arg("--config")
            .arg(self.path("small.toml"));
        command.arg("--out").arg(out).args(more);
        command
    }
}

/// The program, or another copy of it that TRAINER_PROGRAM names: `scripts/gpu` moves it.
fn trainer(args: &[&str]) -> Command {
    let moved = std::env::var_os("TRAINER_PROGRAM");
    let program = moved.unwrap_or_else(|| env!("CARGO_BIN_EXE_trainer").into());
    let mut command = Command::new(program);
    command
        .args(args)
        .env_remove("RUST_LOG")
        .env("RUST_BACKTRACE", "0");
    command
}

#[track_caller]
fn assert_success(output: &Output) {
    assert!(
        output.status.success(),
        "{}\n{}",
        output.status,
        stderr(output)
    );
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
