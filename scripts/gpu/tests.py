"""The tests that `cargo test` leaves out because they need a GPU."""

import re

from machine import TESTS, OutOfTime, fail, say


def run_one(machine, name):
    """Runs the tests of one program; whether all passed."""
    # One at a time: they share the GPU. The loader's soak test needs no GPU.
    command = [str(machine.program(name)), "--ignored", "--test-threads", "1", "--skip", "soak"]
    # Tests of the program look for it where it was built, which is another machine.
    program = str(machine.program("trainer"))
    code, text = machine.finish(command, max(machine.seconds_left(), 1), TRAINER_PROGRAM=program)
    counts = re.search(r"(\d+) passed; (\d+) failed", text)
    passed, broken = map(int, counts.groups()) if counts else (0, 1)
    machine.record("tests", side=name, passed=passed, not_passed=broken)
    say(f"tests: {name}: {passed} passed, {broken} failed")
    if code != 0 or broken:
        say((text + machine.messages)[-4000:])
    return code == 0 and not broken


def run(machine):
    if machine.is_cpu:
        return say("tests: left out, they need a GPU")
    failed = []
    for name in TESTS:
        try:
            if not run_one(machine, name):
                failed.append(name)
        except OutOfTime:
            return say(f"tests: no time is left for {name} in this call")
    if failed:
        fail(f"tests failed: {', '.join(failed)}")
