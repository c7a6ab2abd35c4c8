"""Two hosts of two ranks each: network namespaces of this machine, with a cable between them that can be pulled out."""

import contextlib
import os
import shutil
import signal
import subprocess
import time

import runs
from ground import PATIENCE, STEPS, rank_environment
from jobs import Job, check, ends_of, environment, is_waiting, wait_until
from stops import FAILED, MARGIN, begun, says, time_limit

HOSTS = ["ranks-a", "ranks-b"]
CABLE = ["ranks0", "ranks1"]
ADDRESSES = ["10.213.7.1", "10.213.7.2"]
PORT = 29_400
SIZE = 4
# Rank by rank: host, and place on it.
SEATS = [(0, 0), (0, 1), (1, 0), (1, 1)]


class Skipped(Exception):
    """What it takes is not to be had here; the text says what."""


def ip(*words):
    done = subprocess.run(["ip", *map(str, words)], capture_output=True, text=True)
    if done.returncode != 0:
        raise Skipped(f"ip {' '.join(map(str, words))}: {done.stderr.strip()}")


def unplug(host):
    ip("-n", HOSTS[host], "link", "set", CABLE[host], "down")


def plug(host):
    ip("-n", HOSTS[host], "link", "set", CABLE[host], "up")


@contextlib.contextmanager
def two_hosts():
    if os.geteuid() != 0 or not all(map(shutil.which, ("ip", "unshare"))):
        raise Skipped("two hosts are network namespaces: that takes root, ip and unshare")
    try:
        for host in HOSTS:
            ip("netns", "add", host)
        ip("link", "add", CABLE[0], "netns", HOSTS[0], "type", "veth", "peer", CABLE[1], "netns", HOSTS[1])
        for host, name in enumerate(HOSTS):
            ip("-n", name, "address", "add", f"{ADDRESSES[host]}/24", "dev", CABLE[host])
            ip("-n", name, "link", "set", "lo", "up")
            plug(host)
        yield
    finally:
        for host in HOSTS:
            subprocess.run(["ip", "netns", "delete", host], capture_output=True)


def on(host, names, command):
    """The command on one of the hosts, which has a name of its own, and knows those in the file `names`."""
    inside = 'echo "$0" > /proc/sys/kernel/hostname && mount --bind "$1" /etc/hosts && shift && exec "$@"'
    return ["ip", "netns", "exec", HOSTS[host], "unshare", "--uts", "sh", "-c", inside, HOSTS[host], names, *command]


def names_in(place):
    """A file that says where both hosts are."""
    file = place / "hosts"
    lines = ["127.0.0.1 localhost", *(f"{address} {name}" for address, name in zip(ADDRESSES, HOSTS, strict=True))]
    file.write_text("\n".join(lines) + "\n")
    return file


def ranks(ground, place, out, *more):
    jobs, names = [], names_in(place)
    for rank, (host, local_rank) in enumerate(SEATS):
        env = rank_environment(rank, SIZE, PORT, ADDRESSES[0], (local_rank, 2))
        env["GLOO_SOCKET_IFNAME"] = CABLE[host]
        jobs.append(Job(on(host, names, ground.command(out, *more)), place / f"rank{rank}", env))
    return jobs


def an_outage_below_the_limit_changes_nothing(ground, outage=6, limit=60):
    place = ground.place("outage")
    out = place / "run"
    with two_hosts():
        jobs = ranks(ground, place, out, *time_limit(limit))
        # One end, then the other: the loss of a carrier, and the loss of an interface.
        for host, step in [(1, 2), (0, 6)]:
            begun(out, jobs[0], step)
            unplug(host)
            until = time.monotonic() + outage
            wait_until(lambda: all(is_waiting(job.process.pid) for job in jobs), outage, "all wait for the network")
            time.sleep(max(0, until - time.monotonic()))
            check(all(job.code() is None for job in jobs), f"a rank has ended{''.join(job.tail() for job in jobs)}")
            plug(host)
        codes = ends_of(jobs, PATIENCE)
        check(codes == [0] * SIZE, f"exit codes {codes}{''.join(job.tail() for job in jobs)}")
    runs.same(out, ground.reference(SIZE))
    return f"twice {outage} s without a cable, of {limit}: the bits of an undisturbed run"


def an_outage_above_the_limit_ends_all_and_names_the_host(ground, when, limit=8):
    place = ground.place(f"outage-{when.split()[-1]}")
    out = place / "run"
    with two_hosts():
        jobs = ranks(ground, place, out, "--steps", 1 if when == "in a checkpoint" else STEPS, *time_limit(limit))
        if when == "in a checkpoint":
            wait_until(lambda: runs.partial(out), PATIENCE, "a checkpoint")
        else:
            begun(out, jobs[0], 3)
        unplug(1)
        began = time.monotonic()
        codes = ends_of(jobs, limit + MARGIN)
        seconds = time.monotonic() - began
    check(codes == [FAILED] * SIZE, f"exit codes {codes}{''.join(job.tail() for job in jobs)}")
    says(jobs[:2], f"rank 2 of {SIZE} ({HOSTS[1]})", f"rank 3 of {SIZE} ({HOSTS[1]})", "do not answer")
    says(jobs[2:], f"rank 0 of {SIZE} ({HOSTS[0]})", "does not answer")
    return f"a limit of {limit} s: all have ended after {seconds:.0f} s, and name the other host"


def torchrun_joins_two_hosts(ground):
    place = ground.place("torchrun-hosts")
    out = place / "run"
    options = ["--no-python", "--nnodes", 2, "--nproc-per-node", 2, "--monitor-interval", 0.1, "--max-restarts", 1]
    meeting = ["--rdzv-backend", "c10d", "--rdzv-endpoint", f"{ADDRESSES[0]}:{PORT}", "--rdzv-id", "ranks"]
    with two_hosts():
        jobs = []
        for host in range(2):
            command = [ground.torchrun, *options, *meeting, "--local-addr", ADDRESSES[host], *ground.command(out)]
            env = environment(GLOO_SOCKET_IFNAME=CABLE[host])
            jobs.append(Job(on(host, names_in(place), command), place / f"host{host}", env))
        begun(out, jobs[0], 4)
        # A rank of the host that does not speak.
        victim = next(pid for pid in pids_on(HOSTS[1]) if is_rank(pid, ground.trainer))
        os.kill(victim, signal.SIGKILL)
        codes = ends_of(jobs, PATIENCE)
        check(codes == [0, 0], f"exit codes {codes}{''.join(job.tail() for job in jobs)}")
    runs.same(out, ground.reference(SIZE))
    return "one rank killed on the second host, all started again: the bits of an undisturbed run"


def pids_on(host):
    listed = subprocess.run(["ip", "netns", "pids", host], capture_output=True, text=True, check=True)
    return [int(word) for word in listed.stdout.split()]


def is_rank(pid, program):
    with contextlib.suppress(OSError):
        return os.readlink(f"/proc/{pid}/exe") == str(program)
    return False
