//! Variables of the environment, which tests make up. One that is empty counts as not set.

/// Reads one variable.
pub(crate) type Get<'a> = &'a dyn Fn(&str) -> Option<String>;

/// The value of a variable that says something.
pub(crate) fn set(get: Get, name: &str) -> Option<String> {
    get(name).filter(|value| !value.trim().is_empty())
}

/// The value of a variable, if it is set.
pub(crate) fn number(get: Get, name: &str) -> Result<Option<usize>, String> {
    let parse = |text: String| {
        text.trim()
            .parse()
            .map_err(|_| format!("{name} is {text:?}, but must be a number from 0 on"))
    };
    set(get, name).map(parse).transpose()
}

/// The value of a variable that its launcher always sets.
pub(crate) fn required(get: Get, name: &str) -> Result<usize, String> {
    number(get, name)?
        .ok_or_else(|| format!("{name} is not set, although other variables of its launcher are"))
}
