//! Which files are taken for images, by name and size, and which may say something of images.

use std::path::Path;

use super::choice::Choice;
use super::label_pictures;
use super::selection::Selection;
use super::system_files;

/// An image file larger than this is no photograph.
pub(crate) const MAX_FILE_BYTES: u64 = 1 << 30;

/// Endings of files that are JPEGs or PNGs; an MPO is a JPEG of a stereo camera or a phone.
const READ_ENDINGS: [&str; 10] = [
    "jpg", "jpeg", "jpe", "jfif", "jfi", "jif", "pjpeg", "pjp", "mpo", "png",
];

/// Endings of pictures of other formats. They are taken, so that each becomes a named skip and none
/// is missing in silence.
const OTHER_ENDINGS: [&str; 21] = [
    "bmp", "dib", "gif", "tif", "tiff", "webp", "heic", "heif", "avif", "jp2", "j2k", "jpx", "jxl",
    "ppm", "pgm", "pbm", "pnm", "tga", "apng", "dng", "ico",
];

/// Longest ending by which files of other kinds are counted.
const MAX_ENDING_BYTES: usize = 10;

/// What is done with the files of an input, by their paths in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chooser<'a> {
    /// What a person says.
    pub selection: &'a Selection,
    /// Whether JSON files may say something of images.
    pub has_tags: bool,
}

impl Chooser<'_> {
    /// What becomes of the file at `path`.
    pub(super) fn choose(&self, path: &str) -> Choice {
        if let Some(pattern) = self.selection.excludes(path) {
            return Choice::PassOver("excluded", pattern.to_owned());
        }
        let is_added = self.selection.includes(path);
        let waste = || path.split('/').find_map(system_files::reason);
        if let Some((reason, kind)) = waste().filter(|_| !is_added) {
            return Choice::PassOver(reason, kind.to_owned());
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        if is_picture(name) {
            return match label_pictures::rule(path).filter(|_| !is_added) {
                Some(rule) => Choice::PassOver("label-picture", rule),
                None => Choice::Item,
            };
        }
        if self.has_tags && is_tag_file(name) {
            return Choice::TagFile;
        }
        match self.selection.includes_kind(path) {
            true => Choice::Item,
            false => Choice::PassOver("other-file", kind_of(name)),
        }
    }

    /// Reason and kind of not entering the folder at `path`.
    pub(super) fn passes_over_folder(&self, path: &str) -> Option<(&'static str, String)> {
        if let Some(pattern) = self.selection.excludes(path) {
            return Some(("excluded", pattern.to_owned()));
        }
        let name = path.rsplit('/').next().unwrap_or(path);
        let (reason, kind) = system_files::reason(name)?;
        (!self.selection.names_folder(name)).then(|| (reason, format!("{kind}/")))
    }
}

/// Whether a file called `name` is a picture, of whatever.
fn is_picture(name: &str) -> bool {
    let mut endings = READ_ENDINGS.iter().chain(&OTHER_ENDINGS);
    ending(name).is_some_and(|ending| endings.any(|known| ending.eq_ignore_ascii_case(known)))
}

/// Whether a file called `name` may say something of images.
pub(super) fn is_tag_file(name: &str) -> bool {
    system_files::reason(name).is_none()
        && ending(name).is_some_and(|ending| ending.eq_ignore_ascii_case("json"))
}

fn ending(name: &str) -> Option<&str> {
    Path::new(name).extension()?.to_str()
}

/// The ending of the file called `name`, if it is a usual one.
fn kind_of(name: &str) -> String {
    let is_usual = |ending: &&str| {
        ending.len() <= MAX_ENDING_BYTES
            && ending.bytes().all(|byte| byte.is_ascii_alphanumeric())
            && ending.bytes().any(|byte| byte.is_ascii_alphabetic())
    };
    match ending(name).filter(is_usual) {
        Some(ending) => format!(".{}", ending.to_ascii_lowercase()),
        None => "no usual ending".to_owned(),
    }
}

/// What becomes of the file at `path` where nobody says more, tags included.
#[cfg(test)]
pub(super) fn choose(path: &str) -> Choice {
    let selection = Selection::default();
    let chooser = Chooser {
        selection: &selection,
        has_tags: true,
    };
    chooser.choose(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn choose(include: &[&str], exclude: &[&str], path: &str) -> String {
        let texts = |texts: &[&str]| texts.iter().map(ToString::to_string).collect::<Vec<_>>();
        let selection = Selection::new(&texts(include), &texts(exclude)).unwrap();
        let chooser = Chooser {
            selection: &selection,
            has_tags: true,
        };
        match chooser.choose(path) {
            Choice::Item => "item".to_owned(),
            Choice::TagFile => "tags".to_owned(),
            Choice::PassOver(reason, kind) => format!("{reason} {kind}"),
        }
    }

    #[test]
    fn images_are_told_from_labels_and_other_files() {
        for name in [
            "a.jpg",
            "a.JPEG",
            "a.b.png",
            "a.jfif",
            "a.PJP",
            "a.MPO",
            "a.tiff",
            "a.heic",
            "aachen_000000_000019_leftImg8bit.png",
            "labelIds.png",
        ] {
            assert_eq!(choose(&[], &[], name), "item", "{name}");
        }
        for (path, expected) in [
            (".a.jpg", "hidden .*"),
            ("a/._b.jpg", "hidden ._*"),
            ("__MACOSX/a.jpg", "hidden __MACOSX"),
            ("a/@eaDir/b.jpg/THUMB.jpg", "thumbnail @eaDir"),
            ("a.txt", "other-file .txt"),
            ("a.TXT", "other-file .txt"),
            ("jpg", "other-file no usual ending"),
            ("a.0001", "other-file no usual ending"),
            ("a.json", "tags"),
            (".a.json", "hidden .*"),
            ("a_gtFine_labelIds.png", "label-picture *_labelIds"),
            ("a_gtFine_color.png", "label-picture *_gtFine_color"),
            ("masks/a.png", "label-picture masks/"),
        ] {
            assert_eq!(choose(&[], &[], path), expected, "{path}");
        }
    }

    #[test]
    fn patterns_add_files_and_leave_them_out() {
        for (include, exclude, path, expected) in [
            (&["masks"][..], &[][..], "masks/a.png", "item"),
            (&["masks"], &["a.png"], "masks/a.png", "excluded a.png"),
            (&["masks"], &[], "masks/a.json", "tags"),
            (&["masks"], &[], "masks/a.txt", "other-file .txt"),
            (&["*.raw"], &[], "a.raw", "item"),
            (&["*"], &[], ".a.jpg", "hidden .*"),
            (&[".thumbnails/*"], &[], ".thumbnails/a.jpg", "item"),
            (&[], &["*.jpg"], "b/a.jpg", "excluded *.jpg"),
        ] {
            assert_eq!(choose(include, exclude, path), expected, "{path}");
        }
    }
}
