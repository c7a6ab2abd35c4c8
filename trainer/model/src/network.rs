//! The two networks that every method has.

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Network {
    /// The one that learns.
    Online,
    /// Its moving average.
    Target,
}

impl Network {
    /// As checkpoints and files call it; `NAME.` begins the names of its tensors.
    pub fn name(self) -> &'static str {
        match self {
            Network::Online => "online",
            Network::Target => "target",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_checkpoints() {
        let names = [Network::Online, Network::Target].map(Network::name);
        assert_eq!(names, ["online", "target"]);
    }
}
