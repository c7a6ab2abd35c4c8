//! How many items may be skipped before a run counts as failed.

use std::fmt;
use std::str::FromStr;

/// A limit of skipped items.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum MaxBad {
    /// So many.
    Count(u64),
    /// This share of all items, in percent.
    Percent(f64),
}

impl MaxBad {
    /// Whether `skipped` besides `written` frames are too many.
    pub(crate) fn is_exceeded(self, skipped: u64, written: u64) -> bool {
        match self {
            Self::Count(limit) => skipped > limit,
            Self::Percent(limit) => 100.0 * skipped as f64 > limit * (skipped + written) as f64,
        }
    }
}

impl FromStr for MaxBad {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let percent = |text: &str| {
            text.parse()
                .ok()
                .filter(|percent| (0.0..=100.0).contains(percent))
        };
        let parsed = match text.strip_suffix('%') {
            Some(number) => percent(number).map(Self::Percent),
            None => text.parse().ok().map(Self::Count),
        };
        parsed.ok_or_else(|| "give a count (`20`) or a percentage (`1%`)".to_owned())
    }
}

impl fmt::Display for MaxBad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Count(count) => write!(f, "{count}"),
            Self::Percent(percent) => write!(f, "{percent}%"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_counts_or_percentages() {
        assert_eq!("20".parse(), Ok(MaxBad::Count(20)));
        assert_eq!("1.5%".parse(), Ok(MaxBad::Percent(1.5)));
        for bad in ["", "%", "-1", "101%", "NaN%", "1.5", "many"] {
            assert!(bad.parse::<MaxBad>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_limit_is_exceeded_only_beyond_it() {
        assert!(!MaxBad::Count(3).is_exceeded(3, 0));
        assert!(MaxBad::Count(3).is_exceeded(4, 1000));
        assert!(!MaxBad::Percent(1.0).is_exceeded(1, 99));
        assert!(MaxBad::Percent(1.0).is_exceeded(1, 98));
        assert!(!MaxBad::Percent(1.0).is_exceeded(0, 0));
        assert!(MaxBad::Percent(0.0).is_exceeded(1, 1_000_000));
    }
}
