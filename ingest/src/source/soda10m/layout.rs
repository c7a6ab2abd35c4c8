//! Where the frames of SODA10M lie, in all layouts in which people keep it.
//!
//! The innermost folder that is called like a part of the set is one (`labeled_test/SSLAD-2D/
//! labeled/test`, `unlabeled/SSLAD-2D/unlabel/image_0`), and the folder in it is a split. Folders
//! `image_0` to `image_99` are splits without it, too. A frame is named from the part on.

use std::path::Path;

use crate::source::archive::parts;
use crate::source::naming::short_name;

/// Spellings of the parts in which the set is shipped. Frames keep them in their names.
const SHIPPED: [&str; 4] = ["Labeled", "labeled", "Unlabel", "unlabel"];

/// Splits of the labelled part.
const LABELLED_SPLITS: [&str; 4] = ["train", "val", "test", "trainval"];

/// Whether a folder called `name` is a part of the set.
pub(super) fn is_part(name: &str) -> bool {
    part(name).is_some()
}

/// What the part is called that the folder `name` is, in the set as it is shipped.
fn part(name: &str) -> Option<&'static str> {
    const SPELLINGS: [(&str, &str); 5] = [
        ("labeled", "labeled"),
        ("labelled", "labeled"),
        ("unlabel", "unlabel"),
        ("unlabeled", "unlabel"),
        ("unlabelled", "unlabel"),
    ];
    let known = SPELLINGS
        .iter()
        .find(|(spelling, _)| name.eq_ignore_ascii_case(spelling));
    known.map(|&(_, part)| part)
}

/// Whether a folder called `name` is an unlabelled split wherever it lies.
fn is_image_split(name: &str) -> bool {
    let number = name.strip_prefix("image_").unwrap_or_default();
    (1..=2).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
}

/// Where the files of one folder belong.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// How the input's files are named in rows: `unlabel/image_3`.
    pub name: String,
    /// Bytes of a path below the root for which the name stands, with the slash behind.
    pub above: usize,
    /// Whether the files lie in a part, beside its splits.
    pub is_loose: bool,
}

impl Place {
    /// Name of the input.
    pub(super) fn input(&self) -> String {
        match self.is_loose {
            true => format!("{}/(loose)", self.name),
            false => self.name.clone(),
        }
    }

    /// How the file at `path` below the root is named in rows.
    pub(super) fn source(&self, path: &str) -> String {
        let relative = path.get(self.above..).unwrap_or_default();
        format!("{}/{relative}", self.name)
    }
}

/// The folder that was given.
#[derive(Debug)]
pub(super) struct Layout {
    /// Folders from the file system's root to it.
    root: Vec<String>,
    /// Its name, if that is to be another one than its own.
    name: Option<String>,
}

impl Layout {
    /// The layout below `root`, which is called `name` if that is to be another one than its own.
    pub(super) fn of(root: &Path, name: Option<&str>) -> Self {
        let whole = short_name(root, usize::MAX);
        let names = whole.split('/').filter(|name| !name.is_empty());
        Self {
            root: names.map(str::to_owned).collect(),
            name: name.map(str::to_owned),
        }
    }

    /// Where the file at `path` below the root belongs.
    pub(super) fn place(&self, path: &str) -> Place {
        self.place_of_folder(path.rsplit_once('/').map_or("", |(folder, _)| folder))
    }

    /// Where files in the folder at `path` below the root belong.
    pub(super) fn place_of_folder(&self, path: &str) -> Place {
        let num_above = self.root.len();
        let below = path.split('/').filter(|name| !name.is_empty());
        let names: Vec<&str> = self.root.iter().map(String::as_str).chain(below).collect();
        let place = |start: usize, end: usize, is_loose: bool| {
            let above = &names[num_above..end.max(num_above)];
            let own = names[start..end].join("/");
            Place {
                name: match &self.name {
                    Some(given) => format!("{given}/{own}"),
                    None => own,
                },
                above: above.iter().map(|name| name.len() + 1).sum(),
                is_loose,
            }
        };
        if let Some(part) = (0..names.len()).rfind(|&ix| self.is_part_at(&names, ix)) {
            let end = names.len().min(part + 2).max(num_above);
            return place(part, end, end == part + 1);
        }
        let is_split = |&ix: &usize| is_image_split(names[ix]);
        if let Some(split) = (num_above..names.len()).rfind(is_split) {
            return place(split, split + 1, false);
        }
        let whole = place(num_above.saturating_sub(1), num_above, false);
        Place {
            name: self.name.clone().unwrap_or(whole.name),
            ..whole
        }
    }

    /// A folder above the one that was given may be called so by chance: where the spelling is not
    /// the set's, a split must follow.
    fn is_part_at(&self, names: &[&str], ix: usize) -> bool {
        let num_above = self.root.len();
        let is_split = |name: &str| is_image_split(name) || LABELLED_SPLITS.contains(&name);
        let is_sure =
            SHIPPED.contains(&names[ix]) || ix + 1 >= num_above || is_split(names[ix + 1]);
        is_part(names[ix]) && is_sure
    }

    /// How the file at `path`, which belongs to `place`, may be named in sets that hold whole parts
    /// or folders.
    pub(super) fn old_sources(&self, path: &str, place: &Place) -> [String; 3] {
        let folder = self.root.last().map_or("", String::as_str);
        let whole = format!("{folder}/{path}");
        let mut starts = whole.match_indices('/').map(|(slash, _)| slash + 1);
        let is_part = |start: &usize| {
            let name = whole[*start..].split('/').next();
            name.is_some_and(|name| SHIPPED.contains(&name))
        };
        let outermost = match SHIPPED.contains(&folder) {
            true => Some(0),
            false => starts.find(is_part),
        };
        let from_part = whole[outermost.unwrap_or_default()..].to_owned();
        [place.source(path), from_part, whole]
    }
}

/// A frame is named from the part of the set on, however it came here: from a folder or from an
/// archive, with its part or without. The spelling in which parts are shipped is kept, others are
/// mended.
pub(crate) fn frame_id(source: &str) -> String {
    let names: Vec<&str> = source.split('/').collect();
    let Some((file, folders)) = names.split_last() else {
        return source.to_owned();
    };
    if let Some(at) = folders.iter().rposition(|name| is_part(name)) {
        let part = match SHIPPED.contains(&folders[at]) {
            true => folders[at],
            false => part(folders[at]).unwrap_or(folders[at]),
        };
        return named(part, &folders[at + 1..], file);
    }
    let split = folders
        .iter()
        .rposition(|name| bare_split(name, file).is_some());
    let Some(at) = split else {
        return source.to_owned();
    };
    let part = if file.starts_with("UNLABEL_") {
        "unlabel"
    } else {
        "labeled"
    };
    let split = bare_split(folders[at], file).unwrap_or_default();
    let folders = [&[split.as_str()], &folders[at + 1..]].concat();
    named(part, &folders, file)
}

/// What two copies of the frame `source` have in common, however the part is spelt; `None` of what
/// is in no part of the set.
pub(super) fn name_of_copies(source: &str) -> Option<String> {
    let id = frame_id(source);
    let (first, rest) = id.split_once('/')?;
    Some(format!("{}/{rest}", part(first)?))
}

/// The split that the folder or archive `name` is, without a part around it, for a file of the set.
fn bare_split(name: &str, file: &str) -> Option<String> {
    if file.starts_with("HT_") {
        return LABELLED_SPLITS.contains(&name).then(|| name.to_owned());
    }
    let is_split = is_image_split(name) || parts::stem(name).is_some();
    let number = unlabelled_split(name).filter(|_| is_split && file.starts_with("UNLABEL_"))?;
    Some(format!("image_{number}"))
}

/// A split that was unpacked into a folder of its name is there once.
fn named(part: &str, folders: &[&str], file: &str) -> String {
    let mut folders = folders.to_vec();
    folders.dedup_by(|inner, outer| inner == outer && is_image_split(inner));
    let names = std::iter::once(part).chain(folders).chain([file]);
    names.collect::<Vec<_>>().join("/")
}

/// `image_3`, `image_3.tar` and `unlabel_image_3.zip` are split `3`.
pub(super) fn unlabelled_split(name: &str) -> Option<String> {
    let name = parts::stem(name).unwrap_or(name);
    let (_, number) = name.rsplit_once("image_")?;
    number.parse::<u8>().ok().map(|number| number.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_of_all_layouts_are_named_alike() {
        let file = "UNLABEL_01_BJ_000_1.jpg";
        for folder in [
            "unlabel/image_3",
            "soda/image_3.tar/SSLAD-2D/unlabel/image_3",
            "soda/image_3.tar/image_3",
            "soda/image_3.tar",
            "soda/unlabel_image_3.zip",
            "unlabeled/SSLAD-2D/unlabel/image_3",
            "Unlabeled/image_3",
            "UNLABELLED/image_3",
            "unlabel/image_3/image_3",
            "image_3",
            "d/image_3",
        ] {
            assert_eq!(
                frame_id(&format!("{folder}/{file}")),
                format!("unlabel/image_3/{file}"),
                "{folder}"
            );
        }
        for (source, expected) in [
            (
                "labeled/labeled_test/SSLAD-2D/labeled/test/x.jpg",
                "labeled/test/x.jpg",
            ),
            ("Labeled/val/x.jpg", "Labeled/val/x.jpg"),
            ("Unlabel/image_0/x.jpg", "Unlabel/image_0/x.jpg"),
            ("labelled/val/x.jpg", "labeled/val/x.jpg"),
            (
                "d/train/HT_TRAIN_1_SH_0.jpg",
                "labeled/train/HT_TRAIN_1_SH_0.jpg",
            ),
            (
                "d/labeled.zip/val/HT_VAL_1_SH_0.jpg",
                "labeled/val/HT_VAL_1_SH_0.jpg",
            ),
            ("street/x.jpg", "street/x.jpg"),
            ("kitti/image_2/000000.png", "kitti/image_2/000000.png"),
            ("d/UNLABEL_01_BJ_000_1.jpg", "d/UNLABEL_01_BJ_000_1.jpg"),
        ] {
            assert_eq!(frame_id(source), expected);
        }
    }

    #[test]
    fn every_split_is_an_input_and_so_is_what_lies_beside_them() {
        for (root, folder, input, above) in [
            (
                "/d/soda",
                "SSLAD-2D/labeled/train",
                "labeled/train",
                "SSLAD-2D/labeled/train/",
            ),
            (
                "/d/soda",
                "labeled/labeled_test/SSLAD-2D/labeled/test",
                "labeled/test",
                "labeled/labeled_test/SSLAD-2D/labeled/test/",
            ),
            (
                "/d/soda",
                "Unlabeled/image_0",
                "Unlabeled/image_0",
                "Unlabeled/image_0/",
            ),
            ("/d/soda", "Unlabeled", "Unlabeled/(loose)", "Unlabeled/"),
            ("/d/soda", "image_7/a", "image_7", "image_7/"),
            ("/d/soda", "street/a", "soda", ""),
            ("/d/soda", "", "soda", ""),
            ("/d/unlabel", "image_0", "unlabel/image_0", "image_0/"),
            ("/d/unlabel", "", "unlabel/(loose)", ""),
            ("/d/unlabel/image_0", "", "unlabel/image_0", ""),
            ("/d/unlabel/image_0", "a", "unlabel/image_0", ""),
            ("/d/unlabel/image_0/a", "b", "unlabel/image_0/a", ""),
            ("/d/Unlabelled/image_0", "", "Unlabelled/image_0", ""),
            ("/d/Unlabeled/street", "a", "street", ""),
            ("/d/image_3", "", "image_3", ""),
        ] {
            let place = Layout::of(Path::new(root), None).place_of_folder(folder);
            assert_eq!(
                (&*place.input(), place.above),
                (input, above.len()),
                "{root} {folder}"
            );
        }
    }

    #[test]
    fn names_in_sets_of_whole_parts_are_known() {
        let sources = |root: &str, path: &str| {
            let layout = Layout::of(Path::new(root), None);
            layout.old_sources(path, &layout.place(path))
        };
        assert_eq!(
            sources("/d/soda", "labeled/SSLAD-2D/labeled/val/x.jpg"),
            [
                "labeled/val/x.jpg",
                "labeled/SSLAD-2D/labeled/val/x.jpg",
                "soda/labeled/SSLAD-2D/labeled/val/x.jpg"
            ]
        );
        assert_eq!(
            sources("/d/soda", "image_0/x.jpg"),
            ["image_0/x.jpg", "soda/image_0/x.jpg", "soda/image_0/x.jpg"]
        );
        assert_eq!(
            sources("/d/unlabel", "image_0/x.jpg")[0],
            "unlabel/image_0/x.jpg"
        );
    }
}
