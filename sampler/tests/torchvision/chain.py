"""Makes views from whole JPEG files with Pillow and torchvision, and compares them with given ones.

    python chain.py FOLDER    with FOLDER/plans.json, FOLDER/views.bin and the JPEG files; prints what differs

The order is that of OpenSelfSup's BYOL (RECIPE 1.1): decode, resized crop, flip, jitter, grayscale, blur, solarize;
MoCo v1 has the grayscale first. views.bin holds RGB bytes, view after view.
"""

import json
import pathlib
import sys

import numpy as np
import torchvision.transforms.functional as F
from PIL import Image, ImageFilter
from torchvision.transforms import InterpolationMode

ADJUST = {
    "brightness": F.adjust_brightness,
    "contrast": F.adjust_contrast,
    "saturation": F.adjust_saturation,
    "hue": F.adjust_hue,
}


def make(frame, plan, side):
    left, top, width, height = plan["crop"]
    view = F.resized_crop(frame, top, left, height, width, [side, side], InterpolationMode(plan["interpolation"]))
    if plan["flip"]:
        view = F.hflip(view)
    steps = [(ADJUST[name], factor) for name, factor in plan["jitter"]]
    if plan["grayscale"]:
        steps.insert(0 if plan["grayscale_first"] else len(steps), (F.rgb_to_grayscale, 3))
    for step, value in steps:
        view = step(view, value)
    if plan["blur_sigma"] is not None:
        view = view.filter(ImageFilter.GaussianBlur(plan["blur_sigma"]))
    return F.solarize(view, 128) if plan["solarize"] else view


def main():
    folder = pathlib.Path(sys.argv[1])
    plans = json.loads((folder / "plans.json").read_text())
    side = plans["side"]
    views = np.fromfile(folder / "views.bin", np.uint8).reshape(-1, side, side, 3)
    differences = np.zeros(256, np.int64)
    frames = {}
    for plan, found in zip(plans["views"], views, strict=True):
        name = plan["jpeg"]
        if name not in frames:
            frames = {name: Image.open(folder / name).convert("RGB")}
        expected = np.asarray(make(frames[name], plan, side)).astype(np.int16)
        differences += np.bincount(np.abs(expected - found).ravel(), minlength=256)
    print(
        json.dumps(
            {
                "views": len(views),
                "values": int(differences.sum()),
                "different": int(differences[1:].sum()),
                "beyond_1": int(differences[2:].sum()),
                "most": int(np.flatnonzero(differences).max()),
            }
        )
    )


if __name__ == "__main__":
    main()
