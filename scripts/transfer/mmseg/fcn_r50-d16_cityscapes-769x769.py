# FCN-16s on Cityscapes for mmsegmentation 1.x, in MoCo's setting: stage 4 with stride 1 and dilation 2, two 3×3 filters
# of dilation 6, crops of 769 px, 90,000 iterations of 16 crops, SGD 0.01, a tenth of it at 70 % and 90 %. Corners are
# aligned: crops have 16 k + 1 pixels, and the base's test pipeline resizes 2048 x 1024 to 2049 x 1025. Put it below
# mmsegmentation's `configs/fcn/`, or keep the paths of `_base_` in mind.
_base_ = ["../_base_/datasets/cityscapes_769x769.py", "../_base_/default_runtime.py"]

crop_size = (769, 769)
norm_cfg = dict(type="SyncBN", requires_grad=True)
model = dict(
    type="EncoderDecoder",
    data_preprocessor=dict(
        type="SegDataPreProcessor",
        mean=[123.675, 116.28, 103.53],
        std=[58.395, 57.12, 57.375],
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=crop_size,
    ),
    backbone=dict(
        type="ResNet",  # not ResNetV1c: its deep stem has other names
        depth=50,
        num_stages=4,
        out_indices=(0, 1, 2, 3),
        strides=(1, 2, 2, 1),
        dilations=(1, 1, 1, 2),
        norm_cfg=norm_cfg,
        norm_eval=False,
        style="pytorch",
        init_cfg=dict(type="Pretrained", checkpoint="r50.pth"),
    ),
    decode_head=dict(
        type="FCNHead",
        in_channels=2048,
        in_index=3,
        channels=256,
        num_convs=2,
        dilation=6,
        concat_input=False,
        dropout_ratio=0,
        num_classes=19,
        norm_cfg=norm_cfg,
        align_corners=True,
        loss_decode=dict(type="CrossEntropyLoss", use_sigmoid=False, loss_weight=1.0),
    ),
    auxiliary_head=None,
    train_cfg=dict(),
    test_cfg=dict(mode="whole"),
)

train_dataloader = dict(batch_size=2)  # eight GPUs
optim_wrapper = dict(type="OptimWrapper", optimizer=dict(type="SGD", lr=0.01, momentum=0.9, weight_decay=1e-4))
param_scheduler = [dict(type="MultiStepLR", milestones=[63_000, 81_000], gamma=0.1, by_epoch=False)]
train_cfg = dict(type="IterBasedTrainLoop", max_iters=90_000, val_interval=10_000)
val_cfg = dict(type="ValLoop")
test_cfg = dict(type="TestLoop")
default_hooks = dict(checkpoint=dict(type="CheckpointHook", by_epoch=False, interval=10_000))
