"""Starts commands, finds the ranks among what they start, and sees to it that nothing of them stays behind."""

import contextlib
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "gpu"))

import supervise  # noqa: E402

LAUNCHERS = ("RANK", "WORLD_SIZE", "LOCAL_", "MASTER_", "TORCHELASTIC_", "OMPI_", "PMI_", "MPI_", "SLURM_", "RUST_LOG")
TICKS = os.sysconf("SC_CLK_TCK")


class Failed(Exception):
    """Something does not hold; the text says what."""


def check(holds, text):
    if not holds:
        raise Failed(text)


def wait_until(holds, seconds, what):
    """The first value of `holds()` that counts as true."""
    until = time.monotonic() + seconds
    while not (value := holds()):
        check(time.monotonic() < until, f"{what}: not within {seconds} s")
        time.sleep(0.005)
    return value


def environment(**more):
    """This one's, without what a launcher may have left in it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(LAUNCHERS)}
    return kept | {"RUST_BACKTRACE": "0"} | {name: str(value) for name, value in more.items()}


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Job:
    """A command under way; what it says goes to a file."""

    def __init__(self, command, log, env=None):
        self.log = log
        with open(log, "wb") as output:
            self.process = subprocess.Popen(
                [str(word) for word in command],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=env or environment(),
                start_new_session=True,
            )

    def text(self):
        return self.log.read_text(errors="replace")

    def tail(self):
        return "".join(f"\n    | {line}" for line in self.text().splitlines()[-12:])

    def code(self):
        """Its exit code, negative for a signal; `None` while it runs."""
        return self.process.poll()

    def ends(self, seconds, *codes):
        """Waits for the end, with one of these codes."""
        wait_until(lambda: self.code() is not None, seconds, f"the end of {self.log.name}{self.tail()}\n")
        text = f"{self.log.name}: exit code {self.code()}, not {' or '.join(map(str, codes))}{self.tail()}"
        check(self.code() in codes, text)
        return self.code()

    def send(self, number):
        os.kill(self.process.pid, number)


def ends_of(jobs, seconds):
    """Exit codes of all of these, which end in that time."""
    running = lambda: [job.log.name for job in jobs if job.code() is None]  # noqa: E731
    with contextlib.suppress(Failed):
        wait_until(lambda: not running(), seconds, "")
    check(not running(), f"after {seconds} s these still run: {running()}{''.join(job.tail() for job in jobs)}")
    return [job.code() for job in jobs]


def ranks_below(program, size):
    """Process ids of all ranks below this process, by rank, if all of them are there."""
    found = {}
    for pid in supervise.descendants():
        with contextlib.suppress(OSError):
            if os.readlink(f"/proc/{pid}/exe") != str(program):
                continue
            words = pathlib.Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            ranks = [int(word[5:]) for word in words if word.startswith(b"RANK=")]
            if ranks or size == 1:
                found[(ranks or [0])[0]] = pid
    return [found[rank] for rank in range(size)] if len(found) == size else None


def cpu_seconds(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def is_waiting(pid):
    """Whether a process has computed next to nothing for a while."""
    before = cpu_seconds(pid)
    time.sleep(0.3)
    return cpu_seconds(pid) - before <= 0.02


def nothing_is_left(within=5):
    """Fails, and kills them, if processes are left."""
    until = time.monotonic() + within
    while left := supervise.descendants():
        supervise.reap()
        if time.monotonic() > until:
            names = [command_of(pid) for pid in left]
            clear()
            raise Failed(f"left behind: {names}")
        time.sleep(0.05)
    supervise.reap()


def command_of(pid):
    with contextlib.suppress(OSError):
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return b" ".join(words[:3]).decode(errors="replace")
    return "?"


def clear():
    """Kills all that this process has started."""
    until = time.monotonic() + 10
    while (left := supervise.descendants()) and time.monotonic() < until:
        for pid in left:
            with contextlib.suppress(OSError):
                os.kill(pid, signal.SIGKILL)
        supervise.reap()
        time.sleep(0.05)
