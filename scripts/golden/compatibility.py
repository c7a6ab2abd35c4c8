#!/usr/bin/env python3
"""Writes tests/fixtures/compatible: a set of shards and two runs that every later build has to read and go on with.

    .venv/bin/python scripts/golden/compatibility.py PROGRAMS OUT

PROGRAMS is the folder of `ingest`, `sampler` and `trainer`. What lies in the tree was made by commit 9528dc0, before
the crates were split: shard format version 2, checkpoint layout 1. It is never made anew. A new format gets a folder
beside it.

The networks are of full width, and yet small in a file. Weights repeat with a period of 4 channels, and convolutions,
norms and heads keep that. So a checkpoint of 130 MB compresses to 60 kB.

Needs torch, torchvision, safetensors, numpy, Pillow, google-crc32c and `zstd`.
"""

import io
import json
import pathlib
import shutil
import struct
import subprocess
import sys
import tempfile

import google_crc32c
import numpy
import torch
import torchvision
from PIL import Image
from safetensors.torch import load_file, save_file

PERIOD = 4
SIDE = (320, 240)
COMMON = [
    "--device", "cpu", "--threads", "1", "--batch", "4", "--seed", "5",
    "--set", "augment.view_px=64", "--set", "augment.pair.area=[0.3, 1.0]",
    "--set", "model.arch=resnet18", "--set", "model.layer4_stride=1",
    "--set", "model.hidden=16", "--set", "model.dim=8",
    "--set", "schedule.total_steps=8", "--set", "schedule.warmup_steps=1",
    "--set", "run.log_every_steps=1", "--set", "run.pictures_every_steps=0", "--set", "run.keep_checkpoints=1",
]  # fmt: skip
RUNS = {
    "multisiam": ["--config", "multisiam_waymo", "--set", "optim.base_lr=8.0"],
    "mocov2": ["--config", "mocov2_waymo", "--set", "model.bn_splits=1", "--set", "method.queue=16",
               "--set", "method.moco_dim=8", "--set", "optim.base_lr=1.0"],
}  # fmt: skip


def crc_table():
    table = []
    for value in range(256):
        for _ in range(8):
            value = (value >> 1) ^ (0x82F63B78 if value & 1 else 0)
        table.append(value)
    return table


TABLE = crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = (crc >> 8) ^ TABLE[(crc ^ byte) & 255]
    return crc ^ 0xFFFFFFFF


def masked(data):
    crc = crc32c(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def record(data):
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked(length)) + data + struct.pack("<I", masked(data))


def varint(number):
    out = bytearray()
    while True:
        out.append(number & 127 | (128 if number > 127 else 0))
        number >>= 7
        if not number:
            return bytes(out)


def nested(field, data):
    return varint(field << 3 | 2) + varint(len(data)) + data


def number(field, value):
    return varint(field << 3) + varint(value)


def jpeg(seed):
    """A smooth scene with some edges."""
    generator = numpy.random.default_rng(seed)
    width, height = SIDE
    coarse = generator.integers(0, 255, (6, 8, 3), dtype=numpy.uint8)
    image = numpy.asarray(Image.fromarray(coarse).resize(SIDE, Image.BICUBIC)).copy()
    for _ in range(3):
        x, y = generator.integers(0, width - 60), generator.integers(0, height - 60)
        image[y : y + 20 + y % 40, x : x + 20 + x % 40] = generator.integers(0, 255, 3)
    out = io.BytesIO()
    Image.fromarray(image).save(out, "JPEG", quality=40)
    return out.getvalue()


def frame(step):
    """A Waymo frame of two cameras."""
    stats = nested(2, b"Day") + nested(3, b"location_sf") + nested(4, b"sunny")
    images = b"".join(nested(4, number(1, camera) + nested(2, jpeg(10 * step + camera))) for camera in (1, 2))
    time = number(2, 1_500_000_000_000_000 + step * 100_000)
    return nested(1, nested(1, b"drive") + nested(4, stats)) + time + images


def tiled(name, tensor, generator):
    """The tensor's shape with values of its own that repeat every PERIOD channels, in and out."""
    if not tensor.is_floating_point() or tensor.dim() < 2 or "queue" in name:
        return tensor
    fan_in = tensor[0].numel()
    out, into = tensor.shape[:2]
    pattern = torch.randn([min(out, PERIOD), min(into, PERIOD), *tensor.shape[2:]], generator=generator)
    pattern *= (2 / fan_in) ** 0.5
    rows = torch.arange(out) % pattern.shape[0]
    columns = torch.arange(into) % pattern.shape[1]
    return pattern[rows][:, columns].contiguous()


def retile(path):
    """Replaces the weights of a checkpoint by tiled ones, the same in both networks; its checksums follow."""
    with open(path, "rb") as file:
        length = struct.unpack("<Q", file.read(8))[0]
        metadata = json.loads(file.read(length))["__metadata__"]
    header = json.loads(metadata["checkpoint"])
    tensors = load_file(path)
    for name in tensors:
        bare = name.split(".", 1)[1]
        generator = torch.Generator().manual_seed(crc32c(bare.encode()))
        if not name.startswith("optim."):
            tensors[name] = tiled(name, tensors[name], generator)
    kinds = {torch.float32: "F32", torch.int64: "I64", torch.float64: "F64", torch.uint8: "U8"}
    for name, tensor in tensors.items():
        head = f"{name}\0{kinds[tensor.dtype]}\0{list(tensor.shape)}\0".encode()
        header["crc32c"][name] = int.from_bytes(google_crc32c.Checksum(head + tensor.numpy().tobytes()).digest(), "big")
    text = json.dumps(header)
    save_file(tensors, path, {"checkpoint": text, "checkpoint_crc32c": str(crc32c(text.encode()))})


def main():
    programs, out = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    shutil.rmtree(out, ignore_errors=True)
    inputs = out / "inputs"
    (inputs / "images").mkdir(parents=True)
    (inputs / "drive.tfrecord").write_bytes(b"".join(record(frame(step)) for step in range(2)))
    for ix in range(2):
        (inputs / "images" / f"{ix}.jpg").write_bytes(jpeg(100 + ix))

    def run(program, *args):
        done = subprocess.run([programs / program, *map(str, args)], cwd=out, capture_output=True, text=True)
        if done.returncode:
            sys.exit(f"{program} {args}: {done.stderr}")
        return done.stdout

    run("ingest", "waymo", "inputs/drive.tfrecord", "--out", "set")
    run("ingest", "images", "inputs/images", "--out", "set")
    (out / "set" / ".ingest.lock").unlink()
    with tempfile.TemporaryDirectory() as scratch:
        weights = pathlib.Path(scratch) / "resnet18.pth"
        torch.save(torchvision.models.resnet18().state_dict(), weights)
        for name, options in RUNS.items():
            arguments = [*options, *COMMON]
            folder = pathlib.Path(scratch) / name
            run("trainer", "import", weights, "set", "--out", folder, *arguments)
            retile(folder / "checkpoints" / "step_0000000000.safetensors")
            run("trainer", "run", "set", "--out", folder, "--steps", 2, *arguments)
            kept = out / name
            kept.mkdir()
            tar = ["tar", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-cf", kept / "checkpoint.tar"]
            subprocess.run([*tar, "-C", folder / "checkpoints", "step_0000000002.safetensors"], check=True)
            subprocess.run(["zstd", "-q", "--rm", "-19", "--long=27", kept / "checkpoint.tar"], check=True)
            shutil.copy(folder / "config.toml", kept)
            run("trainer", "run", "set", "--out", folder, "--steps", 5, *arguments)
            rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
            keys = ("step", "epoch", "loss", "loss_1d", "loss_2d", "lr", "tau")
            kept_rows = [{key: row[key] for key in keys if key in row} for row in rows]
            (kept / "losses.json").write_text(json.dumps(kept_rows, indent=1) + "\n")
            (kept / "arguments.json").write_text(json.dumps(arguments, indent=1) + "\n")


if __name__ == "__main__":
    main()
