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

/// Colours of what is labelled and does not count, in Cityscapes and BDD100K
/// (<https://github.com/bdd100k/bdd100k>, `bdd100k/label/label.py`). Where a class that counts has the
/// same colour, it is that class.
const VOID_COLORS: [Color; 18] = [
    [0, 0, 0],       // unlabelled, ego vehicle, border, static
    [111, 74, 0],    // dynamic
    [81, 0, 81],     // ground
    [250, 170, 160], // parking
    [230, 150, 140], // rail track
    [180, 165, 180], // guard rail
    [150, 100, 100], // bridge
    [150, 120, 90],  // tunnel
    [0, 0, 90],      // caravan
    [0, 0, 110],     // trailer
    [180, 100, 180], // garage
    [250, 170, 100], // banner
    [220, 220, 250], // billboard
    [255, 165, 0],   // lane divider
    [220, 220, 100], // street light
    [255, 70, 0],    // traffic cone
    [220, 220, 220], // traffic device
    [250, 170, 250], // frame of a traffic sign
];

/// How the pixels of a label picture stand for classes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Coding {
    /// Train ids 0 to 18, 255 ignored.
    TrainIds,
    /// Cityscapes' label ids 0 to 33.
    LabelIds,
    /// The classes' colours.
    Colors,
}

impl Coding {
    /// Train id of a stored number; `None` if this coding has no such number. Pictures that are
    /// called colours and hold numbers hold train ids.
    pub(super) fn of_number(self, number: u16) -> Option<u8> {
        let number = u8::try_from(number).ok()?;
        match self {
            _ if number == IGNORED => Some(IGNORED),
            Coding::TrainIds | Coding::Colors => {
                (usize::from(number) < NUM_CLASSES).then_some(number)
            }
            Coding::LabelIds => {
                let class = CLASSES.iter().position(|class| class.label_id == number);
                let void = (number <= LAST_LABEL_ID).then_some(IGNORED);
                class.map(|id| id as u8).or(void)
            }
        }
    }
}

/// Train id of a colour; `None` if no class and nothing that is labelled has it.
pub(super) fn of_color(color: Color) -> Option<u8> {
    let class = CLASSES.iter().position(|class| class.color == color);
    let void = VOID_COLORS.contains(&color).then_some(IGNORED);
    class.map(|id| id as u8).or(void)
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
        for (id, class) in CLASSES.iter().enumerate() {
            let id = id as u8;
            assert_eq!(
                Coding::LabelIds.of_number(class.label_id.into()),
                Some(id),
                "{}",
                class.name
            );
            assert_eq!(Coding::TrainIds.of_number(id.into()), Some(id));
            assert_eq!(of_color(color_of(id)), Some(id));
        }
        let ignored = |number: &u16| Coding::LabelIds.of_number(*number) == Some(IGNORED);
        assert_eq!(
            (0..300).filter(ignored).count(),
            34 - NUM_CLASSES + 1,
            "the others up to 33, and 255"
        );
        assert_eq!(
            [19, 254, 256, 65_535].map(|number| Coding::TrainIds.of_number(number)),
            [None; 4]
        );
        assert_eq!(Coding::LabelIds.of_number(34), None);
    }

    #[test]
    fn colours_of_nothing_that_is_labelled_are_unknown() {
        assert_eq!(of_color([0, 0, 0]), Some(IGNORED));
        assert_eq!(of_color([81, 0, 81]), Some(IGNORED));
        assert_eq!(of_color([128, 0, 0]), None);
    }
}
