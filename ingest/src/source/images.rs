//! Any tree of images: folder names say split and segment.

use super::folder::NameFacts;

/// Folder names that are a split.
const SPLITS: [&str; 8] = ["train", "training", "val", "valid", "validation", "test", "testing", "trainval"];

/// The first folder named like a split is the split, the others together are the segment:
/// `train/n01440764/x.JPEG` is split `train`, segment `n01440764`.
pub(super) fn facts(relative: &str) -> NameFacts {
    let mut folders: Vec<&str> = relative.split('/').collect();
    folders.pop();
    let split = folders
        .iter()
        .position(|folder| SPLITS.contains(&folder.to_ascii_lowercase().as_str()))
        .map(|ix| folders.remove(ix).to_owned());
    let segment = (!folders.is_empty()).then(|| folders.join("/"));
    NameFacts { split, segment, location: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_become_split_and_segment() {
        let of = |relative| {
            let NameFacts { split, segment, .. } = facts(relative);
            (split.unwrap_or_default(), segment.unwrap_or_default())
        };
        assert_eq!(of("x.jpg"), (String::new(), String::new()));
        assert_eq!(of("train/n01440764/x.jpg"), ("train".into(), "n01440764".into()));
        assert_eq!(of("images/100k/val/x.jpg"), ("val".into(), "images/100k".into()));
        assert_eq!(of("leftImg8bit/aachen/x.png"), (String::new(), "leftImg8bit/aachen".into()));
    }
}
