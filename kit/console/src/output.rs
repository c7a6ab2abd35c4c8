//! Lines on stdout and stderr that never panic.
//!
//! `println!` panics when the reader has gone away, as in `trainer run --list-configs | head -1`. Here
//! that is [`ReaderGone`], an error that [`Program::run`](crate::Program::run) takes for success.
//! A process for which another one speaks ([`quiet`](crate::quiet())) writes nothing.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};

use anyhow::{Context, Result};
use serde::Serialize;

use crate::speaker::is_quiet;

/// Whoever read stdout has stopped reading. No failure: what it wanted it has.
#[derive(Debug, thiserror::Error)]
#[error("nobody reads stdout any more")]
pub(crate) struct ReaderGone;

/// Whether `error` says that whoever read stdout has stopped reading: no failure.
pub fn is_reader_gone(error: &anyhow::Error) -> bool {
    error.is::<ReaderGone>()
}

/// Writes `text` to stdout as it is.
///
/// # Errors
/// If stdout takes no more.
pub fn print(text: impl Display) -> Result<()> {
    if is_quiet() {
        return Ok(());
    }
    write_to(&mut io::stdout().lock(), text)
}

/// Writes `text` and the end of a line to stdout.
///
/// # Errors
/// If stdout takes no more.
pub fn print_line(text: impl Display) -> Result<()> {
    print(format_args!("{text}\n"))
}

/// Writes one JSON object on a line to stdout.
///
/// # Errors
/// If stdout takes no more, or `value` is no JSON.
pub fn print_json(value: &impl Serialize) -> Result<()> {
    print_line(serde_json::to_string(value).context("encoding the result as JSON")?)
}

/// Writes a line to stderr. If nobody reads it, there is nobody to tell.
pub fn say(line: impl Display) {
    if !is_quiet() {
        say_anyway(line);
    }
}

/// Writes a line to stderr that every process has to say for itself.
pub(crate) fn say_anyway(line: impl Display) {
    let _ = write_line(&mut io::stderr().lock(), line);
}

/// In one piece, so that lines of several processes do not mix: stderr has no buffer.
fn write_line(out: &mut impl Write, line: impl Display) -> io::Result<()> {
    out.write_all(format!("{line}\n").as_bytes())
}

fn write_to(out: &mut impl Write, text: impl Display) -> Result<()> {
    match write!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(ReaderGone.into()),
        written => written.context("cannot write to stdout"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes nothing, for one reason.
    struct Broken(ErrorKind);

    impl Write for Broken {
        fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
            Err(self.0.into())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Keeps what is written by piece.
    struct Pieces(Vec<String>);

    impl Write for Pieces {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.push(String::from_utf8_lossy(bytes).into_owned());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_line_is_written_in_one_piece() {
        let mut out = Pieces(Vec::new());
        write_line(&mut out, format_args!("{} of {}", 1, 2)).unwrap();
        assert_eq!(out.0, ["1 of 2\n"]);
    }

    #[test]
    fn a_reader_that_left_is_told_apart_from_a_full_disk() {
        let gone = write_to(&mut Broken(ErrorKind::BrokenPipe), "x").unwrap_err();
        assert!(is_reader_gone(&gone));
        let full = write_to(&mut Broken(ErrorKind::StorageFull), "x").unwrap_err();
        assert!(!is_reader_gone(&full));
        assert!(full.to_string().contains("stdout"), "{full}");
    }
}
