"""The tests that `cargo test` leaves out because they need a GPU."""

import re
import subprocess

from machine import TESTS, fail, say


def run(machine):
    if machine.is_cpu:
        return say("tests: left out, they need a GPU")
    failed = []
    for name in TESTS:
        # One at a time: they share the GPU. The loader's soak test needs no GPU.
        command = [machine.program(name), "--ignored", "--test-threads", "1", "--skip", "soak"]
        try:
            left = max(machine.seconds_left(), 1)
            # Tests of the program look for it where it was built, which is another machine.
            environment = {**machine.environment(), "TRAINER_PROGRAM": str(machine.program("trainer"))}
            done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=left)
        except subprocess.TimeoutExpired:
            return say(f"tests: no time is left for {name} in this call")
        counts = re.search(r"(\d+) passed; (\d+) failed", done.stdout)
        passed, broken = map(int, counts.groups()) if counts else (0, 1)
        machine.record("tests", side=name, passed=passed, not_passed=broken)
        say(f"tests: {name}: {passed} passed, {broken} failed")
        if done.returncode != 0 or broken:
            say((done.stdout + done.stderr)[-4000:])
            failed.append(name)
    if failed:
        fail(f"tests failed: {', '.join(failed)}")
