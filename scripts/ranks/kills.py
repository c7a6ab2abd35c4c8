"""`kill -9` of a rank, each in turn, at ten moments of a run that is started again: it ends as if nothing had been."""

import os
import random
import signal
import time

import runs
from ground import PATIENCE, STEPS
from jobs import check, is_waiting, ranks_below, wait_until

# While it starts; so long after a row; while a checkpoint is written; while a rank waits for another in a collective.
# With each the step that has to be reached.
START, ROW, CHECKPOINT, COLLECTIVE = "start", "row", "checkpoint", "collective"
MOMENTS = [
    (START, 0),
    (START, 0),
    (ROW, 1),
    (CHECKPOINT, 2),
    (COLLECTIVE, 3),
    (ROW, 5),
    (CHECKPOINT, 6),
    (COLLECTIVE, 7),
    (ROW, 9),
    (ROW, STEPS - 1),
]


class Attempt:
    """The ranks of a run from one start to the next."""

    def __init__(self, ground, job, out, size, before):
        self.job, self.out = job, out

        def started():
            check(job.code() is None, f"ended with {job.code()} before a rank was to be killed{job.tail()}")
            found = ranks_below(ground.trainer, size)
            return found if found and not set(found) & set(before) else None

        self.pids = wait_until(started, PATIENCE, f"{size} ranks{job.tail()}\n")
        self.step = runs.step(out)

    def reach(self, step):
        """Waits for a row of this attempt, of that step or a later one."""

        def reached():
            check(self.job.code() is None, f"ended with {self.job.code()} before step {step}{self.job.tail()}")
            before, self.step = self.step, runs.step(self.out)
            return self.step >= step and self.step > before

        wait_until(reached, PATIENCE, f"step {step}{self.job.tail()}\n")

    def kill(self, rank, kind, step, delay):
        """Kills a rank at the moment that is asked for."""
        if kind != START:
            self.reach(step)
        if kind == CHECKPOINT:
            return self.kill_in_checkpoint(rank)
        if kind == COLLECTIVE and len(self.pids) > 1:
            return self.kill_in_collective(rank)
        time.sleep(delay)
        os.kill(self.pids[rank], signal.SIGKILL)

    def kill_in_checkpoint(self, rank):
        def stopped():
            if not runs.partial(self.out):
                return False
            os.kill(self.pids[0], signal.SIGSTOP)
            if runs.partial(self.out):
                return True
            os.kill(self.pids[0], signal.SIGCONT)
            return False

        wait_until(stopped, PATIENCE, "a checkpoint")
        os.kill(self.pids[rank], signal.SIGKILL)
        if rank != 0:
            os.kill(self.pids[0], signal.SIGCONT)

    def kill_in_collective(self, rank):
        missed = self.pids[(rank + 1) % len(self.pids)]
        os.kill(missed, signal.SIGSTOP)
        wait_until(lambda: is_waiting(self.pids[rank]), PATIENCE, f"rank {rank} waits for another")
        os.kill(self.pids[rank], signal.SIGKILL)
        os.kill(missed, signal.SIGCONT)


def victims(size):
    """Which rank is killed at which moment, and with what delay: the same every time."""
    chance = random.Random(size)
    return [(index % size, kind, step, chance.uniform(0, 1.5)) for index, (kind, step) in enumerate(MOMENTS)]


def killed_ranks_are_started_again_by_torchrun(ground, size):
    place = ground.place(f"torchrun{size}")
    out = place / "run"
    job = ground.by_torchrun(place, out, size, restarts=len(MOMENTS))
    pids = []
    for victim in victims(size):
        attempt = Attempt(ground, job, out, size, pids)
        attempt.kill(*victim)
        pids = attempt.pids
    job.ends(PATIENCE, 0)
    runs.same(out, ground.reference(size))
    return f"{size} ranks, killed {len(MOMENTS)} times: the bits of an undisturbed run"


def killed_ranks_are_started_again_by_the_same_command(ground, size):
    place = ground.place(f"processes{size}")
    out = place / "run"
    for index, victim in enumerate(victims(size)):
        job = ground.alone(place, out, "--processes", size, log=f"log{index}")
        Attempt(ground, job, out, size, []).kill(*victim)
        if size == 1:
            job.ends(PATIENCE, -signal.SIGKILL)
            continue
        job.ends(PATIENCE, 128 + signal.SIGKILL)
        line = f"rank {victim[0]} was ended by signal 9"
        check(line in job.text(), f"nobody says {line!r}{job.tail()}")
        check(not ranks_below(ground.trainer, size), "the command has ended, but not all of its ranks")
    ground.alone(place, out, "--processes", size, log="last").ends(PATIENCE, 0)
    runs.same(out, ground.reference(size))
    return f"{size} ranks, killed {len(MOMENTS)} times: the bits of an undisturbed run"
