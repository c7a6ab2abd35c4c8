"""Ours with the real loader: the same step, and how long it waits for pairs."""

from machine import OutOfMemory, OutOfTime, say

# Share of made-up frames that are of the kind used here, with some to spare.
WAYMO_SHARE = 0.45
SPARE = 1.2


def make_shards(machine, pairs, folder):
    """Synthetic street scenes of Waymo's size, at least that many, in the page cache."""
    frames = int(pairs / WAYMO_SHARE * SPARE) + 8
    ingest = machine.program("ingest")
    say(f"sampler: rendering {frames} frames")
    machine.run([ingest, "demo", "--out", folder / "data", "--frames", frames])
    machine.run([ingest, "waymo", folder / "data" / "waymo", "--out", folder / "shards"])
    return folder / "shards"


def run(machine):
    o = machine.options
    try:
        shards = o.shards or make_shards(machine, max(o.batch), machine.scratch())
        for batch in o.batch:
            try:
                result = machine.trainer(batch, shards, "--steps", o.steps, "--warmup", o.warmup)
            except OutOfMemory:
                say(f"sampler: {batch} pairs do not fit")
                continue
            keys = ("step_ms", "pairs_per_s", "data_wait_ms", "data_wait_share", "loss", "peak_gib")
            machine.record("sampler", side="ours", batch=batch, **{key: result[key] for key in keys})
            wait = 100 * result["data_wait_share"]
            say(f"sampler: {batch} pairs: {result['pairs_per_s']:.1f} pairs/s, {wait:.2f} % of the step is waiting")
    except OutOfTime:
        say("sampler: no time is left in this call")
