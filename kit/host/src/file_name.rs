//! What the name of a file in a driving set says.

/// How names of pictures end that are annotations of another one, in Cityscapes and BDD100K.
const ANNOTATIONS: [&str; 8] = [
    "_labelIds",
    "_labelTrainIds",
    "_instanceIds",
    "_instanceTrainIds",
    "_gtFine_color",
    "_gtCoarse_color",
    "_train_id",
    "_train_color",
];

/// Whether a file or folder called `name` is hidden: kept by a system or a program, not by people.
pub fn is_hidden(name: &str) -> bool {
    name.starts_with('.')
}

/// Whether a picture called `stem` (without its ending) is an annotation of another one.
pub fn is_annotation(stem: &str) -> bool {
    ANNOTATIONS.iter().any(|ending| stem.ends_with(ending))
}
