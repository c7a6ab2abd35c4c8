//! What is done with a file that is found below an input.

/// What becomes of a file, by its path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Choice {
    /// It is an item of the input.
    Item,
    /// It may say something of items.
    TagFile,
    /// It is not read, for this reason; the text says what kind of file it is.
    PassOver(&'static str, String),
}

/// The choice for a path with `/` between its components.
pub(crate) type Choose<'a> = &'a dyn Fn(&str) -> Choice;
