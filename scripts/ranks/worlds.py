"""One global batch over other numbers of ranks, from the start or from the middle of a run."""

import runs
from ground import PATIENCE, STEPS
from jobs import check

# Sums of float32 in another order, over a run of few steps.
LOSS = 1e-3
IOU = 1e-6


def ranks_share_the_frames_and_losses_of_one_process(ground, sizes=(2, 4)):
    one = ground.reference(1)
    told = [f"{size} ranks: {runs.near(ground.reference(size), one, iou=IOU, loss=LOSS)}" for size in sizes]
    return "; ".join(told)


def a_run_goes_on_in_another_world(ground, pairs=6):
    """2 ranks of 3 pairs, then 1 of 6, then 3 of 2; beside it 1 of 6 throughout."""
    place = ground.place("worlds")
    out, other = place / "run", place / "undisturbed"
    before = None
    for size, until in [(2, 4), (1, 8), (3, STEPS)]:
        job = ground.alone(place, out, "--processes", size, "--steps", until, pairs=pairs, log=f"world{size}")
        job.ends(PATIENCE, 0)
        if before:
            note = f"made by {before} rank(s) x {pairs // before} pairs x 1 accumulated, this is {size} rank(s)"
            line = next((line for line in job.text().splitlines() if note in line), None)
            check(line, f"nobody says {note!r}{job.tail()}")
            check("results differ in rounding alone" in line, line)
        before = size
    ground.alone(place, other, pairs=pairs, log="alone").ends(PATIENCE, 0)
    return f"2 ranks, then 1, then 3: {runs.near(out, other, iou=IOU, loss=LOSS)} of 1 throughout"
