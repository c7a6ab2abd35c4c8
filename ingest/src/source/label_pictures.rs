//! Which pictures are annotations of others, by the layouts of driving sets: Cityscapes, BDD100K,
//! Mapillary Vistas, nuScenes, KITTI, IDD, ApolloScape, A2D2, ACDC, WildDash, CamVid, VOC, ADE20K.
//!
//! A rule is the end of a name or the name of a folder. Names of folders count only for pictures
//! without loss: a JPEG is no map of classes. Common words like `labels` count only where no folder
//! of images lies further in (`labels/images/x.png` is an image).

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
const LOSSLESS_NAMES: [(&str, &str); 12] = [
    ("*_bin", "_bin"),
    ("*_mask", "_mask"),
    ("*_masks", "_masks"),
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
const FOLDERS: [&str; 41] = [
    "gtFine",
    "gtCoarse",
    "gtFinePanopticMaps",
    "disparity",
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
    "panoptic",
    "panoptic_maps",
    "instancemap",
    "SegmentationClass",
    "SegmentationClassAug",
    "SegmentationClassRaw",
    "SegmentationObject",
    "classSegmentation",
    "instanceSegmentation",
    "trainannot",
    "valannot",
    "testannot",
    "LabeledApproved_full",
    "LabelsDC",
    "basemap",
];

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
    "seg",
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
    "disparities",
    "gt",
    "ground_truth",
    "groundtruth",
    "optical_flow",
    "optflow",
    "normals",
    "lane_mask",
    "lane_masks",
];

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
        .or_else(|| is_camvid(stem).then(|| "CamVid *_L".to_owned()))
        .or_else(|| rule_of_folders(folders))
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

fn rule_of_folders(folders: &str) -> Option<String> {
    let find = |list: &[&'static str], folder: &str| {
        let known = list.iter().find(|known| folder.eq_ignore_ascii_case(known));
        known.copied()
    };
    let rule = |folder: &str| format!("{folder}/");
    let mut components = folders.split('/');
    if let Some(folder) = components.find_map(|folder| find(&FOLDERS, folder)) {
        return Some(rule(folder));
    }
    for folder in folders.rsplit('/') {
        if find(&IMAGES, folder).is_some() {
            return None;
        }
        if let Some(folder) = find(&WORDS, folder) {
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
mod tests {
    use super::*;

    #[test]
    fn label_pictures_of_driving_sets_are_told_by_their_rule() {
        for (path, expected) in [
            ("gtFine/train/aachen/a_gtFine_labelIds.png", "*_labelIds"),
            ("gtFine/train/aachen/a_gtFine_color.png", "*_gtFine_color"),
            (
                "gtFine/cityscapes_panoptic_val/a_gtFine_panoptic.png",
                "*_gtFine_*",
            ),
            ("gtCoarse/train/a.png", "gtCoarse/"),
            ("disparity/train/aachen/a_disparity.png", "*_disparity"),
            ("bdd100k/labels/sem_seg/masks/train/x.png", "masks/"),
            ("bdd100k/labels/drivable/colormaps/val/x.png", "colormaps/"),
            (
                "bdd100k/labels/seg_track_20/bitmasks/train/v/x.png",
                "bitmasks/",
            ),
            ("seg/labels/train/x_train_id.png", "*_train_id"),
            ("seg/color_labels/train/x_train_color.png", "*_train_color"),
            (
                "drivable_maps/labels/val/x_drivable_id.png",
                "*_drivable_id",
            ),
            ("training/v2.0/instances/x.png", "instances/"),
            ("training/v1.2/labels/x.png", "labels/"),
            ("training/v2.0/panoptic/x.png", "panoptic/"),
            ("maps/36092f0b03a857c6a3403e25b4b7aab3.png", "maps/"),
            ("maps/basemap/boston-seaport.png", "basemap/"),
            ("training/semantic/000000_10.png", "semantic/"),
            ("training/semantic_rgb/000000_10.png", "semantic_rgb/"),
            ("training/instance/000000_10.png", "instance/"),
            ("training/gt_image_2/um_road_000000.png", "gt_image_2/"),
            ("training/disp_occ_0/000000_10.png", "disp_occ_0/"),
            ("training/flow_noc/000000_10.png", "flow_noc/"),
            (
                "train/d_sync/proj_depth/groundtruth/image_02/5.png",
                "proj_depth/",
            ),
            ("gtFine/train/0/1_gtFine_labelColors.png", "*_labelColors"),
            (
                "gtFine/train/0/1_gtFine_labellevel3Ids.png",
                "*_labellevelNIds",
            ),
            ("road01_ins/Label/Record001/Camera 5/x_bin.png", "*_bin"),
            (
                "road01_ins/Label/Record001/Camera 5/x_instanceIds.png",
                "*_instanceIds",
            ),
            (
                "20180807_145028/label/cam_front_center/x_label_frontcenter_1.png",
                "label/",
            ),
            (
                "gt/fog/train/GOPR0475/x_gt_labelTrainIds.png",
                "*_labelTrainIds",
            ),
            ("gt/fog/train/GOPR0475/x_gt_labelColor.png", "*_labelColor"),
            ("0001TP_006690_L.png", "CamVid *_L"),
            ("SegNet/CamVid/trainannot/0001TP_006690.png", "trainannot/"),
            (
                "VOC2012/SegmentationClass/2007_000032.png",
                "SegmentationClass/",
            ),
            (
                "ADEChallengeData2016/annotations/training/x.png",
                "annotations/",
            ),
            ("comma10k/masks/0000_x.png", "masks/"),
            ("a_mask.GIF", "*_mask"),
            ("a/Depth/x.tiff", "depth/"),
            ("a_labelTrainIds.jpg", "*_labelTrainIds"),
        ] {
            assert_eq!(rule(path).as_deref(), Some(expected), "{path}");
        }
    }

    #[test]
    fn frames_are_no_labels() {
        for path in [
            "labelIds.png",
            "leftImg8bit/train/aachen/aachen_000000_000019_leftImg8bit.png",
            "labeled/train/HT_TRAIN_000001_SH_000.png",
            "labels/train/x.jpg",
            "seg/images/train/x.png",
            "annotations/images/x.png",
            "training/image_2/000000_10.png",
            "training/image_0/000000.png",
            "2011_09_26/2011_09_26_drive_0001_sync/image_00/data/0000000000.png",
            "maps/street.png",
            "left/frame_0001_L.png",
            "rgb_anon/fog/train/GOPR0475/x_rgb_anon.png",
            "unmasked/x.png",
            "masked_faces/x.png",
            "camera/cam_front_center/x_camera_frontcenter_1.png",
            "mask/x.jpeg",
            "x_depth.jpg",
            "a.png",
        ] {
            assert_eq!(rule(path), None, "{path}");
        }
    }
}
