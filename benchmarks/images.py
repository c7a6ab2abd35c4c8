"""Writes the 256 images that loaders are compared on: distinct JPEGs of 1920 x 1280 pixels, 0.18 to 0.22 bytes a pixel.

    images.py SOURCE OUT     SOURCE is a folder with Waymo TFRecords or JPEGs

Where SOURCE has at least 256 images of that size, they are copied as they are. Where it has fewer, or other ones, all
that are at least 1600 x 800 are used in turns, and each time varied: a window of 0.80 to 0.98 of the image, enlarged to
the full size, perhaps flipped, a little brighter or darker. Noise is added until the file is as large as Waymo's are.

OUT.json says what was done. The same source gives the same images.
"""

import argparse
import io
import json
import multiprocessing
import pathlib
import random
import shutil
import struct

import numpy as np
from PIL import Image

NUMBER = 256
WIDTH, HEIGHT = 1920, 1280
LEAST = (1600, 800)
BYTES_PER_PIXEL = (0.180, 0.222)
# Where the search for the noise begins, how often it is halved, and how near is near enough.
MOST_NOISE, HALVINGS, NEAR = 8.0, 8, 0.01
# Number of the field of Waymo's Frame that holds an image, and of the image's that holds the JPEG.
FRAME_IMAGES, IMAGE_JPEG = 4, 2


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


def messages(data, wanted):
    """Contents of the length-delimited fields with that number in a protobuf message."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        match key & 7:
            case 0:
                _, at = varint(data, at)
            case 1:
                at += 8
            case 5:
                at += 4
            case _:
                length, at = varint(data, at)
                if key >> 3 == wanted:
                    yield data[at : at + length]
                at += length


def waymo_jpegs(path):
    """All images of a TFRecord of Waymo's Frames."""
    with path.open("rb") as file:
        while header := file.read(12):
            frame = file.read(struct.unpack("<Q", header[:8])[0])
            file.read(4)
            for image in messages(frame, FRAME_IMAGES):
                yield from messages(image, IMAGE_JPEG)


def jpegs(source):
    """All JPEGs of a folder, in a fixed order."""
    for path in sorted(source.rglob("*")):
        if path.suffix == ".tfrecord":
            yield from waymo_jpegs(path)
        elif path.suffix.lower() in (".jpg", ".jpeg"):
            yield path.read_bytes()


def choose(source):
    """Up to NUMBER images, those of the right size first."""
    right, others = [], []
    for jpeg in jpegs(source):
        try:
            size = Image.open(io.BytesIO(jpeg)).size
        except OSError:
            continue
        if size == (WIDTH, HEIGHT):
            right.append(jpeg)
        elif size[0] >= LEAST[0] and size[1] >= LEAST[1] and len(others) < NUMBER:
            others.append(jpeg)
        if len(right) == NUMBER:
            break
    return (right + others)[:NUMBER], len(right) == NUMBER


def varied(task):
    """Image `number` out of a JPEG."""
    number, jpeg = task
    rng = random.Random(777 + number)
    image = Image.open(io.BytesIO(jpeg))
    tables = image.quantization
    image = image.convert("RGB")
    width, height = image.size
    share = rng.uniform(0.80, 0.98)
    if 2 * width > 3 * height:
        window = int(height * share) * 3 // 2, int(height * share)
    else:
        window = int(width * share), int(width * share) * 2 // 3
    left, top = rng.randint(0, width - window[0]), rng.randint(0, height - window[1])
    box = (left, top, left + window[0], top + window[1])
    image = image.crop(box).resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)
    if rng.random() < 0.5:
        image = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pixels = np.asarray(image).astype(np.float32) / 255
    pixels = np.clip(pixels * rng.uniform(0.85, 1.15), 0, 1) ** rng.uniform(0.9, 1.1) * 255
    noise_rng = np.random.default_rng(number)
    noise = noise_rng.standard_normal((HEIGHT, WIDTH, 1), dtype=np.float32)
    noise = noise + 0.35 * noise_rng.standard_normal((HEIGHT, WIDTH, 3), dtype=np.float32)
    target = rng.uniform(*BYTES_PER_PIXEL) * WIDTH * HEIGHT

    def encoded(strength):
        out = io.BytesIO()
        noisy = Image.fromarray(np.clip(pixels + strength * noise + 0.5, 0, 255).astype(np.uint8))
        noisy.save(out, "JPEG", qtables=tables, subsampling="4:2:0", optimize=True)
        return out.getvalue()

    def miss(jpeg):
        return abs(len(jpeg) - target)

    best = encoded(0)
    if len(best) >= target:
        return best
    low, high = 0.0, MOST_NOISE
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        tried = encoded(middle)
        best = min(best, tried, key=miss)
        if miss(tried) < NEAR * target:
            break
        low, high = (middle, high) if len(tried) < target else (low, middle)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("source", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--name", help="what OUT.json calls the source (its folder)")
    args = parser.parse_args()
    chosen, are_enough = choose(args.source)
    if not chosen:
        raise SystemExit(f"images: neither TFRecords nor JPEGs of at least {LEAST[0]} x {LEAST[1]} in {args.source}")
    # Under another name until all are there.
    unfinished = args.out.with_suffix(".part")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(parents=True)
    sizes = []
    with multiprocessing.Pool() as pool:
        tasks = ((number, chosen[number % len(chosen)]) for number in range(NUMBER))
        for number, jpeg in enumerate(chosen if are_enough else pool.imap(varied, tasks)):
            (unfinished / f"{number:04}.jpg").write_bytes(jpeg)
            sizes.append(len(jpeg))
    report = {
        "source": args.name or str(args.source),
        "distinct": len(chosen),
        "varied": not are_enough,
        "mean_bytes": round(sum(sizes) / len(sizes)),
    }
    args.out.with_suffix(".json").write_text(json.dumps(report) + "\n")
    unfinished.rename(args.out)
    print(f"images: {json.dumps(report)}")


if __name__ == "__main__":
    main()
