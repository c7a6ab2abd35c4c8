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

/// What libtorch has to say in a panic with this text; `None` if the panic is not one of libtorch's.
/// tch's plain methods show an error as Rust code; those of this crate begin as [`torch`]'s do.
pub fn panicked(text: &str) -> Option<String> {
    let Some((_, quoted)) = text.split_once("Torch(\"") else {
        return text.strip_prefix("libtorch: ").map(first_line);
    };
    let quoted = quoted.strip_suffix("\")").unwrap_or(quoted);
    Some(first_line(
        &quoted.replace("\\n", "\n").replace("\\\"", "\""),
    ))
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

    #[test]
    fn panics_of_libtorch_are_told_as_its_errors_are() {
        let misfit = || tch::Tensor::from_slice(&[1.0, 2.0, 3.0]).view([2]);
        let panic = std::panic::catch_unwind(misfit).unwrap_err();
        let said = panicked(panic.downcast_ref::<String>().unwrap());
        assert_eq!(said.unwrap(), "shape '[2]' is invalid for input of size 3");
        let quoting = r#"called on an `Err` value: Torch("gone: \"a\"")"#;
        assert_eq!(panicked(quoting).unwrap(), r#"gone: "a""#);
        assert_eq!(panicked("libtorch: no room").unwrap(), "no room");
        assert_eq!(panicked("index out of bounds"), None);
    }
}
