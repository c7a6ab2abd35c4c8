"""torchvision's first transforms on Pillow's images, in a DataLoader: the way of OpenSelfSup and mmselfsup.

--draft decodes at a half or a quarter where the crops allow it, and resizes from fractional boxes.
"""

import random

import measure
import PIL
import torchvision
import torchvision.transforms as T
import torchvision.transforms.functional as F
from pairs import HEIGHT, MEAN, SIDE, STD, WIDTH, reduction
from PIL import Image, ImageFilter
from torch_loader import bench_loader
from torchvision.transforms import InterpolationMode


class PillowBlur:
    def __call__(self, view):
        return view.filter(ImageFilter.GaussianBlur(random.uniform(0.1, 2.0)))


def augmentation(is_second):
    steps = [
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
        T.RandomGrayscale(p=0.2),
        T.RandomApply([PillowBlur()], p=0.1 if is_second else 1.0),
    ]
    if is_second:
        steps.append(T.RandomSolarize(128, p=0.2))
    return T.Compose([*steps, T.ToTensor(), T.Normalize(MEAN, STD)])


AUGMENTATIONS = augmentation(False), augmentation(True)


def views_of(image, boxes):
    for top, left, height, width in boxes:
        yield F.resized_crop(image, top, left, height, width, (SIDE, SIDE), InterpolationMode.BICUBIC)


def draft_views_of(image, boxes):
    by = reduction(boxes)
    if by > 1:
        image.draft("RGB", (WIDTH // by, HEIGHT // by))
    image = image.convert("RGB")
    for top, left, height, width in boxes:
        box = (left / by, top / by, (left + width) / by, (top + height) / by)
        yield image.resize((SIDE, SIDE), Image.BICUBIC, box=box)


def make(path, boxes, flips, _):
    image = Image.open(path)
    cut = draft_views_of(image, boxes) if options.draft else views_of(image.convert("RGB"), boxes)
    for view, flip, augment in zip(cut, flips, AUGMENTATIONS, strict=True):
        view = F.hflip(view) if flip else view
        yield augment(view) if options.mode == "full" else F.pil_to_tensor(view)


options = measure.parse(lambda parser: parser.add_argument("--draft", action="store_true"))
if __name__ == "__main__":
    bench_loader(options, f"torchvision {torchvision.__version__}, Pillow {PIL.__version__}", make)
