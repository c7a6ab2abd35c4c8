//! The `ingest` command.

mod cli;

use std::io::{self, Write};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Result;
use clap::Parser;
use ingest::inspect::inspect;
use ingest::run::{self, Request, Summary};
use ingest::source::Dataset;
use ingest::{demo, fidelity, verify};
use schemas::filter::Filter;
use serde::Serialize;
use tracing_subscriber::EnvFilter;

use cli::{Cli, Command};

fn main() -> ExitCode {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .init();
    outlive_file_size_limit();
    match execute(Cli::parse().command) {
        Ok(code) => code,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            // The message is whole: what caused it stands in it.
            eprintln!("ingest: {error}");
            ExitCode::FAILURE
        }
    }
}

/// A file that reaches the limit of file sizes (`ulimit -f`) is an error that names it, not a
/// silent end by SIGXFSZ: with a handler, whatever it does, the write returns.
fn outlive_file_size_limit() {
    if let Err(error) = signal_hook::flag::register(signal_hook::consts::SIGXFSZ, Arc::default()) {
        tracing::warn!(%error, "cannot handle SIGXFSZ");
    }
}

/// Runs one command; the code says whether all it promises is true.
fn execute(command: Command) -> Result<ExitCode> {
    match command {
        Command::Waymo {
            input,
            cameras,
            options,
        } => {
            let json = options.json;
            ingest_set(&options.into_request(Dataset::Waymo, input, cameras), json)
        }
        Command::Soda10m {
            input,
            tags,
            options,
        } => {
            let json = options.json;
            let request = options.into_request(Dataset::Soda10m, input, Vec::new());
            ingest_set(
                &Request {
                    tag_files: tags,
                    ..request
                },
                json,
            )
        }
        Command::Images { input, options } => {
            let json = options.json;
            ingest_set(
                &options.into_request(Dataset::Images, input, Vec::new()),
                json,
            )
        }
        Command::Demo(args) => {
            let json = args.json;
            let report = demo::run(&args)?;
            if json {
                print_json(&report)?
            } else {
                writeln!(io::stdout(), "{report}")?
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Catalog { shards, json } => {
            let catalog = run::rebuild(&shards)?;
            let (frames, num_shards) = (catalog.num_frames(), catalog.shards().len());
            if json {
                print_json(&serde_json::json!({ "frames": frames, "shards": num_shards }))?;
            } else {
                writeln!(io::stdout(), "{frames} frames in {num_shards} shards")?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Inspect {
            shards,
            filter,
            json,
        } => {
            let filter = filter.map(|sql| Filter::parse(&sql)).transpose()?;
            let inspection = inspect(&shards, filter.as_ref())?;
            if json {
                print_json(&inspection)?
            } else {
                writeln!(io::stdout(), "{inspection}")?
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Fidelity {
            shards,
            input,
            crops,
            seed,
            out,
            json,
        } => {
            let request = fidelity::Request {
                shards,
                inputs: input,
                crops: crops as usize,
                seed,
            };
            let measured = fidelity::measure(&request)?;
            if let Some(path) = out {
                fidelity::write_contact_sheet(&measured.worst, &path)?;
            }
            if json {
                print_json(&measured.report)?
            } else {
                writeln!(io::stdout(), "{}", measured.report)?
            }
            Ok(ExitCode::SUCCESS)
        }
        Command::Verify {
            shards,
            threads,
            json,
        } => {
            let verdict = verify::verify(&shards, cli::threads(threads))?;
            if json {
                print_json(&verdict)?
            } else {
                writeln!(io::stdout(), "{verdict}")?
            }
            Ok(if verdict.bad.is_empty() {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            })
        }
    }
}

fn ingest_set(request: &Request, json: bool) -> Result<ExitCode> {
    let summary = run::ingest(request)?;
    if json {
        print_json(&summary)?;
    } else {
        print_summary(&summary)?;
    }
    if summary.is_over_limit {
        let (report, max_bad) = (summary.report.display(), request.max_bad);
        let skipped = summary.frames_skipped;
        eprintln!(
            "ingest: {skipped} items were skipped, more than --max-bad {max_bad} allows; {report} lists them"
        );
        return Ok(ExitCode::FAILURE);
    }
    Ok(ExitCode::SUCCESS)
}

fn print_summary(summary: &Summary) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let Summary {
        frames_written,
        frames_kept,
        frames_skipped,
        shards_written,
        shards_kept,
        ..
    } = summary;
    let megabytes = |bytes: u64| bytes as f64 / 1e6;
    let (bytes_in, bytes_out) = (megabytes(summary.bytes_in), megabytes(summary.bytes_out));
    let megabytes_per_s = bytes_in / summary.seconds.max(1e-9);
    writeln!(
        out,
        "written  {frames_written} frames in {shards_written} shards"
    )?;
    if *shards_kept > 0 {
        writeln!(
            out,
            "kept     {frames_kept} frames in {shards_kept} shards, finished before"
        )?;
    }
    writeln!(out, "skipped  {frames_skipped} items")?;
    for (reason, count) in &summary.skipped {
        writeln!(out, "         {count} {reason}")?;
    }
    writeln!(
        out,
        "bytes    {bytes_in:.1} MB of images in, {bytes_out:.1} MB of shards out"
    )?;
    writeln!(
        out,
        "speed    {:.1} frames/s, {megabytes_per_s:.1} MB/s in, {:.1} s",
        summary.frames_per_s, summary.seconds
    )?;
    if *frames_written > 0 {
        writeln!(
            out,
            "CPU      {:.2} ms a frame, by stage",
            summary.cpu_ms_per_frame
        )?;
        for (name, ms) in summary.stages_ms.iter() {
            writeln!(out, "         {ms:>6.2}  {name}")?;
        }
    }
    writeln!(out, "report   {}", summary.report.display())
}

fn print_json(value: &impl Serialize) -> Result<()> {
    writeln!(io::stdout(), "{}", serde_json::to_string(value)?)?;
    Ok(())
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
