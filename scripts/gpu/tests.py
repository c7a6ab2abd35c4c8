"""The tests that `cargo test` leaves out because they need a GPU."""

import re

from machine import TESTS, OutOfTime, fail, say


def run_one(machine, name):
    """Runs the tests of one program; those that failed, and why, in a line, or nothing."""
    # One at a time: they share the GPU. The loader's soak test needs no GPU.
    command = [str(machine.program(name)), "--ignored", "--test-threads", "1", "--skip", "soak"]
    # Tests of the program look for it where it was built, which is another machine.
    program = str(machine.program("trainer"))
    # Shown as they come: of a test that hangs, its name is what one wants to know.
    code, text = machine.finish(command, max(machine.seconds_left(), 1), shown=True, TRAINER_PROGRAM=program)
    counts = re.search(r"(\d+) passed; (\d+) failed", text)
    passed, broken = map(int, counts.groups()) if counts else (0, 1)
    machine.record("tests", side=name, passed=passed, not_passed=broken)
    say(f"tests: {name}: {passed} passed, {broken} failed")
    return failures(text + machine.messages) or f"code {code}" if code != 0 or broken else ""


def failures(text):
    """Names of failed tests, and what their panics say."""
    names = re.findall(r"^test (\S+) .*FAILED$", text, re.MULTILINE)
    panics = re.findall(r"panicked at [^\n]*\n([^\n]*)", text)
    return "; ".join(names + panics)


def run(machine):
    if machine.is_cpu:
        return say("tests: left out, they need a GPU")
    failed = []
    for name in TESTS:
        try:
            why = run_one(machine, name)
            if why:
                failed.append(f"{name} ({why})")
        except OutOfTime:
            return say(f"tests: no time is left for {name} in this call")
    if failed:
        fail(f"tests failed: {', '.join(failed)}")
