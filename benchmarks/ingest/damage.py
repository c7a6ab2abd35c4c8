"""Kills `ingest` at random moments and flips random bits of a set, follows the printed advice, and compares the bytes.

    ingest demo --out data --frames 60
    python benchmarks/ingest/damage.py data/waymo --kills 200 --flips 600

Every kill is a SIGKILL after a random share of an undisturbed run's time; the next run goes on from what it left. In
the end the set must be that of an undisturbed run to the byte. Every flip must be found by `ingest verify`; then each
advice is followed as it is printed (delete this file, run that command), after which `verify` must say good and the
bytes be equal. Exits with 1 and names the first thing that is not so.
"""

import argparse
import json
import os
import pathlib
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time


def run(*words, check=True):
    done = subprocess.run([str(word) for word in words], capture_output=True, text=True)
    if check and done.returncode != 0:
        sys.exit(f"{words} ended with {done.returncode}: {done.stderr}")
    return done


def contents(folder):
    """Bytes of every file of a set by relative path, without what belongs to this machine."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    named = ((str(path.relative_to(folder)), path) for path in files)
    return {name: path.read_bytes() for name, path in named if not name.startswith(".ingest.")}


def kill(args, command, good, folder):
    """Kills runs into `folder` until there have been enough; returns how many died while they worked."""
    begin = time.monotonic()
    run(*command, folder / "timed")
    seconds = time.monotonic() - begin
    out, killed = folder / "killed", 0
    while killed < args.kills:
        process = subprocess.Popen(
            [str(word) for word in [*command, out]], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(random.random() * seconds)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            killed += 1
        elif process.returncode != 0:
            sys.exit(f"a run after {killed} kills ended with {process.returncode}")
        else:
            # It is complete: begin anew, or from a set that lacks a shard.
            if contents(out) != good:
                sys.exit(f"after {killed} kills the set is another")
            if random.random() < 0.5:
                shutil.rmtree(out)
            else:
                random.choice(sorted((out / "frames").iterdir())).unlink()
        process.wait()
    run(*command, out)
    if contents(out) != good:
        sys.exit("the set that was killed is another")
    return killed


def follow(advice, out, ingest):
    """Does what an advice says, to the letter."""
    if match := re.match(r"delete (\S+) and ", advice):
        (out / match.group(1)).unlink()
    commands = re.findall(r"`(ingest [^`]*)`", advice)
    if not commands:
        sys.exit(f"no command in the advice: {advice}")
    for command in commands:
        done = subprocess.run(command.replace("ingest", str(ingest), 1), shell=True, capture_output=True, text=True)
        if done.returncode != 0:
            sys.exit(f"the advice {command!r} ended with {done.returncode}: {done.stderr}")


def flip(args, command, good, folder):
    """Flips one bit at a time, anywhere in the set, and repairs it."""
    out = folder / "flipped"
    run(*command, out)
    names = sorted(good)
    sizes = [len(good[name]) for name in names]
    for _ in range(args.flips):
        # Half of them anywhere, half of them in small files too, where a byte is rarely hit.
        name = random.choices(names, sizes)[0] if random.random() < 0.5 else random.choice(names)
        at, bit = random.randrange(len(good[name])), random.randrange(8)
        damaged = bytearray(good[name])
        damaged[at] ^= 1 << bit
        (out / name).write_bytes(damaged)
        where = f"bit {bit} of byte {at} of {name}"
        found = run(args.ingest, "verify", out, "--json", check=False)
        bad = json.loads(found.stdout)["bad"]
        if found.returncode != 1 or not any(pathlib.PurePath(name).name == problem["file"] for problem in bad):
            sys.exit(f"{where} was not found: {bad}")
        for advice in sorted({problem["repair"] for problem in bad}):
            follow(advice, out, args.ingest)
        verdict = json.loads(run(args.ingest, "verify", out, "--json", check=False).stdout)
        if verdict["bad"] or contents(out) != good:
            sys.exit(f"{where} was not repaired: {verdict['bad']}")
    return args.flips


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("input", type=pathlib.Path, help="folder of TFRecords")
    parser.add_argument("--ingest", type=pathlib.Path, default=shutil.which("ingest") or "target/release/ingest")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--flips", type=int, default=600)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    args.ingest = args.ingest.resolve()
    random.seed(args.seed)
    command = [args.ingest, "waymo", args.input.resolve(), "--max-bad", "100%", "--out"]
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(os.path.realpath(folder))
        run(*command, folder / "good")
        good = contents(folder / "good")
        killed = kill(args, command, good, folder)
        print(f"{killed} kills: the set is equal to the byte", flush=True)
        flipped = flip(args, command, good, folder)
        print(f"{flipped} flips: all found, all repaired by the printed advice, equal to the byte", flush=True)


if __name__ == "__main__":
    main()
