"""Runs a command with a limit, and leaves nothing of it running: no child, no grandchild, whatever group they chose.

Orphans of the command become children of this process (on Linux), so that they are found by walking down from here.
Nothing else may be running below this process meanwhile.
"""

import contextlib
import ctypes
import dataclasses
import os
import pathlib
import signal
import subprocess
import time

PR_SET_CHILD_SUBREAPER = 36
# Seconds between asking to end and killing, and how long the killed may take to be gone: one that waits for a driver
# cannot be killed at once.
GRACE, GONE = 2.0, 5.0
POLL = 0.05


@dataclasses.dataclass
class Ending:
    """How a command ended: its exit code (negative: the signal that killed it), and whether it was stopped."""

    code: int
    seconds: float
    over_limit: bool = False
    interrupted: bool = False
    # Processes that outlived even SIGKILL.
    left_over: int = 0


class Interruption:
    """Notes SIGINT, SIGTERM and SIGHUP; whoever waits looks here."""

    def __init__(self):
        self.name = None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self.note)

    def note(self, number, _frame):
        self.name = self.name or signal.Signals(number).name


def adopt_orphans():
    """From now on orphans below this process are its children; where that cannot be had, the group has to do."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def descendants():
    """Processes below this one that have not ended."""
    children = {}
    for stat in pathlib.Path("/proc").glob("[0-9]*/stat"):
        try:
            # The name, in brackets, may hold anything.
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
        except (OSError, ValueError):
            continue
        children.setdefault(int(parent), []).append((int(stat.parent.name), state))
    found, todo = [], [os.getpid()]
    while todo:
        for child, state in children.get(todo.pop(), []):
            todo.append(child)
            if state not in "ZX":
                found.append(child)
    return found


def send(number, group):
    """A signal to the command's group and to everything below this process."""
    with contextlib.suppress(OSError):
        os.killpg(group, number)
    for child in descendants():
        with contextlib.suppress(OSError):
            os.kill(child, number)


def reap():
    """Takes leave of adopted children that have ended."""
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def wait(process, seconds, is_over=lambda: False):
    """Whether the process ended in that time, and before something else is over."""
    until = time.monotonic() + seconds
    while process.poll() is None:
        if time.monotonic() >= until or is_over():
            return False
        time.sleep(POLL)
    return True


def end(process):
    """Asks, then kills; the number of processes that are still there."""
    send(signal.SIGTERM, process.pid)
    wait(process, GRACE)
    return kill(process)


def kill(process):
    """Kills the process and all below this one."""
    until = time.monotonic() + GONE
    while True:
        send(signal.SIGKILL, process.pid)
        has_ended = process.poll() is not None
        if has_ended:
            reap()
        left = descendants()
        if (has_ended and not left) or time.monotonic() >= until:
            return len(left)
        time.sleep(POLL)


def run(command, log, limit, interruption, environment=None):
    """Runs a command whose output goes to the file `log`; `interruption.name` ends it."""
    began = time.monotonic()
    with open(log, "ab") as output:
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            start_new_session=True,
        )
    has_ended = wait(process, limit, lambda: interruption.name)
    ending = Ending(0, 0.0)
    ending.interrupted = not has_ended and interruption.name is not None
    ending.over_limit = not has_ended and not ending.interrupted
    # One that ended by itself may have left others behind.
    ending.left_over = kill(process) if has_ended else end(process)
    ending.code = process.poll() if process.poll() is not None else -signal.SIGKILL
    ending.seconds = time.monotonic() - began
    return ending
