//! Which pictures are annotations of others, by the layouts of driving sets: Cityscapes, BDD100K,
//! Mapillary Vistas, nuScenes, KITTI, IDD, ApolloScape, A2D2, ACDC, WildDash, CamVid, VOC, ADE20K,
//! CULane, TuSimple, WoodScape, KITTI-360, Virtual KITTI 2, DrivingStereo, Foggy Cityscapes.
//!
//! A rule is the end of a name or the name of a folder. Names of folders count only for pictures
//! without loss: a JPEG is no map of classes. Common words like `labels` count only where no folder
//! of images lies further in (`labels/images/x.png` is an image), and words that streets and drives
//! are called by, like `seg`, only beside another word.

use host::file_name::is_annotation;

/// How names of label pictures end, without the ending of the file. What stands in front is the
/// rule's name.
const NAMES: [(&str, &str); 12] = [
    ("*_labelColors", "_labelcolors"),
    ("*_labelColor", "_labelcolor"),
    ("*_labellevelNIds", "_labellevel1ids"),
    ("*_labellevelNIds", "_labellevel2ids"),
    ("*_labellevelNIds", "_labellevel3ids"),
    ("*_drivable_id", "_drivable_id"),
    ("*_drivable_color", "_drivable_color"),
    ("*_disparity", "_disparity"),
    ("*_gt_invIds", "_gt_invids"),
    ("*_gt_invGray", "_gt_invgray"),
    ("*_gtFine_*", "_gtfine"),
    ("*_gtFine_*", "_gtfine_panoptic"),
];

/// The same, for pictures without loss only.
const LOSSLESS_NAMES: [(&str, &str); 9] = [
    ("*_label", "_label"),
    ("*_labels", "_labels"),
    ("*_depth", "_depth"),
    ("*_semantic", "_semantic"),
    ("*_instance", "_instance"),
    ("*_panoptic", "_panoptic"),
    ("*_segmentation", "_segmentation"),
    ("*_gt", "_gt"),
    ("*_groundtruth", "_groundtruth"),
];

/// Folders that hold nothing but annotations, wherever they lie.
const FOLDERS: [&str; 51] = [
    "gtFine",
    "gtCoarse",
    "gtFinePanopticMaps",
    "drivable_maps",
    "color_labels",
    "bitmasks",
    "colormaps",
    "pan_mask",
    "label_masks",
    "labelmap",
    "labelmaps",
    "semantic_rgb",
    "gt_image_2",
    "gt_image_3",
    "disp_noc",
    "disp_noc_0",
    "disp_noc_1",
    "disp_occ",
    "disp_occ_0",
    "disp_occ_1",
    "flow_noc",
    "flow_occ",
    "viz_flow_occ",
    "obj_map",
    "proj_depth",
    "velodyne_raw",
    "groundtruth_depth",
    "panoptic_maps",
    "instancemap",
    "SegmentationClass",
    "SegmentationClassAug",
    "SegmentationClassRaw",
    "SegmentationObject",
    "classSegmentation",
    "instanceSegmentation",
    "forwardFlow",
    "backwardFlow",
    "forwardSceneFlow",
    "backwardSceneFlow",
    "laneseg_label_w16",
    "laneseg_label_w16_test",
    "seg_label",
    "semantic_annotations",
    "instance_annotations",
    "gtLabels",
    "trainannot",
    "valannot",
    "testannot",
    "LabeledApproved_full",
    "LabelsDC",
    "basemap",
];

/// How names of such folders end.
const FOLDER_ENDS: [&str; 2] = ["-disparity-map", "-depth-map"];

/// Folders that hold annotations where no folder of [`IMAGES`] lies inside them.
const WORDS: [&str; 32] = [
    "label",
    "labels",
    "mask",
    "masks",
    "annotation",
    "annotations",
    "semantic",
    "semantics",
    "semseg",
    "sem_seg",
    "seg_mask",
    "seg_masks",
    "segmentation",
    "segmentations",
    "segmap",
    "segmaps",
    "instance",
    "instances",
    "depth",
    "depths",
    "depth_map",
    "depth_maps",
    "disparity",
    "disparities",
    "panoptic",
    "confidence",
    "ground_truth",
    "groundtruth",
    "optical_flow",
    "optflow",
    "lane_mask",
    "lane_masks",
];

/// The same, where the path has another such word, or the file's name says `_gt_`.
const UNSURE_WORDS: [&str; 3] = ["seg", "gt", "normals"];

/// Folders of images.
const IMAGES: [&str; 25] = [
    "image",
    "images",
    "img",
    "imgs",
    "image_0",
    "image_1",
    "image_2",
    "image_3",
    "image_00",
    "image_01",
    "image_02",
    "image_03",
    "leftImg8bit",
    "rightImg8bit",
    "JPEGImages",
    "ColorImage",
    "rgb",
    "rgb_anon",
    "photo",
    "photos",
    "camera",
    "cameras",
    "samples",
    "sweeps",
    "frames",
];

/// Endings of picture files that lose nothing, and so may be maps of classes.
const LOSSLESS: [&str; 6] = ["png", "bmp", "gif", "tif", "tiff", "webp"];

/// The rule by which the picture at `path` is an annotation of another one.
pub(super) fn rule(path: &str) -> Option<String> {
    let (folders, name) = path.rsplit_once('/').unwrap_or(("", path));
    let (stem, ending) = name.rsplit_once('.').unwrap_or((name, ""));
    let is_lossless = LOSSLESS
        .iter()
        .any(|known| ending.eq_ignore_ascii_case(known));
    if let Some(rule) = rule_of_name(stem) {
        return Some(rule);
    }
    if !is_lossless {
        return None;
    }
    let lower = stem.to_ascii_lowercase();
    let by_name = LOSSLESS_NAMES
        .iter()
        .find(|(_, end)| lower.ends_with(end))
        .map(|&(rule, _)| rule.to_owned());
    by_name
        .or_else(|| rule_of_unsure_name(folders, &lower).map(str::to_owned))
        .or_else(|| is_camvid(stem).then(|| "CamVid *_L".to_owned()))
        .or_else(|| rule_of_folders(folders, &lower))
        .or_else(|| is_map(folders, stem).then(|| "maps/".to_owned()))
}

fn rule_of_name(stem: &str) -> Option<String> {
    if is_annotation(stem) {
        let at = stem.len() - annotation_len(stem);
        return Some(format!("*{}", &stem[at..]));
    }
    let lower = stem.to_ascii_lowercase();
    let known = NAMES.iter().find(|(_, end)| lower.ends_with(end));
    known.map(|&(rule, _)| rule.to_owned())
}

/// Length of the end of an annotation's name that says what it is: its last word, or the last two.
fn annotation_len(stem: &str) -> usize {
    let mut words = stem.rsplit('_');
    let last = words.next().unwrap_or_default();
    let before = words.next().unwrap_or_default();
    match last {
        "id" | "color" => before.len() + last.len() + 2,
        _ => last.len() + 1,
    }
}

/// Names that say nothing alone: `recycle_bin.png` and `face_mask.png` are images.
fn rule_of_unsure_name(folders: &str, stem: &str) -> Option<&'static str> {
    if stem.contains("_transmittance_") {
        return Some("*_transmittance_*");
    }
    let (before, last) = stem.rsplit_once('_')?;
    let has_folder = |is_it: fn(&str) -> bool| folders.split('/').any(is_it);
    let is_mask = || is_frame(before) || has_folder(is_of_masks);
    match last {
        "bin" if has_folder(|folder| folder.eq_ignore_ascii_case("label")) => Some("*_bin"),
        "mask" if is_mask() => Some("*_mask"),
        "masks" if is_mask() => Some("*_masks"),
        _ => None,
    }
}

/// Whether a name looks like a frame's: a number ends it, or a long one is in it.
fn is_frame(stem: &str) -> bool {
    let is_long_number = |word: &str| {
        word.len() > 4
            && word.bytes().all(|byte| byte.is_ascii_hexdigit())
            && word.bytes().any(|byte| byte.is_ascii_digit())
    };
    let mut words = stem.split(|sign: char| !sign.is_ascii_alphanumeric());
    stem.ends_with(|sign: char| sign.is_ascii_digit()) || words.any(is_long_number)
}

fn is_of_masks(folder: &str) -> bool {
    let folder = folder.to_ascii_lowercase();
    let ends = ["_masks", "-masks"];
    matches!(&*folder, "mask" | "masks") || ends.iter().any(|end| folder.ends_with(end))
}

fn rule_of_folders(folders: &str, stem: &str) -> Option<String> {
    let find = |list: &[&'static str], folder: &str| {
        let known = list.iter().find(|known| folder.eq_ignore_ascii_case(known));
        known.copied()
    };
    let rule = |folder: &str| format!("{folder}/");
    let mut components = folders.split('/');
    if let Some(folder) = components.find_map(|folder| find(&FOLDERS, folder)) {
        return Some(rule(folder));
    }
    let end_of = |folder: &str| {
        let folder = folder.to_ascii_lowercase();
        FOLDER_ENDS.into_iter().find(|end| folder.ends_with(end))
    };
    if let Some(end) = folders.split('/').find_map(end_of) {
        return Some(format!("*{end}/"));
    }
    let is_word =
        |folder: &&str| find(&WORDS, folder).is_some() || find(&UNSURE_WORDS, folder).is_some();
    let is_sure = stem.contains("_gt_") || folders.split('/').filter(is_word).count() > 1;
    for folder in folders.rsplit('/') {
        if find(&IMAGES, folder).is_some() {
            return None;
        }
        let unsure = || find(&UNSURE_WORDS, folder).filter(|_| is_sure);
        if let Some(folder) = find(&WORDS, folder).or_else(unsure) {
            return Some(rule(folder));
        }
    }
    None
}

/// CamVid's drives and the letter at the end: `0001TP_006690_L`. Other names may end so because
/// they are of a left camera.
fn is_camvid(stem: &str) -> bool {
    const DRIVES: [&str; 4] = ["0001TP_", "0006R0_", "0016E5_", "Seq05VD_"];
    stem.ends_with("_L") && DRIVES.iter().any(|drive| stem.starts_with(drive))
}

/// Maps of nuScenes are called by a token of 32 digits.
fn is_map(folders: &str, stem: &str) -> bool {
    let is_token = stem.len() == 32 && stem.bytes().all(|byte| byte.is_ascii_hexdigit());
    is_token && folders.rsplit('/').next() == Some("maps")
}

#[cfg(test)]
mod tests;
