"""torchvision's second transforms on uint8 tensors in channels-last order, in a DataLoader.

The JPEG is decoded by torchvision's own libjpeg-turbo; resizing is its antialiased bicubic filter for bytes. The blur
is two filters of one dimension, which is faster than torchvision's of two dimensions (--blur stock).
"""

import random

import measure
import torch
import torchvision
import torchvision.transforms.v2.functional as F
from pairs import MEAN, SIDE, STD
from torch_loader import bench_loader
from torchvision.io import ImageReadMode, decode_jpeg, read_file
from torchvision.transforms import InterpolationMode, v2


class SeparableBlur(torch.nn.Module):
    def forward(self, view):
        sigma = random.uniform(0.1, 2.0)
        kernel = torch.exp(-0.5 * (torch.arange(-11, 12, dtype=torch.float32) / sigma) ** 2)
        kernel /= kernel.sum()
        padded = torch.nn.functional.pad(view.float()[None], (11, 11, 11, 11), mode="reflect")
        columns = torch.nn.functional.conv2d(padded, kernel.view(1, 1, 23, 1).expand(3, 1, 23, 1), groups=3)
        both = torch.nn.functional.conv2d(columns, kernel.view(1, 1, 1, 23).expand(3, 1, 1, 23), groups=3)
        return both[0].round_().clamp_(0, 255).to(torch.uint8)


def augmentation(is_second):
    blur = SeparableBlur() if options.blur == "separable" else v2.GaussianBlur(23, (0.1, 2.0))
    steps = [
        v2.RandomApply([v2.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
        v2.RandomGrayscale(p=0.2),
        v2.RandomApply([blur], p=0.1) if is_second else blur,
    ]
    if is_second:
        steps.append(v2.RandomSolarize(128, p=0.2))
    return v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])


def make(path, boxes, flips, _):
    image = decode_jpeg(read_file(path), ImageReadMode.RGB)
    for box, flip, augment in zip(boxes, flips, AUGMENTATIONS, strict=True):
        view = F.resized_crop(image, *box, [SIDE, SIDE], InterpolationMode.BICUBIC, antialias=True)
        view = F.horizontal_flip(view) if flip else view
        yield (augment(view) if options.mode == "full" else view).contiguous()


options = measure.parse(
    lambda parser: parser.add_argument("--blur", choices=["separable", "stock"], default="separable")
)
AUGMENTATIONS = augmentation(False), augmentation(True)
if __name__ == "__main__":
    bench_loader(options, f"torchvision {torchvision.__version__}", make)
