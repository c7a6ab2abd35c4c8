"""The work that every loader does: which pairs, cut where, augmented how.

Pair `i` is made of image `i` modulo their number. Its boxes, flips and augmentations are drawn by a generator of its
own, so every loader does the same to it, with any number of workers.

Images have 1920 x 1280 pixels. A box is (top, left, height, width) in pixels.
"""

import math
import os
import pathlib
import random

HOME = pathlib.Path(os.environ.get("PEERS_HOME", pathlib.Path.home() / ".cache" / "multisiam-peers"))
FILES = sorted(str(path) for path in (HOME / "images").glob("*.jpg"))

WIDTH, HEIGHT = 1920, 1280
SIDE = 224
BATCH = 256
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)

SEED = 20240607
MIN_IOU = 0.5
SCALE = (0.08, 1.0)
LOG_RATIO = (math.log(3 / 4), math.log(4 / 3))
CROP_TRIES = 10


def draw_box(rng):
    """A box as torchvision's RandomResizedCrop draws it."""
    for _ in range(CROP_TRIES):
        area = WIDTH * HEIGHT * rng.uniform(*SCALE)
        ratio = math.exp(rng.uniform(*LOG_RATIO))
        width, height = int(round(math.sqrt(area * ratio))), int(round(math.sqrt(area / ratio)))
        if 0 < width <= WIDTH and 0 < height <= HEIGHT:
            return rng.randint(0, HEIGHT - height), rng.randint(0, WIDTH - width), height, width
    # The image is wider than 4:3, so the fallback has its height.
    width = int(round(HEIGHT * 4 / 3))
    return 0, (WIDTH - width) // 2, HEIGHT, width


def iou(a, b):
    """Intersection over union of two boxes."""
    height = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    width = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    if height <= 0 or width <= 0:
        return 0.0
    shared = height * width
    return shared / (a[2] * a[3] + b[2] * b[3] - shared)


def draw_boxes(rng):
    """Two boxes that overlap enough. Both are drawn again until they do."""
    while True:
        a, b = draw_box(rng), draw_box(rng)
        if iou(a, b) >= MIN_IOU:
            return a, b


def draw_augmentation(rng, is_second):
    """BYOL's augmentation of one view.

    `jitter` is None or (order, brightness, contrast, saturation, hue). `sigma` of the blur is None or in pixels.
    """

    def around_one(width):
        return rng.uniform(1 - width, 1 + width)

    jitter = None
    if rng.random() < 0.8:
        order = [0, 1, 2, 3]
        rng.shuffle(order)
        jitter = (order, around_one(0.4), around_one(0.4), around_one(0.2), rng.uniform(-0.1, 0.1))
    gray = rng.random() < 0.2
    sigma = rng.uniform(0.1, 2.0) if rng.random() < (0.1 if is_second else 1.0) else None
    solarize = is_second and rng.random() < 0.2
    return {"jitter": jitter, "gray": gray, "sigma": sigma, "solarize": solarize}


def pair(i):
    """Number of the image, both boxes, both flips, both augmentations of pair `i`."""
    rng = random.Random(SEED * 1000003 + i)
    boxes = draw_boxes(rng)
    flips = rng.random() < 0.5, rng.random() < 0.5
    return i % len(FILES), boxes, flips, (draw_augmentation(rng, False), draw_augmentation(rng, True))


def union(a, b):
    """The smallest box around both."""
    top, left = min(a[0], b[0]), min(a[1], b[1])
    return top, left, max(a[0] + a[2], b[0] + b[2]) - top, max(a[1] + a[3], b[1] + b[3]) - left


def reduction(boxes, scale=1.0):
    """How much smaller an image may be decoded, as libjpeg can (1, 2 or 4), so that no crop is enlarged.

    `scale` is that of the stored image.
    """
    shortest = scale * min(min(box[2], box[3]) for box in boxes)
    return 4 if shortest >= 4 * SIDE else 2 if shortest >= 2 * SIDE else 1
