"""Runs the peer's script with PyTorch's profiler on over its measured steps: peer_trace.py SCRIPT TRACE OPTIONS...

The script reads the clock when it starts, when it is warm, and around each of its three blocks of steps. The profiler
begins with the second reading and ends with the last.
"""

import sys
import time

import torch
from agree import load_peer

WARM, LAST = 2, 8


class Clock:
    """Stands in for the script's `time`."""

    def __init__(self, path):
        activities = [torch.profiler.ProfilerActivity.CPU]
        if torch.cuda.is_available():
            activities.append(torch.profiler.ProfilerActivity.CUDA)
        self.profiler = torch.profiler.profile(activities=activities)
        self.path, self.readings = path, 0

    def perf_counter(self):
        self.readings += 1
        if self.readings == WARM:
            self.profiler.start()
        if self.readings == LAST:
            self.profiler.stop()
            self.profiler.export_chrome_trace(self.path)
        return time.perf_counter()


def main():
    script, path, *options = sys.argv[1:]
    peer = load_peer(script)
    peer.time = clock = Clock(path)
    sys.argv = [script, *options]
    peer.main()
    if clock.readings != LAST:
        sys.exit(f"peer_trace: {script} read the clock {clock.readings} times; {LAST} are expected")


if __name__ == "__main__":
    main()
