#!/usr/bin/env python3
"""Writes the fixtures of sampler/tests/pixels/golden.rs: what Pillow makes of small pictures.

    python3 -m venv v && v/bin/pip install pillow==13.0.0 numpy && v/bin/python scripts/golden/pixels.py

Pictures are PNG files in sampler/tests/fixtures/pixels; cases.json says what was done to which. The operations are
those of torchvision.transforms.functional on PIL images, written out (its _functional_pil.py), so that torchvision
itself is not needed. Deterministic: running it again changes nothing.
"""

import json
import pathlib

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter, ImageOps

FOLDER = pathlib.Path(__file__).resolve().parents[2] / "sampler" / "tests" / "fixtures" / "pixels"


def adjust_hue(image, factor):
    hue, saturation, value = image.convert("HSV").split()
    shifted = np.array(hue, dtype=np.uint8)
    with np.errstate(over="ignore"):
        shifted += np.int32(factor * 255).astype(np.uint8)
    return Image.merge("HSV", (Image.fromarray(shifted), saturation, value)).convert("RGB")


STEPS = {
    "flip": lambda image, _: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
    "brightness": lambda image, factor: ImageEnhance.Brightness(image).enhance(factor),
    "contrast": lambda image, factor: ImageEnhance.Contrast(image).enhance(factor),
    "saturation": lambda image, factor: ImageEnhance.Color(image).enhance(factor),
    "hue": adjust_hue,
    "grayscale": lambda image, _: Image.merge("RGB", [image.convert("L")] * 3),
    "blur": lambda image, sigma: image.filter(ImageFilter.GaussianBlur(sigma)),
    "solarize": lambda image, _: ImageOps.solarize(image, 128),
}


def pictures(random):
    """Noise, something smooth, and every extreme: 61 x 61, an awkward side on purpose."""
    noise = Image.fromarray(random.integers(0, 256, (61, 61, 3), dtype=np.uint8))
    coarse = Image.fromarray(random.integers(0, 256, (6, 6, 3), dtype=np.uint8))
    extremes = Image.fromarray(random.choice(np.array([0, 1, 127, 128, 254, 255], np.uint8), (61, 61, 3)))
    return {"noise": noise, "smooth": coarse.resize((61, 61), Image.Resampling.BICUBIC), "extremes": extremes}


def scene(random):
    """Edges, gradients and some noise: 300 x 210."""
    x, y = np.meshgrid(np.arange(300), np.arange(210))
    layers = [x * 255 / 300, y * 255 / 210, 255.0 * ((x // 9 + y // 7) % 2)]
    noisy = np.stack(layers, -1) + random.normal(0, 6, (210, 300, 3))
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))


def single_steps(random):

    def factor(low, high):
        return float(np.float32(random.uniform(low, high)))

    for name, values in [
        ("brightness", [0.6, 1.0, 1.4, factor(0.6, 1.4)]),
        ("contrast", [0.6, 1.0, 1.4, factor(0.6, 1.4)]),
        ("saturation", [0.8, 1.0, 1.2, factor(0.0, 2.0)]),
        ("hue", [-0.1, 0.0, 0.1, factor(-0.5, 0.5)]),
        ("blur", [0.1, 0.7, 1.4, 1.5, 2.0, 3.7, factor(0.1, 2.0)]),
        ("flip", [0.0]),
        ("grayscale", [0.0]),
        ("solarize", [0.0]),
    ]:
        for value in values:
            yield [[name, float(np.float32(value))]]


def chains(random):
    for _ in range(12):
        jitter = [
            ["brightness", random.uniform(0.6, 1.4)],
            ["contrast", random.uniform(0.6, 1.4)],
            ["saturation", random.uniform(0.8, 1.2)],
            ["hue", random.uniform(-0.1, 0.1)],
        ]
        order = random.permutation(4)
        steps = [["flip", 0.0]] * int(random.integers(2)) + [jitter[k] for k in order]
        steps += [["grayscale", 0.0]] * int(random.random() < 0.2) + [["blur", random.uniform(0.1, 2.0)]]
        steps += [["solarize", 0.0]] * int(random.integers(2))
        yield [[name, float(np.float32(value))] for name, value in steps]


def moco_v1_chains():
    random = np.random.default_rng(20191113)
    for _ in range(4):
        jitter = [
            ["brightness", random.uniform(0.6, 1.4)],
            ["contrast", random.uniform(0.6, 1.4)],
            ["saturation", random.uniform(0.6, 1.4)],
            ["hue", random.uniform(-0.4, 0.4)],
        ]
        steps = (
            [["grayscale", 0.0]]
            + [jitter[k] for k in random.permutation(4)]
            + [["flip", 0.0]] * int(random.integers(2))
        )
        yield [[name, float(np.float32(value))] for name, value in steps]


def main():
    random = np.random.default_rng(20210827)
    FOLDER.mkdir(parents=True, exist_ok=True)
    for old in FOLDER.glob("*.png"):
        old.unlink()
    cases = []

    def save(image, name):
        image.save(FOLDER / f"{name}.png", optimize=True)
        return f"{name}.png"

    inputs = pictures(random)
    for name, image in inputs.items():
        save(image, name)
    names = ["noise", "smooth", "extremes"]
    for number, steps in enumerate([*single_steps(random), *chains(random), *moco_v1_chains()]):
        name = names[number % 3] if len(steps) == 1 else names[number % 2]
        image = inputs[name]
        for step, value in steps:
            image = STEPS[step](image, value)
        cases.append({"input": f"{name}.png", "steps": steps, "output": save(image, f"view_{number:02}")})

    picture = scene(random)
    save(picture, "scene")
    resizes = []
    boxes = [
        ((0, 0, 300, 210), 64),
        ((17, 5, 211, 160), 64),
        ((40, 30, 61, 47), 64),
        ((3, 3, 67, 67), 64),
        ((10.25, 20.5, 250.75, 200.5), 64),
        ((0.5, 0.5, 129.25, 99.75), 37),
        ((100.75, 50.25, 130.5, 70.75), 48),
        ((0, 0, 300, 210), 7),
        ((2.5, 1.5, 298.5, 209.5), 112),
    ]
    cubic, linear = (("bicubic", Image.Resampling.BICUBIC), ("bilinear", Image.Resampling.BILINEAR))
    for number, ((box, side), (name, filter)) in enumerate(
        [*((b, cubic) for b in boxes), *((b, linear) for b in boxes[:6])]
    ):
        hull = (int(np.floor(box[0])), int(np.floor(box[1])), int(np.ceil(box[2])), int(np.ceil(box[3])))
        inner = tuple(edge - hull[k % 2] for k, edge in enumerate(box))
        view = picture.crop(hull).resize((side, side), filter, box=inner)
        x0, y0, x1, y1 = map(float, box)
        crop = [x0, y0, x1 - x0, y1 - y0]
        resizes.append({"filter": name, "crop": crop, "side": side, "output": save(view, f"resized_{number}")})

    text = json.dumps({"views": cases, "scene": "scene.png", "resizes": resizes}, indent=1)
    (FOLDER / "cases.json").write_text(text + "\n")
    print(f"{len(cases)} views, {len(resizes)} resizes, {sum(f.stat().st_size for f in FOLDER.iterdir())} bytes")


if __name__ == "__main__":
    main()
