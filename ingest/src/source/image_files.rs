//! Which files are taken for images, by name and size, and which may say something of images.

use std::path::Path;

use host::file_name::{is_annotation, is_hidden};

use super::choice::Choice;

/// An image file larger than this is no photograph.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 30;

/// Endings of files that are images, whether or not they can be read: a TIFF is a named skip, a
/// label file is ignored.
const IMAGE_ENDINGS: [&str; 9] = [
    "jpg", "jpeg", "jpe", "png", "bmp", "gif", "tif", "tiff", "webp",
];

/// What becomes of the file at `path` in a folder or archive of images.
pub(super) fn choose(path: &str) -> Choice {
    let name = path.rsplit('/').next().unwrap_or(path);
    let is_waste = |name: &str| is_hidden(name) || matches!(name, "__MACOSX" | "@eaDir");
    if let Some(hidden) = path.split('/').find(|name| is_waste(name)) {
        return Choice::PassOver("hidden", hidden.chars().take(1).collect());
    }
    match () {
        () if is_image(name) => Choice::Item,
        () if is_tag_file(name) => Choice::TagFile,
        () => {
            let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
            let kind = format!(".{}", ending.to_lowercase());
            match is_annotation(stem) {
                true => Choice::PassOver("label-picture", kind),
                false => Choice::PassOver("other-file", kind),
            }
        }
    }
}

/// Whether a file called `name` is an image, and no picture of labels.
pub(super) fn is_image(name: &str) -> bool {
    let path = Path::new(name);
    let [stem, ending] =
        [path.file_stem(), path.extension()].map(|part| part.and_then(|part| part.to_str()));
    let ending = ending.unwrap_or_default();
    !is_hidden(name)
        && IMAGE_ENDINGS
            .iter()
            .any(|known| ending.eq_ignore_ascii_case(known))
        && !stem.is_some_and(is_annotation)
}

/// Whether a file called `name` may say something of images.
pub(super) fn is_tag_file(name: &str) -> bool {
    !is_hidden(name)
        && Path::new(name)
            .extension()
            .is_some_and(|ending| ending.eq_ignore_ascii_case("json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn images_are_told_from_labels_and_other_files() {
        for name in [
            "a.jpg",
            "a.JPEG",
            "a.b.png",
            "a.tiff",
            "aachen_000000_000019_leftImg8bit.png",
            "labelIds.png",
        ] {
            assert!(is_image(name), "{name}");
        }
        for name in [
            ".a.jpg",
            "a.txt",
            "jpg",
            "a_gtFine_labelIds.png",
            "a_labelTrainIds.png",
            "a_gtFine_color.png",
        ] {
            assert!(!is_image(name), "{name}");
        }
    }
}
