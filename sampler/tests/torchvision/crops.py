"""Draws crop pairs with torchvision's own RandomResizedCrop.get_params, its random numbers replaced by given ones.

    python crops.py CASES.json DRAWS.bin    prints how many pairs there were and which of them differ

DRAWS.bin holds 64-bit numbers, `draws_per_pair` for each pair in turn. torchvision computes logarithm and exponential
in float32; here they are float64, as are the random numbers, because what is compared is the algorithm.
"""

import json
import math
import struct
import sys
from pathlib import Path

from PIL import Image
from torchvision.transforms import RandomResizedCrop, transforms


class Number:
    """What `torch.empty(1)` and its kin are used for."""

    def __init__(self, draws, value=0.0):
        self.draws, self.value = draws, value

    def uniform_(self, low, high):
        self.value = low + (high - low) * ((next(self.draws) >> 11) / 2**53)
        return self

    def item(self):
        return self.value


class Torch:
    """The functions of torch that `get_params` calls, over given random bits."""

    def __init__(self, draws):
        self.draws = iter(draws)

    def tensor(self, values):
        return values

    def log(self, values):
        return [math.log(value) for value in values]

    def exp(self, number):
        return Number(self.draws, math.exp(number.value))

    def empty(self, _):
        return Number(self.draws)

    def randint(self, low, high, size):
        return Number(self.draws, low + ((next(self.draws) * (high - low)) >> 64))


def iou(a, b):
    (top, left, height, width), (top_b, left_b, height_b, width_b) = a, b
    rows = max(min(top + height, top_b + height_b) - max(top, top_b), 0)
    columns = max(min(left + width, left_b + width_b) - max(left, left_b), 0)
    return rows * columns / (height * width + height_b * width_b - rows * columns)


def draw_pair(frame, case):
    """Both crops until they overlap enough; else the best; else one crop twice (RECIPE 2.3)."""
    best, best_iou = None, -1.0
    for tries in range(1, case["max_tries"] + 1):
        a, b = (RandomResizedCrop.get_params(frame, case["area"], case["ratio"]) for _ in range(2))
        overlap = iou(a, b)
        if overlap >= case["min_iou"]:
            return a, b, tries, False
        if overlap > best_iou:
            best, best_iou = (a, b), overlap
    a, b = best
    return a, (b if best_iou > 0 else a), case["max_tries"], True


def main():
    cases = json.loads(Path(sys.argv[1]).read_text())
    numbers = struct.iter_unpack("<Q", Path(sys.argv[2]).read_bytes())
    pairs, different = 0, []
    for case in cases:
        frame = Image.new("L", case["size"])
        for found in case["pairs"]:
            draws = [next(numbers)[0] for _ in range(case["draws_per_pair"])]
            transforms.torch = Torch(draws)
            a, b, tries, fell_back = draw_pair(frame, case)
            expected = {
                "crops": [[left, top, width, height] for top, left, height, width in (a, b)],
                "tries": tries,
                "fell_back": fell_back,
            }
            pairs += 1
            if found != expected:
                different.append([case["size"], found, expected])
    print(json.dumps({"pairs": pairs, "different": different[:5]}))


if __name__ == "__main__":
    main()
