"""OpenCV and Albumentations in a DataLoader.

OpenCV has no antialiased bicubic filter; the mean of areas is used where a crop is made smaller, which costs less.
--reduced decodes at a half or a quarter where the crops allow it, with boxes rounded to its pixels.
"""

import albumentations as A
import cv2
import measure
import numpy as np
import torch
from albumentations.pytorch import ToTensorV2
from pairs import MEAN, SIDE, STD, reduction
from torch_loader import bench_loader

cv2.setNumThreads(0)
DECODE = {1: cv2.IMREAD_COLOR, 2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4}


def augmentation(is_second):
    steps = [
        A.ColorJitter((0.6, 1.4), (0.6, 1.4), (0.8, 1.2), (-0.1, 0.1), p=0.8),
        A.ToGray(p=0.2),
        A.GaussianBlur(blur_limit=(23, 23), sigma_limit=(0.1, 2.0), p=0.1 if is_second else 1.0),
    ]
    if is_second:
        steps.append(A.Solarize((0.5, 0.5), p=0.2))
    return A.Compose([*steps, A.Normalize(MEAN, STD), ToTensorV2()])


AUGMENTATIONS = augmentation(False), augmentation(True)


def make(path, boxes, flips, _):
    by = reduction(boxes) if options.reduced else 1
    image = cv2.imdecode(np.fromfile(path, np.uint8), DECODE[by] | cv2.IMREAD_IGNORE_ORIENTATION)
    for box, flip, augment in zip(boxes, flips, AUGMENTATIONS, strict=True):
        top, left, height, width = (int(round(side / by)) for side in box)
        how = cv2.INTER_AREA if min(height, width) > SIDE else cv2.INTER_CUBIC
        view = cv2.resize(image[top : top + height, left : left + width], (SIDE, SIDE), interpolation=how)
        view = cv2.cvtColor(view, cv2.COLOR_BGR2RGB)
        view = cv2.flip(view, 1) if flip else view
        if options.mode == "full":
            yield augment(image=view)["image"]
        else:
            yield torch.from_numpy(view.transpose(2, 0, 1).copy())


def start_worker(_):
    cv2.setNumThreads(0)


options = measure.parse(lambda parser: parser.add_argument("--reduced", action="store_true"))
if __name__ == "__main__":
    bench_loader(options, f"albumentations {A.__version__}, OpenCV {cv2.__version__}", make, start_worker)
