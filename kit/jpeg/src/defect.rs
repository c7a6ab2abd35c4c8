//! Why a file is no picture.

/// Result of this crate.
pub type Result<T, E = Defect> = std::result::Result<T, E>;

/// Reason of a progressive JPEG whose scans leave coefficients unfinished: a decoder smooths its
/// pixels, so that it can be decoded and not be transcoded.
pub const UNFINISHED: &str = "unfinished-jpeg";

/// What is wrong with one item of a data set. A defect is data, not the failure of a program:
/// whoever reads a set counts it under its reason and goes on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// Short and stable, for counting: `truncated-jpeg`.
    pub reason: &'static str,
    /// What exactly is wrong, for a person.
    pub detail: String,
}

impl Defect {
    /// A defect counted under `reason`.
    pub fn new(reason: &'static str, detail: impl Into<String>) -> Self {
        Self {
            reason,
            detail: detail.into(),
        }
    }
}
