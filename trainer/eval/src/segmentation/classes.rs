//! The 19 classes of Cityscapes by train id, as BDD100K has them too; every other pixel is ignored.
//!
//! Source: <https://github.com/mcordts/cityscapesScripts>, `helpers/labels.py`.

use draw::Color;

/// Number of classes that count.
pub(crate) const NUM_CLASSES: usize = 19;

/// The label of pixels that do not count, neither in a loss nor in a score.
pub(crate) const IGNORED: u8 = 255;

/// Groups of classes that are scored together.
pub(crate) const CATEGORIES: [&str; 7] = [
    "flat",
    "construction",
    "object",
    "nature",
    "sky",
    "human",
    "vehicle",
];

/// One class; its train id is its place in [`CLASSES`].
#[derive(Clone, Copy, Debug)]
pub(crate) struct Class {
    /// Its usual name.
    pub name: &'static str,
    /// Its number in `*_labelIds.png`.
    pub label_id: u8,
    /// Its place in [`CATEGORIES`].
    pub category: usize,
    /// Its colour in `*_color.png` and in pictures.
    pub color: Color,
}

/// The classes by train id.
pub(crate) const CLASSES: [Class; NUM_CLASSES] = [
    class("road", 7, 0, [128, 64, 128]),
    class("sidewalk", 8, 0, [244, 35, 232]),
    class("building", 11, 1, [70, 70, 70]),
    class("wall", 12, 1, [102, 102, 156]),
    class("fence", 13, 1, [190, 153, 153]),
    class("pole", 17, 2, [153, 153, 153]),
    class("traffic light", 19, 2, [250, 170, 30]),
    class("traffic sign", 20, 2, [220, 220, 0]),
    class("vegetation", 21, 3, [107, 142, 35]),
    class("terrain", 22, 3, [152, 251, 152]),
    class("sky", 23, 4, [70, 130, 180]),
    class("person", 24, 5, [220, 20, 60]),
    class("rider", 25, 5, [255, 0, 0]),
    class("car", 26, 6, [0, 0, 142]),
    class("truck", 27, 6, [0, 0, 70]),
    class("bus", 28, 6, [0, 60, 100]),
    class("train", 31, 6, [0, 80, 100]),
    class("motorcycle", 32, 6, [0, 0, 230]),
    class("bicycle", 33, 6, [119, 11, 32]),
];

/// Largest number in `*_labelIds.png`; the licence plate's -1 is stored as 255.
const LAST_LABEL_ID: u8 = 33;

const fn class(name: &'static str, label_id: u8, category: usize, color: Color) -> Class {
    Class {
        name,
        label_id,
        category,
        color,
    }
}

/// How the pixels of a label picture stand for classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Coding {
    /// Train ids 0 to 18, 255 ignored.
    TrainIds,
    /// Cityscapes' label ids 0 to 33.
    LabelIds,
}

impl Coding {
    /// Train id by stored value; `None` for values that this coding does not have.
    pub(crate) fn table(self) -> [Option<u8>; 256] {
        let mut table = [None; 256];
        table[usize::from(IGNORED)] = Some(IGNORED);
        match self {
            Coding::TrainIds => {
                for (id, entry) in table.iter_mut().enumerate().take(NUM_CLASSES) {
                    *entry = Some(id as u8);
                }
            }
            Coding::LabelIds => {
                table[..=usize::from(LAST_LABEL_ID)].fill(Some(IGNORED));
                for (id, class) in CLASSES.iter().enumerate() {
                    table[usize::from(class.label_id)] = Some(id as u8);
                }
            }
        }
        table
    }
}

/// Train id of a colour of [`CLASSES`]; any other colour is ignored.
pub(crate) fn of_color(color: Color) -> u8 {
    CLASSES
        .iter()
        .position(|class| class.color == color)
        .map_or(IGNORED, |id| id as u8)
}

/// The colour of a train id; black if it is ignored.
pub(crate) fn color_of(id: u8) -> Color {
    CLASSES
        .get(usize::from(id))
        .map_or([0, 0, 0], |class| class.color)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codings_agree_on_every_class_and_ignore_the_rest() {
        let (trained, labelled) = (Coding::TrainIds.table(), Coding::LabelIds.table());
        for (id, class) in CLASSES.iter().enumerate() {
            let id = id as u8;
            assert_eq!(
                labelled[usize::from(class.label_id)],
                Some(id),
                "{}",
                class.name
            );
            assert_eq!(
                (trained[usize::from(id)], of_color(color_of(id))),
                (Some(id), id)
            );
        }
        assert_eq!(
            labelled.iter().filter(|id| **id == Some(IGNORED)).count(),
            34 - NUM_CLASSES + 1
        );
        assert_eq!(
            (trained[19], labelled[34], of_color([1, 2, 3])),
            (None, None, IGNORED)
        );
    }
}
