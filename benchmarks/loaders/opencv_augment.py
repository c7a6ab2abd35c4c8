"""BYOL's augmentation of one 224 x 224 view, tuned by hand with OpenCV: for loaders that bring none of their own.

Linear steps of the jitter are joined into one 3 x 4 matrix. Solarize and normalisation are one table a channel.
"""

import math

import cv2
import numpy as np
from pairs import MEAN, STD

cv2.setNumThreads(0)

LUMA = np.array([0.299, 0.587, 0.114], np.float64)
LEVELS = np.arange(256)
NORMALISED = [
    ((LEVELS / 255.0 - mean) / std).astype(np.float32).reshape(1, 256) for mean, std in zip(MEAN, STD, strict=True)
]
SOLARIZED = [table[:, np.where(LEVELS >= 128, 255 - LEVELS, LEVELS)].copy() for table in NORMALISED]
BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)


def shift_hue(view, shift):
    hsv = cv2.cvtColor(view, cv2.COLOR_RGB2HSV_FULL)
    turned = ((LEVELS + (int(round(shift * 256)) & 255)) & 255).astype(np.uint8)
    cv2.insertChannel(cv2.LUT(cv2.extractChannel(hsv, 0), turned), hsv, 0)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB_FULL)


def linear(view, step, factor, before):
    """Matrix and shift of a step, after the matrix `before`, which is not yet applied to the view."""
    if step == BRIGHTNESS:
        return np.eye(3) * factor, np.zeros(3)
    if step == SATURATION:
        return np.eye(3) * factor + (1 - factor) * np.tile(LUMA, (3, 1)), np.zeros(3)
    means = np.array(cv2.mean(view)[:3])
    if before is not None:
        means = before[:, :3] @ means + before[:, 3]
    return np.eye(3) * factor, np.full(3, (1 - factor) * (LUMA @ means))


def jittered(view, order, *factors):
    matrix = None
    for step in order:
        if step == HUE:
            if matrix is not None:
                view, matrix = cv2.transform(view, matrix), None
            view = shift_hue(view, factors[HUE])
            continue
        scale, shift = linear(view, step, factors[step], matrix)
        if matrix is None:
            matrix = np.hstack([scale, shift[:, None]])
        else:
            matrix = np.hstack([scale @ matrix[:, :3], (scale @ matrix[:, 3] + shift)[:, None]])
    return view if matrix is None else cv2.transform(view, matrix)


def augment(view, augmentation):
    """Jitter, grayscale and blur of uint8 RGB."""
    if augmentation["jitter"] is not None:
        view = jittered(view, *augmentation["jitter"])
    if augmentation["gray"]:
        view = cv2.cvtColor(cv2.cvtColor(view, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    sigma = augmentation["sigma"]
    if sigma is not None:
        # Weights beyond four sigmas are below 1e-4: the result is that of a kernel of 23.
        side = min(23, 2 * math.ceil(4 * sigma) + 1)
        view = cv2.GaussianBlur(view, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101)
    return view


def finish(view, augmentation, out):
    """Solarizes and normalises into `out`, three float32 planes."""
    tables = SOLARIZED if augmentation["solarize"] else NORMALISED
    for channel, plane in enumerate(cv2.split(view)):
        cv2.LUT(plane, tables[channel], out[channel])
