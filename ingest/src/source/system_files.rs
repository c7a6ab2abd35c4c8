//! Files and folders that systems and programs leave among pictures: thumbnails, caches, waste.

/// Small copies of pictures that lie beside them.
const THUMBNAILS: [&str; 6] = [
    "@eaDir",
    ".thumbnails",
    ".@__thumb",
    ".picasaoriginals",
    "Thumbs.db",
    "ehthumbs.db",
];

/// What is hidden though its name does not begin with a dot.
const HIDDEN: [&str; 8] = [
    "__MACOSX",
    "$RECYCLE.BIN",
    "#recycle",
    "@Recycle",
    "lost+found",
    "System Volume Information",
    "RECYCLER",
    "desktop.ini",
];

/// Hidden names that are told from others.
const DOTTED: [&str; 6] = [
    ".DS_Store",
    ".git",
    ".ipynb_checkpoints",
    ".Trashes",
    ".Spotlight-V100",
    ".snapshot",
];

/// Reason and kind of passing over the file or folder called `name`, if it is no one's data.
pub(super) fn reason(name: &str) -> Option<(&'static str, &'static str)> {
    let one_of = |names: &[&'static str]| {
        let known = names.iter().find(|known| name.eq_ignore_ascii_case(known));
        known.copied()
    };
    if let Some(kind) = one_of(&THUMBNAILS) {
        return Some(("thumbnail", kind));
    }
    if let Some(kind) = one_of(&HIDDEN) {
        return Some(("hidden", kind));
    }
    let kind = || match name.starts_with("._") {
        true => "._*",
        false => one_of(&DOTTED).unwrap_or(".*"),
    };
    name.starts_with('.').then(|| ("hidden", kind()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waste_is_named_and_data_is_not_waste() {
        for (name, expected) in [
            ("@eaDir", ("thumbnail", "@eaDir")),
            ("THUMBS.DB", ("thumbnail", "Thumbs.db")),
            ("__MACOSX", ("hidden", "__MACOSX")),
            ("lost+found", ("hidden", "lost+found")),
            ("._a.jpg", ("hidden", "._*")),
            (".ipynb_checkpoints", ("hidden", ".ipynb_checkpoints")),
            (".a.jpg", ("hidden", ".*")),
        ] {
            assert_eq!(reason(name), Some(expected), "{name}");
        }
        for name in ["a.jpg", "_a.jpg", "@a", "lost", "a.b"] {
            assert_eq!(reason(name), None, "{name}");
        }
    }
}
