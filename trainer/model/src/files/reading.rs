//! What was read of a file that no run wrote, for people.

use std::collections::BTreeMap;
use std::fmt;

use crate::arch::Arch;

/// Groups of tensors left out that are named in a line.
const MAX_GROUPS: usize = 6;

/// What a file holds, and what of it was taken.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Kind of file.
    pub container: &'static str,
    /// How its tensors are called.
    pub names: &'static str,
    /// What precedes these names.
    pub prefix: String,
    /// Which ResNet it is.
    pub arch: Arch,
    /// Number of tensors taken.
    pub tensors: usize,
    /// `online` or `target`, where the file has both or the names tell.
    pub network: Option<&'static str>,
    /// Other names of the same network.
    pub twins: Vec<String>,
    /// Names of networks that were not taken.
    pub others: Vec<String>,
    /// Number of tensors left out, by the part of their names that differs.
    pub left_out: BTreeMap<String, usize>,
    /// What no tensor tells, but should be known.
    pub warnings: Vec<String>,
}

impl Reading {
    /// Which of the file's networks it is, if there are several.
    pub(super) fn choice(&self) -> Option<String> {
        let network = self.network.filter(|_| !self.others.is_empty())?;
        let others = self.others.join(", ");
        Some(format!(
            "the {network} network {}* (not {others})",
            self.prefix
        ))
    }
}

impl fmt::Display for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, {}", self.container, self.names)?;
        match self.choice() {
            Some(choice) => write!(f, ", {choice}")?,
            None if self.prefix.is_empty() => {}
            None => write!(f, " below {}", self.prefix)?,
        }
        if !self.twins.is_empty() {
            write!(f, " (the same as {})", self.twins.join(", "))?;
        }
        write!(f, ": {}, {} tensors", self.arch, self.tensors)?;
        let groups = self.left_out.iter().take(MAX_GROUPS);
        let groups: Vec<String> = groups
            .map(|(name, num)| format!("{name} ({num})"))
            .collect();
        if !groups.is_empty() {
            write!(f, "; left out: {}", groups.join(", "))?;
        }
        if self.left_out.len() > MAX_GROUPS {
            write!(f, ", …")?;
        }
        Ok(())
    }
}
