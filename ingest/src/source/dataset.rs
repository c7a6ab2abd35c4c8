//! The data sets that can be ingested.

/// Which data set the inputs are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dataset {
    /// Waymo Open Dataset.
    Waymo,
    /// SODA10M.
    Soda10m,
    /// Any tree of images.
    Images,
}

impl Dataset {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Waymo, Self::Soda10m, Self::Images];

    /// Its name in the `dataset` column and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Waymo => "waymo",
            Self::Soda10m => "soda10m",
            Self::Images => "images",
        }
    }
}
