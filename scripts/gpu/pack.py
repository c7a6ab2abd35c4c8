"""What a machine without Rust needs besides the repository: our programs and tests, stripped and compressed."""

import json
import os
import pathlib
import subprocess
import tempfile

import archive
from archive import PACK, PROGRAMS, ROOT
from machine import BUILT, TARGET, TESTS, fail, say

NAMES = ["trainer", "sampler", "ingest"]
# What travels in all, this repository included, often may not be larger.
MOST_MIB = 64.0


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


def find_built():
    """The same where everything is built already: of the tests the newest that hold one for a GPU."""
    paths = {name: BUILT / name for name in NAMES}
    for name, options in TESTS.items():
        # A library's tests are named after its crate, others after their file.
        crate = options[1] if options[2] == "--lib" else options[3]
        files = [path for path in (BUILT / "deps").glob(f"{crate}-*") if not path.suffix and os.access(path, os.X_OK)]
        newest = sorted(files, key=lambda path: -path.stat().st_mtime)
        paths[name] = next(filter(has_gpu_tests, newest), BUILT / "deps" / f"{crate}-*")
    missing = [str(path) for path in paths.values() if not path.exists()]
    if missing:
        fail(f"not built: {', '.join(missing)}")
    return paths


def has_gpu_tests(path):
    done = subprocess.run([path, "--list", "--ignored", "--skip", "soak"], capture_output=True, text=True)
    return done.returncode == 0 and ": test" in done.stdout


def repository():
    """Bytes of the files that git has or would take."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.split("\0")
    return sum((ROOT / name).lstat().st_size for name in names if name and (ROOT / name).exists())


def run(options):
    paths = find_built() if options.built else build()
    with tempfile.TemporaryDirectory() as folder:
        stripped = {name: pathlib.Path(folder) / name for name in paths}
        for name, path in paths.items():
            subprocess.run(["strip", "-o", stripped[name], path], check=True)
        sizes = {name: path.stat().st_size for name, path in stripped.items()}
        archive.write(stripped)
    for name, size in sorted(sizes.items(), key=lambda entry: -entry[1]):
        say(f"{size / 2**20:8.1f} MiB  {name}, stripped ({paths[name]})")
    packed, others = PROGRAMS.stat().st_size / 2**20, repository() / 2**20
    beside = sum(path.stat().st_size for path in PACK.rglob("*") if path.is_file()) / 2**20 - packed
    total = packed + others + beside
    say(f"{packed:8.1f} MiB  {PROGRAMS}: all of them, compressed")
    say(f"{beside:8.1f} MiB  what else lies in {PACK}")
    say(f"{others:8.1f} MiB  the repository's files")
    say(f"{total:8.1f} MiB  in all, of {MOST_MIB:.0f}")
    if total > MOST_MIB:
        fail(f"{total:.1f} MiB travel, {MOST_MIB:.0f} are allowed: empty {PACK}, or carry {PROGRAMS} alone")
