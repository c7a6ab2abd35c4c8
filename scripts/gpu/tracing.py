"""Where each program's step goes: a trace of three steps, and its kernels by class."""

import gzip
import json

import classes
import timing
from machine import Failed, OutOfMemory, OutOfTime, say

# As many as `trainer bench --trace` traces; the peer takes them in three blocks.
STEPS = 3
BLOCKS = 3


def trace(machine, side, batch, path):
    """Writes a Chrome trace of a program's steps."""
    warmup = machine.options.warmup
    if side == "ours":
        machine.trainer(batch, "--trace", path, "--warmup", warmup)
        return
    machine.peer(batch, side, STEPS // BLOCKS, warmup, "--trace", path)


def run_one(machine, side, batch):
    """Traces a program, keeps the trace beside the results, and records what is in it."""
    path = machine.scratch() / f"trace_{side}.json"
    trace(machine, side, batch, path)
    text = path.read_text()
    with gzip.open(machine.out / f"trace_{side}.json.gz", "wt", compresslevel=6) as packed:
        packed.write(text)
    events = classes.events(json.loads(text))
    spent = classes.by_class(events, STEPS)
    machine.record("trace", side=side, batch=batch, ms=spent, longest=classes.longest(events, STEPS))
    say(f"trace: {side}: " + ", ".join(f"{name} {ms:.1f}" for name, ms in spent.items()) + " ms a step")


def run(machine):
    batch = machine.options.batch[0]
    for side in timing.sides(machine):
        try:
            run_one(machine, side, batch)
        except OutOfMemory:
            say(f"trace: {batch} pairs do not fit ({side})")
            return
        except Failed as error:
            if side == "ours":
                raise
            say(f"trace: {side} failed: {error}")
        except OutOfTime:
            say(f"trace: no time is left for {side} in this call; ask for it with --sides")
            return
