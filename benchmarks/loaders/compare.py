"""All loaders in turns with ours, as one table: `scripts/bench --peers`. Fidelity of their crops: `--fidelity`."""

import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
from dataclasses import dataclass

import quiet
from pairs import HOME

HERE = pathlib.Path(__file__).resolve().parent
# Longer than a loader takes that is disturbed all the time.
TIMEOUT_SECS = 900


@dataclass(frozen=True)
class Loader:
    """One row: a script with options, and how near its crops are to the originals' (`--fidelity` measures that)."""

    title: str
    script: str
    options: tuple
    fidelity: str

    def python(self):
        environment = "venv_ffcv" if self.script == "ffcv_numba" else "venv"
        return HOME / environment / "bin" / "python"

    def is_installed(self):
        if not self.python().exists():
            return False
        probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({PACKAGES[self.script]!r}) is None)"
        return subprocess.run([self.python(), "-c", probe], capture_output=True).returncode == 0

    def run(self, *options):
        """Standard output; raises Failed."""
        command = [self.python(), "-B", "-W", "ignore", HERE / f"{self.script}.py", *self.options, *map(str, options)]
        environment = {**os.environ, "PEERS_HOME": str(HOME), "OMP_NUM_THREADS": "1", "RAYON_NUM_THREADS": "1"}
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=TIMEOUT_SECS)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"not done in {TIMEOUT_SECS} s") from error
        if done.returncode != 0:
            raise Failed((done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1])
        return done.stdout


class Failed(Exception):
    """A loader ended with an error."""


PACKAGES = {
    "torchvision_v1": "torchvision",
    "torchvision_v2": "torchvision",
    "lightly_views": "lightly",
    "opencv_albumentations": "albumentations",
    "spdl_ffmpeg": "spdl.io",
    "dali_cpu": "nvidia.dali",
    "ffcv_numba": "ffcv",
}
LOADERS = [
    Loader("torchvision v1, Pillow", "torchvision_v1", (), "exact"),
    Loader("torchvision v1, Pillow's draft mode", "torchvision_v1", ("--draft",), "near"),
    Loader("torchvision v2, tensors", "torchvision_v2", (), "exact"),
    Loader("Lightly, Pillow", "lightly_views", (), "exact"),
    Loader("OpenCV, Albumentations", "opencv_albumentations", (), "near"),
    Loader("OpenCV, Albumentations, reduced decode", "opencv_albumentations", ("--reduced",), "loose"),
    Loader("SPDL", "spdl_ffmpeg", (), "near"),
    Loader("SPDL, reduced decode", "spdl_ffmpeg", ("--lowres",), "loose"),
    Loader("DALI on CPU", "dali_cpu", (), "exact"),
    Loader("DALI on CPU, triangular filter", "dali_cpu", ("--filter", "triangular"), "near"),
    Loader("FFCV", "ffcv_numba", (), "near"),
    Loader("FFCV, scaled decode", "ffcv_numba", ("--scaled",), "loose"),
    Loader("FFCV, stored at 960 px, scaled decode", "ffcv_numba", ("--max-side", "960", "--scaled"), "loose"),
]
REFERENCE = LOADERS[0]
# Options of `sampler bench` for each of our rows.
OURS = {
    "ours": ("near", []),
    "ours, float32 NCHW normalised": ("near", ["--float"]),
    "ours, originals only (--exact)": ("exact", ["--exact"]),
}


def say(text):
    print(text, file=sys.stderr, flush=True)


def installed(only):
    """The loaders that are there, of those whose script begins with one of `only`; says which are not."""
    wanted = [loader for loader in LOADERS if not only or loader.script.startswith(tuple(only))]
    found = [loader for loader in wanted if loader.is_installed()]
    lacking = [loader.title for loader in wanted if loader not in found]
    if lacking:
        say(f"left out, because not installed: {'; '.join(lacking)}. benchmarks/setup installs them into {HOME}")
    return found


def images_line():
    """Says what the images were made of."""
    made = json.loads((HOME / "images.json").read_text())
    how = f"varied out of {made['distinct']}" if made["varied"] else "as they are"
    return f"images: 256 of {made['mean_bytes'] / 1e3:.0f} KB, {how}, from {made['source']}"


def make_shards(programs):
    """Shards of the same images."""
    if not (HOME / "images.json").exists():
        sys.exit(f"bench: no images in {HOME}: run benchmarks/setup first")
    shards = HOME / "shards"
    if not (shards / "catalog.parquet").exists():
        subprocess.run(
            [programs / "ingest", "images", HOME / "images", "--out", shards], check=True, stdout=subprocess.DEVNULL
        )
    return shards


def measure_peer(loader, args):
    """Its result, or why there is none as `failed`."""
    options = ["--workers", args.threads, "--seconds", args.seconds, "--repeats", args.repeats, "--tries", args.tries]
    try:
        result = json.loads(loader.run(*options).strip().splitlines()[-1])
    except Failed as error:
        return {"failed": str(error)}
    return {"speeds": result["pairs_per_s"], "cpu_ms": result["cpu_ms_per_pair"], "noise_cores": result["noise_cores"]}


def run(ours, programs, args):
    """Measures all and prints the table. `ours(shards, *options)` gives a result of `sampler bench`."""
    shards, loaders = make_shards(programs), installed(args.only)
    common = ["--threads", args.threads, "--batch", 256, "--seconds", args.seconds]
    print(images_line(), flush=True)

    def turn():
        return {title: ours(shards, *common, *options) for title, (_, options) in OURS.items()}

    say("measuring ours, and again after each loader")
    turns, peers = [turn()], []
    for loader in loaders:
        say(f"measuring {loader.title}")
        result = measure_peer(loader, args)
        say(f"  {result}")
        peers.append((loader, result))
        turns.append(turn())
    print(table(turns, peers))


def table(turns, peers):
    """Rows of Markdown, the fastest first. A loader is compared with ours just before and just after it."""
    rows, failed = [], []
    for title, (fidelity, _) in OURS.items():
        results = [turn[title] for turn in turns]
        speeds = [result["pairs_per_s"] for result in results]
        cpu_ms = statistics.median(result["cpu_ms_per_pair"] for result in results)
        noise = max(result["noise_cores"] for result in results)
        rows.append((f"**{title}**", fidelity, speeds, cpu_ms, [""] * len(OURS), noise))
    for number, (loader, result) in enumerate(peers):
        if "failed" in result:
            failed.append(f"{loader.title} failed: {result['failed']}")
            continue
        speed = statistics.median(result["speeds"])
        around = turns[number : number + 2]
        ratios = [statistics.mean(turn[title]["pairs_per_s"] for turn in around) / speed for title in OURS]
        texts = [f"{ratio:.1f} x" for ratio in ratios]
        rows.append((loader.title, loader.fidelity, result["speeds"], result["cpu_ms"], texts, result["noise_cores"]))
    head = ["loader", "crops", "pairs/s", "min to max", "CPU ms a pair", "ours is", "float32", "exact", "others' cores"]
    lines = [head, ["---", "---"] + ["---:"] * (len(head) - 2)]
    for title, fidelity, speeds, cpu_ms, ratios, noise in sorted(rows, key=lambda row: -statistics.median(row[2])):
        spread = f"{min(speeds):.0f} to {max(speeds):.0f}"
        loud = f"{noise:.1f}" if noise > quiet.NOISE_CORES else ""
        lines.append([title, fidelity, f"{statistics.median(speeds):.0f}", spread, f"{cpu_ms:.2f}", *ratios, loud])
    return "\n".join(["| " + " | ".join(line) + " |" for line in lines] + failed)


def compare_crops(programs, args):
    """Prints how near every loader's crops are to those of full decode and Pillow's antialiased bicubic filter."""
    loaders = installed(args.only)
    if not REFERENCE.is_installed():
        sys.exit(f"bench: {REFERENCE.title} has to be installed: the others are compared with it")
    shards = make_shards(programs)
    print(images_line(), flush=True)
    wanted = dict.fromkeys([REFERENCE, *loaders])
    with tempfile.TemporaryDirectory() as folder:
        files = {loader: pathlib.Path(folder, f"{number}.npz") for number, loader in enumerate(wanted)}
        for loader, file in files.items():
            say(f"cutting with {loader.title}")
            loader.run("--mode", "crops", "--dump", file, "--workers", args.threads)
        command = [REFERENCE.python(), HERE / "fidelity.py", *(files[loader] for loader in [REFERENCE, *loaders])]
        lines = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
    print("| loader | crops | median dB | 1 % below |\n| --- | --- | ---: | ---: |")
    for loader, line in zip(loaders, lines, strict=True):
        print(f"| {loader.title} | {loader.fidelity} | " + " | ".join(line.split()) + " |", flush=True)
    print("\nours, stored levels against originals (ingest fidelity):", flush=True)
    subprocess.run([programs / "ingest", "fidelity", shards, HOME / "images"], check=True)
