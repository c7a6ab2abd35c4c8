"""FFCV: one decode a pair, both crops resized by its library, the augmentation in one function compiled by Numba.

Images are stored once in FFCV's own file, which `--build` writes. --scaled decodes at a half or a quarter where the
crops allow it, --max-side N stores images of at most N pixels; both round boxes to the pixels that they have then. The
hue turns in YIQ.
"""

import math
import os
from dataclasses import replace
from importlib.metadata import version

import measure
import numba
import numpy as np
import torch
from ffcv.fields import IntField, RGBImageField
from ffcv.fields.decoders import IntDecoder
from ffcv.fields.rgb_image import SimpleRGBImageDecoder
from ffcv.libffcv import imdecode, resize_crop
from ffcv.loader import Loader, OrderOption
from ffcv.pipeline.allocation_query import AllocationQuery
from ffcv.pipeline.compiler import Compiler
from ffcv.pipeline.operation import Operation
from ffcv.transforms import ToTensor
from ffcv.writer import DatasetWriter
from pairs import BATCH, FILES, HOME, MEAN, SIDE, STD, WIDTH, pair, reduction
from PIL import Image

# Samples in the file: every image four times.
SAMPLES = 1024
UNCHANGED = ([0, 1, 2, 3], 1, 1, 1, 0)
# Columns of a view's numbers.
JITTER, BRIGHTNESS, CONTRAST, SATURATION, HUE, GRAY, SIGMA = range(7)


class Samples:
    def __len__(self):
        return SAMPLES

    def __getitem__(self, i):
        return Image.open(FILES[i % len(FILES)]).convert("RGB"), i


def build():
    image = RGBImageField(write_mode="jpg", jpeg_quality=90, max_resolution=options.max_side or None)
    writer = DatasetWriter(str(STORE), {"image": image, "index": IntField()}, num_workers=os.cpu_count())
    writer.from_indexed_dataset(Samples(), shuffle_indices=False)


class Draws:
    """What is drawn for every sample, as arrays."""

    def __init__(self):
        scale = options.max_side / WIDTH if options.max_side else 1.0
        self.reductions = np.ones(SAMPLES, np.int64)
        self.boxes = np.zeros((SAMPLES, 2, 4), np.int64)
        self.flips = np.zeros((SAMPLES, 2), np.bool_)
        self.numbers = np.zeros((SAMPLES, 2, 7), np.float32)
        self.orders = np.zeros((SAMPLES, 2, 4), np.int64)
        self.solarize = np.zeros((SAMPLES, 2), np.bool_)
        for i in range(SAMPLES):
            _, boxes, flips, augmentations = pair(i)
            by = self.reductions[i] = reduction(boxes, scale) if options.scaled else 1
            self.flips[i] = flips
            for view, (box, augmentation) in enumerate(zip(boxes, augmentations, strict=True)):
                top, left, height, width = (round(side * scale / by) for side in box)
                self.boxes[i, view] = top, left, max(1, height), max(1, width)
                order, *factors = augmentation["jitter"] or UNCHANGED
                has_jitter, sigma = augmentation["jitter"] is not None, augmentation["sigma"] or -1
                self.numbers[i, view] = has_jitter, *factors, augmentation["gray"], sigma
                self.orders[i, view] = order
                self.solarize[i, view] = augmentation["solarize"]


class PairDecoder(SimpleRGBImageDecoder):
    """Decodes an image once and makes two views of it."""

    def declare_state_and_memory(self, previous):
        dtype = np.dtype("<u1")
        shape = (2, SIDE, SIDE, 3)
        return replace(previous, jit_mode=True, shape=shape, dtype=dtype), AllocationQuery(shape, dtype)

    def generate_code(self):
        read, run = self.memory_read, Compiler.get_iterator()
        decode_into, resize = Compiler.compile(imdecode), Compiler.compile(resize_crop)
        all_boxes, reductions = DRAWS.boxes, DRAWS.reductions

        def decode(indices, out, metadata, state):
            for place in run(len(indices)):
                sample = indices[place]
                field = metadata[sample]
                data = read(field["data_ptr"], state)
                height, width = np.uint32(field["height"]), np.uint32(field["width"])
                by = np.uint32(reductions[sample])
                rows, columns = np.int64((height + by - 1) // by), np.int64((width + by - 1) // by)
                # Memory of its own for each image stays in the cache; FFCV's scratch of a whole batch does not.
                pixels = np.empty(rows * columns * 3, np.uint8)
                decode_into(data, pixels, height, width, height, width, 0, 0, 1, by, False, False)
                image = pixels.reshape((rows, columns, 3))
                for view in range(2):
                    box = all_boxes[sample, view]
                    bottom, right = min(rows, box[0] + box[2]), min(columns, box[1] + box[3])
                    resize(image, box[0], bottom, box[1], right, out[place, view])
            return out[: len(indices)]

        decode.is_parallel = True
        return decode


@numba.njit(fastmath=True, inline="never")
def augment(view, out, numbers, order, flip, solarize, mean, std):
    """From (side, side, 3) bytes to (3, side, side) float32.

    Linear steps and the turn of the hue are joined into one 3 x 4 matrix, in the drawn order.
    """
    planes = np.empty((3, SIDE * SIDE), np.float32)
    flat = view.reshape(-1)
    for i in range(SIDE * SIDE):
        planes[0, i] = flat[3 * i]
        planes[1, i] = flat[3 * i + 1]
        planes[2, i] = flat[3 * i + 2]
    if numbers[JITTER] > 0 or numbers[GRAY] > 0:
        mean_0, mean_1, mean_2 = planes[0].mean(), planes[1].mean(), planes[2].mean()
        matrix = np.zeros((3, 4), np.float32)
        matrix[0, 0] = 1
        matrix[1, 1] = 1
        matrix[2, 2] = 1
        added = np.zeros((3, 4), np.float32)
        for place in range(5):
            # Grayscale comes last.
            step = order[place] if place < 4 else 4
            if place < 4 and numbers[JITTER] == 0:
                continue
            if step == 4 and numbers[GRAY] == 0:
                continue
            added[:] = 0
            if step == 0:
                added[0, 0] = numbers[BRIGHTNESS]
                added[1, 1] = numbers[BRIGHTNESS]
                added[2, 2] = numbers[BRIGHTNESS]
            elif step == 1:
                factor = numbers[CONTRAST]
                luma = 0.0
                for row, weight in ((0, 0.299), (1, 0.587), (2, 0.114)):
                    luma += weight * (
                        matrix[row, 0] * mean_0 + matrix[row, 1] * mean_1 + matrix[row, 2] * mean_2 + matrix[row, 3]
                    )
                for row in range(3):
                    added[row, row] = factor
                    added[row, 3] = (1 - factor) * luma
            elif step == 2 or step == 4:
                factor = numbers[SATURATION] if step == 2 else np.float32(0)
                for row in range(3):
                    added[row, 0] = (1 - factor) * 0.299
                    added[row, 1] = (1 - factor) * 0.587
                    added[row, 2] = (1 - factor) * 0.114
                    added[row, row] += factor
            else:
                angle = numbers[HUE] * 2 * math.pi
                cos, sin = math.cos(angle), math.sin(angle)
                added[0, 0] = 0.299 + 0.701 * cos + 0.168 * sin
                added[0, 1] = 0.587 - 0.587 * cos + 0.330 * sin
                added[0, 2] = 0.114 - 0.114 * cos - 0.497 * sin
                added[1, 0] = 0.299 - 0.299 * cos - 0.328 * sin
                added[1, 1] = 0.587 + 0.413 * cos + 0.035 * sin
                added[1, 2] = 0.114 - 0.114 * cos + 0.292 * sin
                added[2, 0] = 0.299 - 0.300 * cos + 1.25 * sin
                added[2, 1] = 0.587 - 0.588 * cos - 1.05 * sin
                added[2, 2] = 0.114 + 0.886 * cos - 0.203 * sin
            joined = np.zeros((3, 4), np.float32)
            for row in range(3):
                for column in range(4):
                    joined[row, column] = (
                        added[row, 0] * matrix[0, column]
                        + added[row, 1] * matrix[1, column]
                        + added[row, 2] * matrix[2, column]
                    )
                joined[row, 3] += added[row, 3]
            matrix = joined
        a0, a1, a2, a3 = matrix[0]
        b0, b1, b2, b3 = matrix[1]
        c0, c1, c2, c3 = matrix[2]
        low, high = np.float32(0), np.float32(255)
        for i in range(SIDE * SIDE):
            red, green, blue = planes[0, i], planes[1, i], planes[2, i]
            planes[0, i] = min(max(a0 * red + a1 * green + a2 * blue + a3, low), high)
            planes[1, i] = min(max(b0 * red + b1 * green + b2 * blue + b3, low), high)
            planes[2, i] = min(max(c0 * red + c1 * green + c2 * blue + c3, low), high)
    if numbers[SIGMA] > 0:
        sigma = numbers[SIGMA]
        reach = min(11, int(math.ceil(4 * sigma)))
        kernel = np.empty(2 * reach + 1, np.float32)
        total = np.float32(0)
        for i in range(2 * reach + 1):
            kernel[i] = math.exp(-0.5 * ((i - reach) / sigma) ** 2)
            total += kernel[i]
        kernel /= total
        line = np.empty(SIDE + 2 * reach, np.float32)
        blurred = np.empty((SIDE + 2 * reach, SIDE), np.float32)
        for channel in range(3):
            for y in range(SIDE):
                line[reach : reach + SIDE] = planes[channel, y * SIDE : (y + 1) * SIDE]
                for i in range(reach):
                    line[i] = line[2 * reach - i]
                    line[reach + SIDE + i] = line[reach + SIDE - 2 - i]
                to = blurred[y + reach]
                to[:] = 0
                for i in range(2 * reach + 1):
                    weight = kernel[i]
                    for x in range(SIDE):
                        to[x] += weight * line[x + i]
            for i in range(reach):
                blurred[i] = blurred[2 * reach - i]
                blurred[reach + SIDE + i] = blurred[reach + SIDE - 2 - i]
            for y in range(SIDE):
                to = planes[channel, y * SIDE : (y + 1) * SIDE]
                to[:] = 0
                for i in range(2 * reach + 1):
                    weight = kernel[i]
                    source = blurred[y + i]
                    for x in range(SIDE):
                        to[x] += weight * source[x]
    for channel in range(3):
        scale = np.float32(1 / (255 * std[channel]))
        shift = np.float32(-mean[channel] / std[channel])
        for y in range(SIDE):
            source = planes[channel, y * SIDE : (y + 1) * SIDE]
            to = out[channel, y]
            if solarize:
                for x in range(SIDE):
                    value = source[x]
                    if value >= 128:
                        source[x] = 255 - value
            if flip:
                for x in range(SIDE):
                    to[x] = source[SIDE - 1 - x] * scale + shift
            else:
                for x in range(SIDE):
                    to[x] = source[x] * scale + shift


class PairAugmentation(Operation):
    def declare_state_and_memory(self, previous):
        dtype = np.dtype("float32")
        shape = (2, 3, SIDE, SIDE)
        return replace(previous, jit_mode=True, shape=shape, dtype=dtype), AllocationQuery(shape, dtype)

    def generate_code(self):
        run, one = Compiler.get_iterator(), augment
        numbers, orders, flips, solarize = DRAWS.numbers, DRAWS.orders, DRAWS.flips, DRAWS.solarize
        mean, std = np.array(MEAN, np.float32), np.array(STD, np.float32)

        def augment_batch(views, out, indices):
            for place in run(views.shape[0]):
                i = indices[place]
                for view in range(2):
                    one(
                        views[place, view],
                        out[place, view],
                        numbers[i, view],
                        orders[i, view],
                        flips[i, view],
                        solarize[i, view],
                        mean,
                        std,
                    )
            return out[: views.shape[0]]

        augment_batch.is_parallel = True
        augment_batch.with_indices = True
        return augment_batch


class Flip(Operation):
    def declare_state_and_memory(self, previous):
        return replace(previous, jit_mode=True), None

    def generate_code(self):
        run, flips = Compiler.get_iterator(), DRAWS.flips

        def flip_batch(views, _, indices):
            for place in run(views.shape[0]):
                for view in range(2):
                    if flips[indices[place], view]:
                        views[place, view] = views[place, view, :, ::-1].copy()
            return views

        flip_batch.is_parallel = True
        flip_batch.with_indices = True
        return flip_batch


def make_loader():
    last = PairAugmentation() if options.mode == "full" else Flip()
    return Loader(
        str(STORE),
        batch_size=BATCH,
        num_workers=options.workers,
        order=OrderOption.SEQUENTIAL,
        indices=np.arange(BATCH),
        os_cache=True,
        batches_ahead=2,
        pipelines={"image": [PairDecoder(), last, ToTensor()], "index": [IntDecoder(), ToTensor()]},
    )


def add_options(parser):
    parser.add_argument("--build", action="store_true", help="write the file of images, and measure nothing")
    parser.add_argument("--scaled", action="store_true")
    parser.add_argument("--max-side", type=int, default=0, metavar="N")


options = measure.parse(add_options)
STORE = HOME / f"ffcv_{options.max_side or 'full'}.beton"
if __name__ == "__main__":
    if options.build:
        build()
        raise SystemExit
    DRAWS = Draws()
    torch.set_num_threads(1)
    loader = make_loader()

    def epoch(number):
        # Set from outside: a new loader would compile everything again.
        loader.traversal_order.indices = loader.first_traversal_order = np.arange(number * BATCH) % SAMPLES
        for views, index in loader:
            samples = index.numpy().ravel()
            yield views[:, 0], views[:, 1], DRAWS.boxes[samples], DRAWS.flips[samples]

    measure.bench(options, f"ffcv {version('ffcv')}", epoch)
