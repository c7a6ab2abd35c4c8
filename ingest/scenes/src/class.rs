//! What a pixel shows, with the label ids of Cityscapes.

/// A class of Cityscapes; the value is its `labelIds` id
/// (<https://github.com/mcordts/cityscapesScripts>, `labels.py`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names of Cityscapes")]
pub enum Class {
    Road = 7,
    Sidewalk = 8,
    Building = 11,
    Pole = 17,
    TrafficLight = 19,
    TrafficSign = 20,
    Vegetation = 21,
    Terrain = 22,
    Sky = 23,
    Person = 24,
    Rider = 25,
    Car = 26,
    Truck = 27,
    Bus = 28,
    Bicycle = 33,
}

impl Class {
    /// The value of its pixels in labels.
    pub fn id(self) -> u8 {
        self as u8
    }
}
