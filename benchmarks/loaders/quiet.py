"""CPU time of the machine and of a process with all its children, and whether others use the machine."""

import os
import pathlib
import time

TICKS_PER_S = os.sysconf("SC_CLK_TCK")
# Others may use so many cores while something is measured.
NOISE_CORES = 0.1
# A quiet second is waited for so long.
WAIT_SECS = 60


def machine_cpu_s():
    """CPU seconds that the whole machine has spent since it started."""
    fields = [int(field) for field in pathlib.Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:9]]
    idle, waiting = fields[3], fields[4]
    return (sum(fields) - idle - waiting) / TICKS_PER_S


def own_cpu_s():
    """CPU seconds of this process and of all its children, living and ended."""
    children, spent = {}, {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                text = pathlib.Path("/proc", entry, "stat").read_text()
            except OSError:
                continue
            fields = text[text.rindex(")") + 2 :].split()
            children.setdefault(int(fields[1]), []).append(int(entry))
            spent[int(entry)] = sum(map(int, fields[11:15]))
    total, todo = 0, [os.getpid()]
    while todo:
        process = todo.pop()
        total += spent.get(process, 0)
        todo += children.get(process, [])
    return total / TICKS_PER_S


class Stopwatch:
    """Wall time, own CPU time and what others used, since it was made."""

    def __init__(self):
        self.machine, self.own, self.started = machine_cpu_s(), own_cpu_s(), time.perf_counter()

    def read(self):
        """Seconds, own CPU seconds, and how many cores others used."""
        seconds = time.perf_counter() - self.started
        own, machine = own_cpu_s() - self.own, machine_cpu_s() - self.machine
        return seconds, own, max(0.0, machine - own) / seconds


def wait():
    """Returns after a second in which others used little, or when there has been none for a long time."""
    for _ in range(WAIT_SECS):
        watch = Stopwatch()
        time.sleep(1)
        if watch.read()[2] < 1.5 * NOISE_CORES:
            return


def measured(action, tries):
    """What `action` returns, the seconds and CPU seconds that it took, and how many cores others used meanwhile.

    Waits for a quiet second first. When others used more than NOISE_CORES, it is done again, up to `tries` times; then
    what came last is taken. With 0 nothing is waited for.
    """
    for left in reversed(range(tries + 1)):
        if tries:
            wait()
        watch = Stopwatch()
        result = action()
        seconds, cpu, noise = watch.read()
        if noise <= NOISE_CORES or left == 0:
            return result, seconds, cpu, noise
    raise AssertionError("the last try is taken as it is")
