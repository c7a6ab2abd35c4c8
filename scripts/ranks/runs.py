"""What a run has left in its folder: rows of the log, checkpoints, tensors."""

import json
import struct

from jobs import Failed, check

# Those keys of a row that say how long something took (`trainer/src/report/metrics.rs`).
TIMING = {"pairs_per_s", "step_s", "data_wait_s", "loader_cpu", "collectives_s", "rank_wait_s", "slowest_rank"}


def rows(run):
    """All whole rows, as they are while it goes on."""
    try:
        lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
    except OSError:
        return []
    return [json.loads(line) for line in lines if line.endswith("\n")]


def step(run):
    """The step of the last row; 0 if there is none."""
    found = rows(run)
    return found[-1]["step"] if found else 0


def checkpoints(run):
    return sorted((run / "checkpoints").glob("step_*.safetensors"))


def partial(run):
    """The checkpoint that is being written."""
    return next((run / "checkpoints").glob("*.partial"), None)


def tensors(file):
    """Type, shape and bytes of every tensor of a safetensors file, by name."""
    data = file.read_bytes()
    length = struct.unpack_from("<Q", data)[0]
    header = json.loads(data[8 : 8 + length])
    header.pop("__metadata__", None)
    place = memoryview(data)[8 + length :]
    return {name: (it["dtype"], it["shape"], place[slice(*it["data_offsets"])]) for name, it in header.items()}


def same_tensors(run, other):
    """Fails unless both have ended with the same bits."""
    files = [checkpoints(folder)[-1] for folder in (run, other)]
    check(files[0].name == files[1].name, f"{run.name} ended with {files[0].name}, {other.name} with {files[1].name}")
    ours, theirs = map(tensors, files)
    check(ours.keys() == theirs.keys(), f"{run.name} and {other.name} hold tensors of other names")
    differing = [name for name in ours if ours[name] != theirs[name]]
    check(not differing, f"{len(differing)} of {len(ours)} tensors differ from {other.name}: {differing[:3]} …")


def same_rows(run, other):
    """Fails unless both have written the same rows, but for what is timing."""
    ours, theirs = rows(run), rows(other)
    steps = [[row["step"] for row in found] for found in (ours, theirs)]
    check(steps[0] == steps[1], f"rows of {run.name} are of the steps {steps[0]}, of {other.name} {steps[1]}")
    for a, b in zip(ours, theirs, strict=True):
        keys = {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)} - TIMING
        check(not keys, f"step {a['step']} differs from {other.name} in {', '.join(sorted(keys))}")


def same(run, other):
    same_tensors(run, other)
    same_rows(run, other)


def near(run, other, **within):
    """Fails unless the rows of both agree in these keys, each within so much."""
    ours, theirs = rows(run), rows(other)
    if len(ours) != len(theirs) or not ours:
        raise Failed(f"{len(ours)} rows of {run.name}, {len(theirs)} of {other.name}")
    worst = {}
    for key, most in within.items():
        gaps = [abs(a[key] - b[key]) for a, b in zip(ours, theirs, strict=True)]
        worst[key] = max(gaps)
        place = ours[gaps.index(worst[key])]["step"]
        text = f"{key} of step {place} differs by {worst[key]:.2e} from {other.name}, not {most:.0e}"
        check(worst[key] <= most, text)
    return ", ".join(f"{key} within {gap:.0e}" for key, gap in worst.items())
