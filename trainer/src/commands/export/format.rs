//! Which format `trainer export` writes: what `--format` says, else what the ending of `--out` says.
//! The two may not contradict each other, for readers of other programs go by the ending.
//!
//! Capitals do not matter. `.pth.tar` is what many call a state dict; no tar is meant, nor written.
//! Without an ending, or with an unknown one, `--format` decides alone.

use std::path::Path;

use anyhow::Result;
use clap::ValueEnum;
use console::usage;

use crate::cli::Format;

/// Endings and the formats that files of that name have; the first is meant where nothing else is said.
const ENDINGS: [(&str, &[Format]); 5] = [
    (".pth", &[Format::Pth]),
    (".pt", &[Format::Pth]),
    (".pth.tar", &[Format::Pth]),
    (".safetensors", &[Format::Torchvision, Format::Safetensors]),
    (".pkl", &[Format::Detectron2]),
];

/// The format to write to `out`.
///
/// # Errors
/// If nothing says which, or `--format` says another one than the ending.
pub(super) fn chosen(format: Option<Format>, out: &Path) -> Result<Format> {
    match (format, formats_of(out)) {
        (None, Some(fitting)) => Ok(fitting[0]),
        (None, None) => Err(usage(format!(
            "the ending of --out {out:?} chooses no format; take {}, or name a --format",
            alternatives(&ENDINGS.map(|(ending, _)| ending))
        ))),
        (Some(format), Some(fitting)) if !fitting.contains(&format) => Err(usage(format!(
            "--format {} contradicts the ending of --out {out:?}; {}, or leave out --format",
            name(format),
            advice(format)
        ))),
        (Some(format), _) => Ok(format),
    }
}

/// What files with the ending of `out` hold; `None` for other endings.
fn formats_of(out: &Path) -> Option<&'static [Format]> {
    let name = out.file_name()?.to_string_lossy().to_ascii_lowercase();
    let known = ENDINGS.iter().find(|(ending, _)| name.ends_with(ending));
    known.map(|(_, formats)| *formats)
}

/// How a file of this format may be called.
fn advice(format: Format) -> String {
    let endings = ENDINGS
        .iter()
        .filter(|(_, formats)| formats.contains(&format));
    let endings: Vec<&str> = endings.map(|(ending, _)| *ending).collect();
    match endings.is_empty() {
        true => "--out is a folder here".to_owned(),
        false => format!("take {}", alternatives(&endings)),
    }
}

/// As the command line writes it.
fn name(format: Format) -> String {
    let value = format.to_possible_value().expect("no format is hidden");
    value.get_name().to_owned()
}

/// "a, b or c".
fn alternatives(words: &[&str]) -> String {
    match words.split_last() {
        Some((last, front)) if !front.is_empty() => format!("{} or {last}", front.join(", ")),
        _ => words.concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(format: Option<Format>, out: &str) -> String {
        let line = chosen(format, Path::new(out)).unwrap_err().to_string();
        assert!(line.contains(out) && !line.contains('\n'), "{line}");
        line
    }

    #[test]
    fn the_ending_chooses_whatever_its_case() {
        for (out, format) in [
            ("x.pth", Format::Pth),
            ("a/b.c/x.v2.pt", Format::Pth),
            ("x.pth.tar", Format::Pth),
            ("X.PTH", Format::Pth),
            ("x.SafeTensors", Format::Torchvision),
            ("x.pkl", Format::Detectron2),
        ] {
            assert_eq!(chosen(None, Path::new(out)).unwrap(), format, "{out}");
        }
    }

    #[test]
    fn an_ending_that_says_nothing_needs_a_format() {
        for out in ["x", "x.bin", "x.onnx", "x.tar", "folder.v2/x", "pth"] {
            let line = refusal(None, out);
            for ending in [
                ".pth",
                ".pt",
                ".pth.tar",
                ".safetensors",
                ".pkl",
                "--format",
            ] {
                assert!(line.contains(ending), "{line}");
            }
            for format in Format::value_variants() {
                assert_eq!(chosen(Some(*format), Path::new(out)).unwrap(), *format);
            }
        }
    }

    #[test]
    fn a_contradiction_is_refused_and_an_agreement_is_not() {
        for (format, out, advice) in [
            (Format::Pth, "x.safetensors", ".pth, .pt or .pth.tar"),
            (Format::Torchvision, "x.pth", ".safetensors"),
            (Format::Safetensors, "x.pkl", ".safetensors"),
            (Format::Detectron2, "x.PT", ".pkl"),
            (Format::Timm, "x.safetensors", "folder"),
        ] {
            let line = refusal(Some(format), out);
            assert!(
                line.contains(advice) && line.contains(&name(format)),
                "{line}"
            );
        }
        for (format, out) in [
            (Format::Safetensors, "x.safetensors"),
            (Format::Torchvision, "x.safetensors"),
            (Format::Pth, "x.pth.tar"),
            (Format::Timm, "x"),
        ] {
            assert_eq!(chosen(Some(format), Path::new(out)).unwrap(), format);
        }
    }
}
