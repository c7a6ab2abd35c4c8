#!/usr/bin/env python3
"""The training step on one core by class of operation, in CPU time: ours, PyTorch's, and PyTorch's compiled.

    classes.py TRAINER [--arch resnet18] [--batch 48] [--size 64] [--steps 1] [--sides ours eager default]

CPU time hardly changes with what else runs, so this needs no quiet machine. Each program runs under record.cpp, which
is compiled against the torch of this Python (with g++). Every operation counts with the median of three blocks of
steps; the same rules as for a GPU's traces sort them into classes (scripts/gpu/classes.py).
"""

import argparse
import importlib.util
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
TORCH = pathlib.Path(importlib.util.find_spec("torch").origin).parent
sys.path.insert(0, str(ROOT / "scripts" / "gpu"))
import classes  # noqa: E402

WARMUP = 2
# The last operation of a step of either program: the target follows.
LAST = "aten::_foreach_lerp_"
TITLES = {"ours": "trainer", "eager": "PyTorch, eager", "default": "PyTorch, compiled"}


def build(folder):
    """record.cpp as a library."""
    library = folder / "record.so"
    include = TORCH / "include"
    # NDEBUG, as in torch's own build: the layout of its classes depends on it.
    flags = ["-std=c++17", "-O1", "-DNDEBUG", "-shared", "-fPIC", f"-I{include}", f"-L{TORCH / 'lib'}"]
    subprocess.run(["g++", *flags, HERE / "record.cpp", "-o", library, "-ltorch_cpu", "-lc10"], check=True)
    return library


def command(side, options):
    """What runs the steps of one program."""
    steps = ["--batch", options.batch, "--steps", options.steps, "--warmup", WARMUP, "--device", "cpu"]
    if side == "ours":
        sets = [f"model.arch={options.arch}", f"augment.view_px={options.size}", "optim.precision=fp32"]
        return [options.trainer, "bench", *steps, "--threads", 1, *[word for key in sets for word in ("--set", key)]]
    mode = "off" if side == "eager" else side
    sizes = ["--arch", options.arch, "--size", options.size, "--amp", "off", "--compile", mode]
    return [sys.executable, ROOT / "benchmarks" / "step.py", *steps, *sizes]


def record(side, options, folder):
    """Names and microseconds of all operations of one run."""
    path = folder / f"{side}.tsv"
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(TORCH / "lib"),
        "LD_PRELOAD": str(folder / "record.so"),
        "OMP_NUM_THREADS": "1",
        "RECORD_TO": str(path),
        # Names for the loops of a compiled program.
        "TORCHINDUCTOR_CPP_ENABLE_KERNEL_PROFILE": "1",
    }
    words = [str(word) for word in command(side, options)]
    subprocess.run(words, check=True, env=environment, stdout=subprocess.DEVNULL)
    lines = (line.rsplit("\t", 1) for line in path.read_text().splitlines())
    return [(name, float(own_us)) for name, own_us in lines]


def one_step(operations):
    """The operations of a step, each with its median over the steps behind the warm-up."""
    ends = [ix for ix, (name, _) in enumerate(operations) if name == LAST]
    steps = [operations[before + 1 : end + 1] for before, end in zip(ends[WARMUP - 1 :], ends[WARMUP:], strict=False)]
    if len({tuple(name for name, _ in step) for step in steps}) != 1:
        sys.exit("the steps do not do the same")
    return [(same[0][0], statistics.median(own_us for _, own_us in same)) for same in zip(*steps, strict=True)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add = parser.add_argument
    add("trainer", type=pathlib.Path)
    add("--arch", default="resnet18")
    add("--batch", type=int, default=48)
    add("--size", type=int, default=64)
    add("--steps", type=int, default=1, help="in each of three blocks (1)")
    add("--sides", nargs="+", choices=TITLES, default=list(TITLES))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        build(folder)
        steps = {side: one_step(record(side, options, folder)) for side in options.sides}
    spent = {side: classes.by_class(step, 1) for side, step in steps.items()}
    print("| CPU ms a step | " + " | ".join(TITLES[side] for side in steps) + " |")
    print("| --- |" + " ---: |" * len(steps))
    for kind in classes.NAMES:
        print(f"| {kind} | " + " | ".join(f"{spent[side][kind]:.1f}" for side in steps) + " |")
    print("| sum | " + " | ".join(f"{sum(spent[side].values()):.1f}" for side in steps) + " |")


if __name__ == "__main__":
    main()
