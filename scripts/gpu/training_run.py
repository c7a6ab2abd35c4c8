"""A run from real shards that is killed in the middle and goes on: how long it waits for data, and is it still one run?

It is killed (SIGKILL) after a checkpoint and some more steps. Those are trained once more from the checkpoint, and
their losses are compared: the same up to the GPU's own order of adding.
"""

import json
import pathlib
import re
import shutil
import statistics
import subprocess
import sys
import time

import results
from machine import Failed, say

STEPS, CHECKPOINT_EVERY, LOG_EVERY = 60, 20, 5
# Logged when it is killed: two checkpoints are written by then.
KILL_AFTER = 50
# Rows whose steps choose algorithms and fill the loader.
WARM_UP = 10
POLL = 0.02


def command(machine, shards, run):
    o = machine.options
    sets = {
        "model.arch": o.arch,
        "augment.view_px": o.size,
        "optim.precision": machine.precision,
        "run.checkpoint_every_steps": CHECKPOINT_EVERY,
        "run.log_every_steps": LOG_EVERY,
        "run.pictures_every_steps": 0,
    }
    words = [machine.program("trainer"), "run", shards, "--out", run, "--device", o.device, "--batch", o.batch]
    words += ["--steps", STEPS, "--json"]
    pairs = [f"{key}={value}" for key, value in sets.items()] + machine.without_kernels()
    return [str(word) for word in words + [word for pair in pairs for word in ("--set", pair)]]


def rows(run):
    """Rows of the run's metrics by their step."""
    return {line["step"]: line for line in results.read(run, "metrics.jsonl") if "step" in line}


def start_and_kill(machine, words, run):
    """Rows that were logged until the kill."""
    with subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=sys.stderr, env=machine.environment()) as process:
        try:
            while process.poll() is None and max(rows(run), default=0) < KILL_AFTER:
                time.sleep(POLL)
            if process.poll() is not None:
                raise Failed(f"trainer run ended with code {process.returncode} before it was killed")
        finally:
            process.kill()
    return rows(run)


def measure(machine, shards, folder):
    """One line of figures."""
    run = pathlib.Path(folder) / "run"
    shutil.rmtree(run, ignore_errors=True)
    words = command(machine, shards, run)
    before = start_and_kill(machine, words, run)
    killed_at = max(before)
    say(f"train: killed after step {killed_at}")
    begin = time.monotonic()
    outcome = json.loads(machine.run(words))
    resumed = re.search(r"resuming after step (\d+)", machine.messages)
    after = rows(run)
    twice = [step for step in before if resumed and step > int(resumed[1]) and step in after]
    warm = [row for step, row in after.items() if step > WARM_UP and step <= killed_at and step not in twice]
    shares = [row["data_wait_s"] / row["step_s"] for row in warm]
    return {
        "pairs_per_s": statistics.median(row["pairs_per_s"] for row in warm),
        "data_wait_share": sum(row["data_wait_s"] for row in warm) / sum(row["step_s"] for row in warm),
        "most_data_wait_share": max(shares),
        "killed_at": killed_at,
        "resumed_after": int(resumed[1]) if resumed else None,
        "resumed_in_s": round(time.monotonic() - begin, 1),
        "step": outcome["step"],
        "steps": STEPS,
        "loss_apart": max((abs(before[step]["loss"] - after[step]["loss"]) for step in twice), default=None),
        "steps_compared": len(twice),
    }
