//! Errors that the user mends by another command line or config.

use std::fmt::Display;

use crate::elsewhere::ToldElsewhere;

/// A request that cannot be carried out as written: a bad key, a missing folder, a device that is
/// not there. One line that says what, where and what to do; the program ends with exit code 2.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Usage(pub String);

/// An [`anyhow::Error`] that holds such a line.
pub fn usage(line: impl Display) -> anyhow::Error {
    Usage(line.to_string()).into()
}

/// Whether `error` is such a line, or stands for one that another process tells
/// ([`told_elsewhere`](crate::told_elsewhere())).
pub fn is_usage(error: &anyhow::Error) -> bool {
    let elsewhere = error.downcast_ref::<ToldElsewhere>();
    error.is::<Usage>() || elsewhere.is_some_and(|told| told.is_usage)
}

/// A message of another library on one line: runs of white space become one space.
pub fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use anyhow::anyhow;

    use super::*;
    use crate::told_elsewhere;

    #[test]
    fn usage_is_told_from_other_failures_wherever_it_happened() {
        assert!(is_usage(&usage("x")));
        assert!(is_usage(&usage("x").context("while y")));
        assert!(is_usage(&told_elsewhere(true)));
        assert!(is_usage(&told_elsewhere(true).context("while y")));
        assert!(!is_usage(&told_elsewhere(false)));
        assert!(!is_usage(&anyhow!("x")));
    }
}
