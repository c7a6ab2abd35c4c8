"""What a machine without Rust needs: our programs, stripped and compressed, and the peer's script."""

import pathlib
import shutil
import subprocess
import tarfile
import tempfile

from machine import BUILT, PACK, PEER, PROGRAMS, ROOT, fail, say

NAMES = ["trainer", "ingest"]
MOST_BYTES = 60e6


def run(peers):
    if not (peers / PEER).is_file():
        fail(f"no {PEER} in {peers}")
    packages = [word for name in NAMES for word in ("-p", name)]
    subprocess.run(["cargo", "build", "--release", "--quiet", *packages], cwd=ROOT, check=True)
    (PACK / "peers").mkdir(parents=True, exist_ok=True)
    (PACK / "peers" / PEER).unlink(missing_ok=True)
    shutil.copy(peers / PEER, PACK / "peers" / PEER)
    with tempfile.TemporaryDirectory() as folder, tarfile.open(PROGRAMS, "w:xz", preset=6) as archive:
        for name in NAMES:
            stripped = pathlib.Path(folder) / name
            subprocess.run(["strip", "-o", stripped, BUILT / name], check=True)
            archive.add(stripped, arcname=name)
    size = PROGRAMS.stat().st_size
    if size > MOST_BYTES:
        fail(f"{PROGRAMS} has {size / 1e6:.0f} MB, {MOST_BYTES / 1e6:.0f} are allowed")
    say(f"packed: {size / 1e6:.1f} MB in {PACK}")
