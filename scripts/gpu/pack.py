"""What a machine without Rust needs besides the repository: our programs and tests, stripped and compressed."""

import json
import pathlib
import subprocess
import tarfile
import tempfile

from machine import PACK, PROGRAMS, ROOT, TARGET, TESTS, say

NAMES = ["trainer", "ingest"]


def build():
    """Paths of the programs and of the tests, by the names that they get."""
    packages = [word for name in NAMES for word in ("-p", name)]
    subprocess.run(["cargo", "build", "--release", "--quiet", *packages], cwd=ROOT, check=True)
    paths = {name: TARGET / name for name in NAMES}
    for name, options in TESTS.items():
        command = ["cargo", "test", "--release", "--quiet", "--no-run", "--message-format=json", *options]
        lines = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()
        built = [message["executable"] for message in map(json.loads, lines) if message.get("executable")]
        paths[name] = pathlib.Path(built[-1])
    return paths


def run():
    paths = build()
    PACK.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, tarfile.open(PROGRAMS, "w:xz", preset=6) as archive:
        for name, path in paths.items():
            stripped = pathlib.Path(folder) / name
            subprocess.run(["strip", "-o", stripped, path], check=True)
            archive.add(stripped, arcname=name)
    size = PROGRAMS.stat().st_size
    say(f"packed: {size / 1e6:.1f} MB in {PACK}")
