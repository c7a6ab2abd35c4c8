"""Ranks that hang, differ, run out of memory or are asked to stop: what the others do, and what is said."""

import contextlib
import os
import re
import resource
import signal
import socket
import time

import runs
from ground import PATIENCE
from jobs import check, ends_of, ranks_below, wait_until

HOST = socket.gethostname()
# Seconds beyond a rank's time limit: for a step that is under way, and for asking in the store who is there.
MARGIN = 20
FAILED, USAGE, INTERRUPTED = 1, 2, 75


def says(jobs, *texts):
    """Fails unless one line of one of these has all the texts; those jobs that have."""
    found = [job for job in jobs if any(all(text in line for text in texts) for line in job.text().splitlines())]
    check(found, f"nobody says {texts}{''.join(job.tail() for job in jobs)}")
    return found


def time_limit(seconds):
    return "--set", f"run.rank_timeout_s={seconds}"


def begun(out, job, step=1):
    """Waits until a run has done so many steps."""

    def reached():
        check(job.code() is None, f"ended with {job.code()} before step {step}{job.tail()}")
        return runs.step(out) >= step

    wait_until(reached, PATIENCE, f"step {step}{job.tail()}\n")


def disturbed(ground, number, rank, when, size, limit, seconds):
    """Sends a rank a signal in a step or in a checkpoint: the seconds that the others take to fail, who name it."""
    place = ground.place(f"{signal.Signals(number).name}{rank}-{when.split()[-1]}")
    out = place / "run"
    if when == "in a checkpoint":
        # At the end of a call the others wait until it is written.
        jobs = ground.ranks(place, out, size, "--steps", 1, *time_limit(limit))
        wait_until(lambda: runs.partial(out), PATIENCE, f"a checkpoint{jobs[0].tail()}\n")
    else:
        jobs = ground.ranks(place, out, size, *time_limit(limit))
        begun(out, jobs[0])
    jobs[rank].send(number)
    began = time.monotonic()
    others = [job for other, job in enumerate(jobs) if other != rank]
    codes = ends_of(others, seconds)
    took = time.monotonic() - began
    check(codes == [FAILED] * len(others), f"exit codes {codes}{''.join(job.tail() for job in others)}")
    says(others, f"rank {rank} of {size} ({HOST})", "does not answer")
    jobs[rank].send(signal.SIGKILL)
    return took


def a_rank_that_hangs_ends_all_and_is_named(ground, rank, when, size=4, limit=5):
    took = disturbed(ground, signal.SIGSTOP, rank, when, size, limit, limit + MARGIN)
    return f"rank {rank} of {size} stopped, a limit of {limit} s: after {took:.0f} s all have ended, and name it"


def a_killed_rank_ends_all_at_once_and_is_named(ground, rank, when, size=2, limit=120):
    took = disturbed(ground, signal.SIGKILL, rank, when, size, limit, MARGIN)
    return f"rank {rank} of {size} killed, a limit of {limit} s: after {took:.0f} s all have ended, and name it"


def a_rank_that_hangs_is_ended_with_the_command(ground, size=2, limit=5):
    place = ground.place("hangs")
    out = place / "run"
    job = ground.alone(place, out, "--processes", size, *time_limit(limit))
    begun(out, job)
    pids = ranks_below(ground.trainer, size)
    os.kill(pids[1], signal.SIGSTOP)
    began = time.monotonic()
    # Its parent gives ranks 30 seconds to follow one that failed, and 10 more to follow a SIGTERM.
    job.ends(limit + MARGIN + 40, FAILED)
    seconds = time.monotonic() - began
    says([job], f"rank 1 of {size} ({HOST})", "does not answer")
    check(not ranks_below(ground.trainer, 1), "the command has ended, but not all of its ranks")
    return f"--processes {size}, a limit of {limit} s: it has ended after {seconds:.0f} s, with all of its ranks"


def a_rank_that_differs_is_refused_by_name(ground, what, size=2):
    place = ground.place(f"other-{what}")
    out = place / "run"
    if what == "shards":
        other, told = ground.command(out, shards=ground.others), "has other shards than rank 0"
    elif what == "config":
        other, told = ground.command(out, "--set", "optim.base_lr=0.5"), "optim.base_lr = 0.5, not 1.0"
    else:
        program = place / "trainer"
        program.write_bytes(ground.trainer.read_bytes() + b"\n")
        program.chmod(0o755)
        other, told = ground.command(out, program=program), "runs another program than rank 0"
    jobs = ground.ranks(place, out, size, others={size - 1: other})
    codes = ends_of(jobs, PATIENCE)
    check(codes == [USAGE] * size, f"exit codes {codes}{''.join(job.tail() for job in jobs)}")
    told_by = says(jobs, f"rank {size - 1} of {size} ({HOST})", told)
    check(len(told_by) == 1, "it is told more than once")
    check(not out.exists(), "and yet there is a run folder")
    return f"refused by all, exit code {USAGE}: {told}"


def a_rank_without_memory_ends_all_and_is_named(ground, when, size=2):
    place = ground.place(f"memory-{when.split()[-1]}")
    out = place / "run"
    jobs = ground.ranks(place, out, size, *time_limit(20))
    pid = jobs[1].process.pid
    if when == "at the start":
        # The program and its libraries are mapped, and the networks have yet to come.
        wait_until(lambda: address_space(pid) > 1 << 30, PATIENCE, "rank 1 loads its libraries")
        limit = address_space(pid) + (64 << 20)
    else:
        begun(out, jobs[0])
        limit = address_space(pid)
    resource.prlimit(pid, resource.RLIMIT_AS, (limit, limit))
    codes = ends_of(jobs, 20 + MARGIN)
    check(codes[0] == FAILED and codes[1] not in (0, INTERRUPTED), f"exit codes {codes}")
    said = says(jobs, f"rank 1 of {size}")
    line = next(line for line in said[0].text().splitlines() if f"rank 1 of {size}" in line)
    return f"exit codes {codes}: {line[:160]}"


def address_space(pid):
    with contextlib.suppress(OSError), open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[0]) * resource.getpagesize()
    return 0


def a_signal_stops_all_after_the_same_step(ground, size=2):
    """One run, stopped three times: by its last rank, by torchrun, by the parent of `--processes`."""
    place = ground.place("signals")
    out = place / "run"
    steps = []

    def stopped(jobs):
        found = [re.search(r"SIGTERM: stopped after step (\d+)", job.text()) for job in jobs]
        told = [int(match.group(1)) for match in found if match]
        check(len(told) == 1, f"{len(told)} say that they stopped{''.join(job.tail() for job in jobs)}")
        newest = runs.checkpoints(out)[-1].name
        check(newest == f"step_{told[0]:010}.safetensors", f"stopped after step {told[0]}, but there is {newest}")
        steps.append(told[0])

    jobs = ground.ranks(place, out, size)
    begun(out, jobs[0], 1)
    jobs[-1].send(signal.SIGTERM)
    codes = ends_of(jobs, PATIENCE)
    check(codes == [INTERRUPTED] * size, f"exit codes {codes}{jobs[0].tail()}")
    stopped(jobs)
    job = ground.by_torchrun(place, out, size)
    begun(out, job, steps[-1] + 2)
    job.send(signal.SIGTERM)
    # It sends it on, waits for the ranks, and fails whatever they say.
    job.ends(PATIENCE, 1)
    stopped([job])
    job = ground.alone(place, out, "--processes", size, log="processes")
    begun(out, job, steps[-1] + 2)
    job.send(signal.SIGTERM)
    job.ends(PATIENCE, INTERRUPTED)
    stopped([job])
    ground.alone(place, out, "--processes", size, log="last").ends(PATIENCE, 0)
    runs.same(out, ground.reference(size))
    return f"SIGTERM to a rank, torchrun, the parent, after steps {steps}: the bits of an undisturbed run"
