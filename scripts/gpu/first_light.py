"""`scripts/bench-gpu first-light`: everything that has to be known of a new machine, in one call of some minutes.

Each step is a process of its own with a limit of its own (`plan`, `supervise`). Its figures are on the disk when it
ends, and the report is written anew: whatever ends this call, what was found until then is there. A call that
continues another does what that one has not done.
"""

import contextlib
import hashlib
import os
import pathlib
import shutil
import sys
import tarfile
import time

import archive
import machine
import plan
import results
import steps
import supervise
import verdict
from machine import say

# Exit codes of a step's process.
SKIPPED = 77
# States that a continuing call leaves as they are; failures too, unless --retry.
FINAL = ("ok", "skipped")
BROKEN = ("failed", "over its limit")


def work_folder(out):
    """Where a set is rendered: not in `out`, which may travel. It stays for the call that continues."""
    return archive.temporary(hashlib.sha256(str(out.resolve()).encode()).hexdigest()[:12])


def run_step(options):
    """One step in this process; the exit code."""
    options.work = work_folder(options.out)
    try:
        steps.run(machine.Machine(options), options.step)
    except steps.Skip as reason:
        say(str(reason))
        return SKIPPED
    except machine.OutOfMemory:
        say("out of memory on the device")
        return 1
    except machine.OutOfTime:
        say("out of time")
        return 1
    return 0


def command_of(step, options):
    """This script again, for one step."""
    words = [sys.executable, "-B", pathlib.Path(__file__).with_name("main.py"), "first-light", "--step", step.key]
    for name in ("out", "device", "arch", "size", "batch", "steps", "warmup", "precision", "shards", "data"):
        if getattr(options, name) is not None:
            words += [f"--{name}", getattr(options, name)]
    return words


class Call:
    """One call: its end, its results so far, how each step ended."""

    def __init__(self, options, planned, command=command_of):
        self.options, self.planned, self.command = options, planned, command
        self.deadline = time.monotonic() + 60 * options.minutes - plan.RESERVE
        self.out = options.out
        if self.out.exists() and not options.go_on:
            move_aside(self.out)
        (self.out / "logs").mkdir(parents=True, exist_ok=True)
        lines = results.read(self.out)
        self.machine = archive.machine_id()
        self.states = {line["step"]: line for line in lines if line.get("stage") == "step" and "step" in line}
        self.interruption = supervise.Interruption()
        supervise.adopt_orphans()
        self.record("call", minutes=options.minutes)

    def record(self, stage, **result):
        with contextlib.suppress(OSError):
            results.append(self.out, {"stage": stage, "machine": self.machine, **result})

    def is_done(self, step):
        """Whether an earlier call has done the step, as far as that is of use here."""
        state = self.states.get(step.key)
        if state is None:
            return False
        if step.key == "set" and state["state"] == "ok":
            return (work_folder(self.out) / "set" / "shards").exists()
        # One that had less than it may take can have more now.
        was_short = state["state"] == "over its limit" and state.get("limit", 0) < step.most
        is_broken = state["state"] in BROKEN and not self.options.retry and not was_short
        return state["state"] in FINAL or is_broken

    def end_with(self, step, state, **more):
        line = {"state": state, **more}
        self.states[step.key] = {**line, "machine": self.machine}
        self.record("step", step=step.key, **line)
        why = f": {more['why']}" if more.get("why") else ""
        say(f"first-light: {step.key}: {state}{why}")
        self.publish()

    def hindrance(self, step):
        """Why a step cannot begin, and as what that counts."""
        if self.interruption.name:
            return "interrupted", f"by {self.interruption.name}"
        if step.needs and not self.has_succeeded(step.needs):
            return "waits", f"step {step.needs} has not succeeded"
        beside = self.states.get(step.beside, {})
        if step.beside and (beside.get("machine") != self.machine or beside["state"] != "ok"):
            return "waits", f"step {step.beside} has not succeeded on this machine"
        return None

    def has_succeeded(self, key):
        is_given = key == "set" and self.options.shards is not None
        return is_given or self.states.get(key, {}).get("state") == "ok"

    def do(self, step, later):
        """Runs one step, or says why not."""
        hindrance = self.hindrance(step)
        if hindrance:
            return self.end_with(step, hindrance[0], why=hindrance[1])
        left = self.deadline - time.monotonic()
        limit = plan.allot(step, later, left)
        if limit is None:
            return self.end_with(step, "no time left", why=f"{max(left, 0):.0f} s are left, it needs {step.least:.0f}")
        say(f"first-light: {step.key} (at most {limit:.0f} s)")
        log = verdict.log_path(self.out, step.key)
        ending = supervise.run(self.command(step, self.options), log, limit, self.interruption)
        if ending.over_limit or ending.interrupted:
            # A compiler that was killed leaves files that are cut off, which later steps would load.
            shutil.rmtree(machine.compiled(), ignore_errors=True)
        state, why = self.judge(ending, log, is_last=limit >= left - 1)
        if ending.left_over:
            why = f"{why}; {ending.left_over} of its processes could not be killed"
        return self.end_with(step, state, seconds=round(ending.seconds, 1), limit=round(limit, 1), why=why)

    def judge(self, ending, log, is_last):
        """State and reason."""
        if ending.interrupted:
            return "interrupted", f"by {self.interruption.name}"
        if ending.over_limit:
            # Its own limit, or the end of the call?
            return ("no time left", "stopped at the end of the call") if is_last else ("over its limit", "killed")
        if ending.code == 0:
            return "ok", ""
        last = (verdict.tail(log).strip().splitlines() or ["no message"])[-1]
        if ending.code == SKIPPED:
            return "skipped", last
        return "failed", last if ending.code > 0 else f"killed by signal {-ending.code}; {last}"

    def publish(self):
        """The report and the results, where they are looked for. Nothing here may end the call."""
        try:
            report = verdict.write(results.read(self.out), self.planned, self.states, self.options)
            (self.out / "report.md").write_text(report + "\n")
            if self.options.deliver:
                self.options.deliver.mkdir(parents=True, exist_ok=True)
                for name in ("report.md", results.NAME):
                    shutil.copy(self.out / name, self.options.deliver / name)
                self.deliver("logs", "logs/*.log")
        except Exception as error:
            report = f"first-light: the report cannot be written: {type(error).__name__}: {error}"
            say(report)
        return report

    def deliver(self, kind, files):
        """An archive of files of `out`."""
        with tarfile.open(self.options.deliver / f"{kind}.tar.gz", "w:gz", compresslevel=1) as packed:
            for path in sorted(self.out.glob(files)):
                packed.add(path, arcname=path.name)

    def deliver_traces(self):
        """Apart and last, since they may be too large to be kept."""
        if not self.options.deliver:
            return
        try:
            self.deliver("traces", "trace_*.json.gz")
        except Exception as error:
            say(f"first-light: traces cannot be delivered: {type(error).__name__}: {error}")

    def run(self):
        """Every step that is not done; the exit code."""
        todo = [step for step in self.planned if not self.is_done(step)]
        while todo:
            step = todo.pop(0)
            try:
                self.do(step, todo)
            except Exception as error:
                self.end_with(step, "failed", why=f"{type(error).__name__}: {error}")
        report = self.publish()
        self.deliver_traces()
        with contextlib.suppress(OSError):
            print(report, flush=True)
        if self.interruption.name:
            return 130
        return 1 if any(state["state"] in BROKEN for state in self.states.values()) else 0


def move_aside(folder):
    """Renames `out` to the first free of `out.1`, `out.2`, …"""
    number = 1
    while folder.with_name(f"{folder.name}.{number}").exists():
        number += 1
    os.rename(folder, folder.with_name(f"{folder.name}.{number}"))


def run(options):
    """The command; the exit code."""
    if options.step:
        return run_step(options)
    planned = plan.chosen(plan.steps(options.slower), options.only)
    if options.plan or options.split:
        print(plan.describe(planned, options.split or [options.minutes]))
        return 0
    return Call(options, planned).run()
