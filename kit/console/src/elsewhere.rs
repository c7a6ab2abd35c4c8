//! Failures that another process tells.

/// This process ends because another one of its run has failed and says why.
#[derive(Debug, thiserror::Error)]
#[error("another process of the run has failed, and says why")]
pub(crate) struct ToldElsewhere {
    /// Whether its user mends it by another command line.
    pub is_usage: bool,
}

/// An error that ends this process without a line, because another process has one. The exit code is
/// that of [`usage`](crate::usage()) if `is_usage`, else that of any failure.
pub fn told_elsewhere(is_usage: bool) -> anyhow::Error {
    ToldElsewhere { is_usage }.into()
}
