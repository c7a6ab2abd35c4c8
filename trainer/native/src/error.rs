//! libtorch's errors in one line, without the C++ stack that follows.

/// An `anyhow::Error` from a libtorch error: its first line only, without the C++ stack that
/// follows.
pub fn torch(error: tch::TchError) -> anyhow::Error {
    anyhow::anyhow!("libtorch: {}", first_line(&error.to_string()))
}

/// The first non-empty line of a libtorch message; out-of-memory messages say what to do.
pub fn first_line(message: &str) -> String {
    let line = message
        .lines()
        .map(|l| l.trim().trim_start_matches("Internal torch error:").trim())
        .find(|l| !l.is_empty())
        .unwrap_or("unknown error")
        .to_owned();
    if message.contains("out of memory") {
        return format!("{line} -- lower --batch, or split it with --set data.accumulate=N");
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libtorch_messages_become_one_line() {
        let text = "Internal torch error: The size of tensor a (3) must match\nException raised from ...\nframe #0: ...";
        assert_eq!(first_line(text), "The size of tensor a (3) must match");
        assert!(first_line("CUDA out of memory. Tried to allocate 2 GiB\nx").contains("--batch"));
    }
}
