//! Paths of real data sets: which pictures are labels and which are frames.

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
        ("29bb3ece3180_11_mask.GIF", "*_mask"),
        ("aachen_000000_000019_leftImg8bit_mask.png", "*_mask"),
        ("train_masks/a_mask.png", "*_mask"),
        ("masks/images/a_masks.png", "*_masks"),
        ("labels/train/seg/0001.png", "seg/"),
        ("labels/camera/seg/0001.png", "seg/"),
        ("gt/normals/0001.png", "normals/"),
        ("gt/fog/train/GOPR0475/x_gt_other.png", "gt/"),
        ("disparity/train/aachen/a.png", "disparity/"),
        (
            "laneseg_label_w16/driver_23_30frame/05151640_0419.MP4/00000.png",
            "laneseg_label_w16/",
        ),
        ("seg_label/0531/1492626047222176976/20.png", "seg_label/"),
        ("semantic_annotations/0_FV.png", "semantic_annotations/"),
        ("instance_annotations/0_FV.png", "instance_annotations/"),
        ("woodscape/gtLabels/0_FV.png", "gtLabels/"),
        (
            "train/d_sync/proj_raw/velodyne_raw/image_02/5.png",
            "velodyne_raw/",
        ),
        (
            "val_selection_cropped/groundtruth_depth/5.png",
            "groundtruth_depth/",
        ),
        (
            "data_2d_semantics/train/d_sync/image_00/confidence/5.png",
            "confidence/",
        ),
        (
            "Scene01/clone/frames/forwardFlow/Camera_0/flow_00000.png",
            "forwardFlow/",
        ),
        (
            "Scene01/clone/frames/backwardSceneFlow/Camera_0/x.png",
            "backwardSceneFlow/",
        ),
        (
            "Scene01/clone/frames/classSegmentation/Camera_0/x.png",
            "classSegmentation/",
        ),
        ("train-disparity-map/2018/x.png", "*-disparity-map/"),
        ("test-depth-map/2018/x.png", "*-depth-map/"),
        (
            "train/aachen/a_leftImg8bit_transmittance_beta_0.005.png",
            "*_transmittance_*",
        ),
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
        "recycle_bin.png",
        "face_mask.png",
        "unmasked/covid19_face_mask.png",
        "drive/seg/0001.png",
        "street/normals/drive1/0001.png",
        "drive_7/gt/cam0/0001.png",
        "panoptic/images/x.png",
        "disparity/images/x.png",
        "confidence/images/x.png",
        "seg_label/0531/1.jpg",
        "driver_23_30frame/05151640_0419.MP4/00000.png",
        "Scene01/clone/frames/rgb/Camera_0/rgb_00000.png",
        "train-left-image/2018/x.png",
        "train/aachen/a_leftImg8bit_foggy_beta_0.005.png",
        "a.png",
    ] {
        assert_eq!(rule(path), None, "{path}");
    }
}
