"""NVIDIA DALI on the CPU: the box around both crops is decoded, then each crop is resized from it and augmented.

DALI's contrast turns around 0.5 and its hue in YIQ; grayscale is a saturation of 0. --decode and --window choose among
its ways: the whole image or either crop by itself, and a blur of 23 pixels instead of one that follows sigma.
"""

import measure
import numpy as np
import nvidia.dali
from nvidia.dali import fn, pipeline_def, types
from pairs import BATCH, FILES, HEIGHT, MEAN, SIDE, STD, WIDTH, pair, union

FILTERS = {"cubic": types.INTERP_CUBIC, "triangular": types.INTERP_TRIANGULAR}
UNCHANGED = (None, 1.0, 1.0, 1.0, 0.0)
PER_VIEW = 7


def numbers_of(i):
    """What the pipeline has to know of pair `i`."""
    _, boxes, flips, augmentations = pair(i)
    top, left, height, width = union(*boxes) if options.decode == "union" else (0, 0, HEIGHT, WIDTH)
    numbers = [np.array([top, left], np.int32), np.array([top + height, left + width], np.int32)]
    y, x = (0, 0) if options.decode == "twice" else (top, left)
    for (top, left, height, width), flip, augmentation in zip(boxes, flips, augmentations, strict=True):
        _, brightness, contrast, saturation, hue = augmentation["jitter"] or UNCHANGED
        numbers += [
            np.array([top - y, left - x], np.float32),
            np.array([top - y + height, left - x + width], np.float32),
            np.int32(flip),
            np.float32(brightness),
            np.float32(contrast),
            np.float32(0.0 if augmentation["gray"] else saturation),
            np.float32(hue * 360),
        ]
    return numbers + [np.float32(augmentation["sigma"] or 0.1) for augmentation in augmentations]


def switches_of(i):
    """Whether the second view is blurred and solarized."""
    second = pair(i)[3][1]
    return [np.array(second["sigma"] is not None), np.array(second["solarize"])]


class Source:
    """Numbers of one batch after the other, one list for each output."""

    def __init__(self, of):
        self.of, self.next = of, 0

    def __call__(self):
        columns = zip(*(self.of(i) for i in range(self.next, self.next + BATCH)), strict=True)
        self.next += BATCH
        return [list(column) for column in columns]


def decoded(jpeg, begin, end):
    return fn.decoders.image_slice(jpeg, start=begin, end=end, axes=[0, 1], output_type=types.RGB)


def resized(jpeg, image, begin, end):
    how = {"size": [SIDE, SIDE], "interp_type": FILTERS[options.filter], "antialias": True}
    if options.decode == "twice":
        begin, end = (fn.cast(corner, dtype=types.INT32) for corner in (begin, end))
        return fn.resize(decoded(jpeg, begin, end), **how)
    return fn.resize(image, roi_start=begin, roi_end=end, **how)


def solarized(view):
    table = [255 - level if level >= 128 else level for level in range(256)]
    turned = fn.lookup_table(view, keys=list(range(256)), values=table, dtype=types.UINT8)
    return fn.reinterpret(turned, layout="HWC")


@pipeline_def(batch_size=BATCH, device_id=None, prefetch_queue_depth=2, enable_conditionals=True)
def views():
    jpeg, _ = fn.readers.file(files=FILES, random_shuffle=False, dont_use_mmap=False, prefetch_queue_depth=2)
    begin, end, *numbers = fn.external_source(source=Source(numbers_of), num_outputs=2 + 2 * PER_VIEW + 2, batch=True)
    blur, solarize = fn.external_source(source=Source(switches_of), num_outputs=2, batch=True)
    window = {"window_size": 23} if options.window == "23" else {}
    if options.decode == "union":
        image = decoded(jpeg, begin, end)
    elif options.decode == "full":
        image = fn.decoders.image(jpeg, output_type=types.RGB)
    else:
        image = None
    outputs, boxes, flips = [], [], []
    for view_ix in range(2):
        corners, (flip, brightness, contrast, saturation, hue) = split(numbers[PER_VIEW * view_ix :])
        sigma = numbers[2 * PER_VIEW + view_ix]
        view = resized(jpeg, image, *corners)
        if options.mode == "full":
            view = fn.color_twist(view, brightness=brightness, contrast=contrast, saturation=saturation, hue=hue)
            if view_ix == 0:
                view = fn.gaussian_blur(view, sigma=sigma, **window)
            else:
                if blur:
                    view = fn.gaussian_blur(view, sigma=sigma, **window)
                if solarize:
                    view = solarized(view)
            mean, std = ([255 * value for value in values] for values in (MEAN, STD))
            how = {"dtype": types.FLOAT, "output_layout": "CHW", "mean": mean, "std": std}
        else:
            how = {"dtype": types.UINT8, "output_layout": "HWC", "mean": [0.0], "std": [1.0]}
        outputs.append(fn.crop_mirror_normalize(view, mirror=flip, **how))
        boxes += corners
        flips.append(flip)
    return (*outputs, *boxes, *flips)


def split(numbers):
    """Corners of a view's box, and the rest of its numbers."""
    return numbers[:2], numbers[2:PER_VIEW]


def add_options(parser):
    parser.add_argument("--decode", choices=["union", "full", "twice"], default="union")
    parser.add_argument("--filter", choices=FILTERS, default="cubic")
    parser.add_argument("--window", choices=["sigma", "23"], default="sigma")


options = measure.parse(add_options)
if __name__ == "__main__":
    pipeline = views(num_threads=options.workers)
    pipeline.build()

    def epoch(number):
        for _ in range(number):
            outputs = [np.asarray(output.as_tensor()) for output in pipeline.run()]
            yield outputs[0], outputs[1], outputs[2:6], outputs[6:]

    measure.bench(options, f"DALI {nvidia.dali.__version__}", epoch)
