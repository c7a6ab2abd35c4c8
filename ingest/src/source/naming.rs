//! How inputs and items are named in shards and reports.

use std::path::Path;

/// The last `count` components of `path`, joined by `/`: how an input is named in a shard, whatever
/// folder it is given relative to.
pub(crate) fn short_name(path: &Path, count: usize) -> String {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let mut names: Vec<String> = Vec::new();
    for component in absolute.components() {
        match component {
            std::path::Component::Normal(name) => names.push(name.to_string_lossy().into_owned()),
            std::path::Component::ParentDir => drop(names.pop()),
            _ => {}
        }
    }
    names[names.len().saturating_sub(count)..].join("/")
}

/// The absolute path, where links lead, as a set remembers it.
pub(crate) fn root_of(path: &Path) -> String {
    let absolute = path
        .canonicalize()
        .or_else(|_| std::path::absolute(path))
        .unwrap_or_else(|_| path.to_owned());
    absolute.to_string_lossy().into_owned()
}

/// How an item is named in rows and reports: the folder or archive that was given, and the path or
/// place in it.
pub(crate) fn source_name(input: &str, relative: &str) -> String {
    if relative.starts_with('@') {
        format!("{input}{relative}")
    } else {
        format!("{input}/{relative}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_do_not_depend_on_how_a_path_is_given() {
        assert_eq!(
            short_name(Path::new("/data/waymo/training/a.tfrecord"), 2),
            "training/a.tfrecord"
        );
        assert_eq!(
            short_name(Path::new("/data/waymo/../waymo/./training/"), 1),
            "training"
        );
        let here = std::env::current_dir().unwrap();
        assert_eq!(short_name(Path::new("x/y"), 1), "y");
        assert_eq!(
            short_name(Path::new("."), 1),
            here.file_name().unwrap().to_string_lossy()
        );
    }

    #[test]
    fn sources_are_paths_or_places() {
        assert_eq!(source_name("train", "a/b.jpg"), "train/a/b.jpg");
        assert_eq!(source_name("d/x.tar", "@512"), "d/x.tar@512");
        assert_eq!(
            source_name("d/x.tar", "inner.tar@512"),
            "d/x.tar/inner.tar@512"
        );
    }
}
