"""Lightly's BYOL views on Pillow's images, in a DataLoader; its random crop is replaced by the pair's boxes."""

import lightly
import measure
import PIL
import torchvision.transforms as T
import torchvision.transforms.functional as F
from lightly.transforms import GaussianBlur, RandomSolarization
from pairs import MEAN, SIDE, STD
from PIL import Image
from torch_loader import bench_loader
from torchvision.transforms import InterpolationMode


def augmentation(is_second):
    steps = [
        T.RandomApply([T.ColorJitter(0.4, 0.4, 0.2, 0.1)], p=0.8),
        T.RandomGrayscale(p=0.2),
        GaussianBlur(sigmas=(0.1, 2.0), prob=0.1 if is_second else 1.0),
    ]
    if is_second:
        steps.append(RandomSolarization(prob=0.2))
    return T.Compose([*steps, T.ToTensor(), T.Normalize(MEAN, STD)])


AUGMENTATIONS = augmentation(False), augmentation(True)


def make(path, boxes, flips, _):
    image = Image.open(path).convert("RGB")
    for box, flip, augment in zip(boxes, flips, AUGMENTATIONS, strict=True):
        view = F.resized_crop(image, *box, (SIDE, SIDE), InterpolationMode.BICUBIC)
        view = F.hflip(view) if flip else view
        yield augment(view) if options.mode == "full" else F.pil_to_tensor(view)


options = measure.parse()
if __name__ == "__main__":
    bench_loader(options, f"lightly {lightly.__version__}, Pillow {PIL.__version__}", make)
