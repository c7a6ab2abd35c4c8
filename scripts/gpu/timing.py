"""Pairs per second of both programs, in turns, so that what the machine does meanwhile meets all of them."""

import time

from machine import Failed, OutOfMemory, OutOfTime, say

SIDES = ["ours", "eager", "default", "max-autotune-no-cudagraphs"]


def sides(machine):
    """The programs that were asked for."""
    return machine.options.sides or (SIDES[:2] if machine.is_cpu else SIDES)


def measure(machine, side, batch):
    """One result of one program."""
    o = machine.options
    if side == "ours":
        return machine.trainer(batch, "--steps", o.steps, "--warmup", o.warmup)
    return machine.peer(batch, side, o.steps, o.warmup)


def run_one(machine, side, batch, turn):
    """One program's turn; what it raises is recorded first."""
    try:
        result = measure(machine, side, batch)
    except OutOfMemory:
        machine.record("time", side=side, batch=batch, out_of_memory=True)
        raise
    except Failed as error:
        machine.record("time", side=side, batch=batch, failed=str(error))
        raise
    # What was asked for, not what each program calls it.
    asked = ("precision", "arch", "size", "batch")
    machine.record("time", side=side, batch=batch, turn=turn, **{k: v for k, v in result.items() if k not in asked})
    return result


def run_batch(machine, batch):
    """All turns; raises OutOfMemory at the first program that has not enough."""
    took, failed = {}, set()
    for turn in range(machine.options.repeats):
        for side in sides(machine):
            if side in failed:
                continue
            if machine.seconds_left() < took.get(side, 0):
                raise OutOfTime
            begin = time.monotonic()
            try:
                result = run_one(machine, side, batch, turn)
            except OutOfMemory:
                say(f"time: {batch} pairs do not fit ({side})")
                raise
            except Failed as error:
                if side == "ours":
                    raise
                # torch.compile needs a C compiler and more; where it does not work, the others are still measured.
                say(f"time: {side} failed: {error}")
                failed.add(side)
                continue
            took[side] = time.monotonic() - begin
            say(f"time: {batch} pairs, {side}: {result['pairs_per_s']:.1f} pairs/s ({took[side]:.0f} s)")


def run(machine):
    todo, done = list(machine.options.batch), set()
    while todo:
        batch = todo.pop(0)
        if batch < 2 or batch in done:
            continue
        done.add(batch)
        try:
            run_batch(machine, batch)
        except OutOfMemory:
            # For all sides alike.
            todo.insert(0, batch // 2)
        except OutOfTime:
            say(f"time: no time is left in this call; for the rest: --batch {batch} and fewer --sides or --repeats")
            return
