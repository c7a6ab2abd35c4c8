//! Names of members as paths: `/` between components, none of them `.` or `..`, none in front.
//!
//! Names in archives are bytes of any encoding. What is not UTF-8 is written as
//! [`text_of`](host::file_name::text_of) writes it, so that no two names become one.

use host::file_name::text_of;

/// Longer targets of links lead nowhere: no system has such paths.
pub(super) const MAX_TARGET_BYTES: usize = 4096;

/// A member's path as it would be in a folder; `None` if nothing is left of it.
pub(super) fn clean(raw: &[u8], is_separator: impl Fn(u8) -> bool) -> Option<String> {
    let mut path = String::with_capacity(raw.len());
    for name in raw.split(|&byte| is_separator(byte)) {
        if matches!(name, b"" | b"." | b"..") {
            continue;
        }
        if !path.is_empty() {
            path.push('/');
        }
        path.push_str(&text_of(name));
    }
    (!path.is_empty()).then_some(path)
}

/// [`clean`] for names that have `/` between components.
pub(super) fn clean_unix(raw: &[u8]) -> Option<String> {
    clean(raw, |byte| byte == b'/')
}

/// Where the symbolic link at `path` leads that holds `raw`; `None` if it leaves the archive.
pub(super) fn target_of(path: &str, raw: &[u8]) -> Option<String> {
    if raw.starts_with(b"/") || raw.len() > MAX_TARGET_BYTES {
        return None;
    }
    let folder = path.rsplit_once('/').map_or("", |(folder, _)| folder);
    let mut names: Vec<String> = folder.split('/').map(str::to_owned).collect();
    names.retain(|name| !name.is_empty());
    for name in raw.split(|&byte| byte == b'/') {
        match name {
            b"" | b"." => {}
            b".." => drop(names.pop()?),
            name => names.push(text_of(name).into_owned()),
        }
    }
    (!names.is_empty()).then(|| names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_cleaned_and_foreign_letters_are_told_apart() {
        for (raw, expected) in [
            (&b"./a/b.jpg"[..], Some("a/b.jpg")),
            (b"/a//b.jpg", Some("a/b.jpg")),
            (b"../a/b.jpg", Some("a/b.jpg")),
            (b"a/..b/.c.jpg", Some("a/..b/.c.jpg")),
            (b"./", None),
            (b"a/\xE4.jpg", Some("a/\\xE4.jpg")),
            (b"a/\xF6.jpg", Some("a/\\xF6.jpg")),
            (b"a\\b.jpg", Some("a\\b.jpg")),
        ] {
            assert_eq!(clean_unix(raw).as_deref(), expected);
        }
        let windows = clean(b"train\\x\\..\\a.jpg", |byte| matches!(byte, b'/' | b'\\'));
        assert_eq!(windows.as_deref(), Some("train/x/a.jpg"));
    }

    #[test]
    fn links_are_relative_to_their_folder_and_stay_inside() {
        for (path, raw, expected) in [
            ("a/l.jpg", "b.jpg", Some("a/b.jpg")),
            ("a/l.jpg", "../b.jpg", Some("b.jpg")),
            ("a/l.jpg", "./c//d/../b.jpg", Some("a/c/b.jpg")),
            ("l.jpg", "../b.jpg", None),
            ("l.jpg", "/b.jpg", None),
            ("l.jpg", "", None),
        ] {
            assert_eq!(
                target_of(path, raw.as_bytes()).as_deref(),
                expected,
                "{raw}"
            );
        }
    }
}
