"""`first-light` with made-up steps: whatever one does, the next runs, nothing stays behind, the report is written.

python -m unittest discover -s scripts/gpu      # seconds; needs neither torch nor a build
"""

import contextlib
import io
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import types
import unittest
from unittest import mock

import archive
import first_light
import machine
import plan
import results
import steps
import supervise
import verdict

import tests

# Far more than anything here takes; what hangs sleeps so long.
LONG = 60


def step(key, share=5.0, least=0.1, most=10.0, **more):
    return plan.Step(key, key, share, least, most, **more)


def shell(scripts):
    """The command of every step: a shell script by its key."""
    return lambda step, _options: ["bash", "-c", scripts[step.key]]


def options_for(folder, **changed):
    values = {"out": pathlib.Path(folder) / "out", "minutes": 1.0, "go_on": False, "retry": False, "deliver": None}
    sizes = {"device": "cuda", "arch": "resnet50", "size": 224, "batch": 256, "precision": None, "shards": None}
    return types.SimpleNamespace(**{**values, **sizes, **changed})


def is_running(pid):
    with contextlib.suppress(OSError):
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


class Calls(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory()
        self.addCleanup(folder.cleanup)
        self.folder = pathlib.Path(folder.name)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            self.addCleanup(signal.signal, number, signal.getsignal(number))
        self.cache = self.folder / "inductor"
        values = [(plan, "RESERVE", 0.0), (supervise, "GRACE", 0.5), (machine, "compiled", lambda: self.cache)]
        for owner, name, value in values:
            patched = mock.patch.object(owner, name, value)
            patched.start()
            self.addCleanup(patched.stop)

    def call(self, planned, scripts, **changed):
        """Runs a call; its exit code, states by key, and report."""
        options, shown = options_for(self.folder, **changed), io.StringIO()
        with contextlib.redirect_stdout(shown), contextlib.redirect_stderr(io.StringIO()):
            call = first_light.Call(options, planned, shell(scripts))
            code = call.run()
        return code, {key: state["state"] for key, state in call.states.items()}, shown.getvalue()

    def test_what_a_killed_step_has_compiled_is_not_kept(self):
        for script, is_kept in (("exit 0", True), (f"sleep {LONG}", False)):
            self.cache.mkdir(exist_ok=True)
            self.call([step("a", most=0.5)], {"a": script})
            self.assertEqual(self.cache.exists(), is_kept)

    def test_a_step_that_hangs_is_killed_with_its_children_and_the_next_one_runs(self):
        note = self.folder / "pids"
        # One child in the group, one in a session of its own; all ignore the friendly signal.
        hangs = (
            f"trap '' TERM; sleep {LONG} & echo $! >>{note}; "
            f"setsid bash -c 'trap \"\" TERM; echo $$ >>{note}; sleep {LONG}; :' & echo $$ >>{note}; sleep {LONG}; :"
        )
        began = time.monotonic()
        code, states, report = self.call([step("hangs", most=2.0), step("next")], {"hangs": hangs, "next": "exit 0"})
        self.assertLess(time.monotonic() - began, LONG / 2)
        self.assertEqual((code, states), (1, {"hangs": "over its limit", "next": "ok"}))
        pids = [int(pid) for pid in note.read_text().split()]
        self.assertEqual((len(pids), [pid for pid in pids if is_running(pid)]), (3, []))
        self.assertIn("| hangs | over its limit |", report)

    def test_what_a_step_leaves_running_is_killed_when_it_ends(self):
        note = self.folder / "pid"
        leaves = f"setsid sleep {LONG} & echo $! >{note}; exit 0"
        _, states, _ = self.call([step("leaves")], {"leaves": leaves})
        self.assertEqual(states, {"leaves": "ok"})
        self.assertFalse(is_running(int(note.read_text())))

    def test_crashes_and_skips_are_lines_with_reasons(self):
        scripts = {"crashes": "echo the end of its log; kill -SEGV $$", "lacks": "echo no such thing; exit 77", "c": ""}
        code, states, report = self.call([step(key) for key in scripts], scripts)
        self.assertEqual((code, states), (1, {"crashes": "failed", "lacks": "skipped", "c": "ok"}))
        self.assertIn("killed by signal 11; the end of its log", report)
        self.assertIn("no such thing", report)
        self.assertIn("```\nthe end of its log\n```", report)

    def test_a_command_that_cannot_be_started_is_a_failure(self):
        options = options_for(self.folder)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            call = first_light.Call(options, [step("a"), step("b")], lambda step, _: [f"/nowhere/{step.key}"])
            self.assertEqual(call.run(), 1)
        self.assertEqual([state["state"] for state in call.states.values()], ["failed", "failed"])

    def test_steps_wait_for_what_they_need(self):
        planned = [step("set"), step("reads", needs="set"), step("second", beside="first")]
        _, states, _ = self.call(planned, {"set": "exit 1", "reads": "", "second": ""})
        self.assertEqual(states, {"set": "failed", "reads": "waits", "second": "waits"})
        _, states, _ = self.call(planned[:2], {"set": "exit 77", "reads": ""}, shards=self.folder)
        self.assertEqual(states, {"set": "skipped", "reads": "ok"})

    def test_a_second_call_does_what_the_first_had_no_time_for(self):
        note, deliver = self.folder / "runs", self.folder / "delivered"
        planned = [step("a"), step("long", least=LONG), step("failed")]
        scripts = {"a": f"echo a >>{note}", "long": f"echo long >>{note}", "failed": f"echo failed >>{note}; exit 1"}
        _, states, _ = self.call(planned, scripts, minutes=LONG / 2 / 60)
        self.assertEqual(states, {"a": "ok", "long": "no time left", "failed": "failed"})
        with open(self.folder / "out" / results.NAME, "a") as file:
            file.write('{"stage": "cut off in the midd')
        _, states, _ = self.call(planned, scripts, minutes=2 * LONG / 60, go_on=True, deliver=deliver)
        self.assertEqual(states, {"a": "ok", "long": "ok", "failed": "failed"})
        self.assertEqual(note.read_text().split(), ["a", "failed", "long"])
        self.call(planned, scripts, go_on=True, retry=True)
        self.assertEqual(note.read_text().split()[3:], ["failed"])
        self.assertEqual(sorted(os.listdir(deliver)), ["logs.tar.gz", "report.md", "results.jsonl", "traces.tar.gz"])

    def test_a_step_that_the_end_of_a_call_stopped_is_done_by_the_next(self):
        planned = [step("cut", most=LONG)]
        _, states, _ = self.call(planned, {"cut": f"sleep {LONG}"}, minutes=0.5 / 60)
        self.assertEqual(states, {"cut": "no time left"})
        _, states, _ = self.call(planned, {"cut": ""}, go_on=True)
        self.assertEqual(states, {"cut": "ok"})

    def test_a_step_that_was_killed_before_its_most_is_tried_again(self):
        # What belongs to the later step leaves the first one two seconds.
        later = step("later", share=LONG - 2)
        for most, expected in ((LONG, "ok"), (0.5, "over its limit")):
            planned, out = [step("slow", share=0.1, most=most), later], self.folder / f"most-{most}"
            scripts = {"slow": f"sleep {LONG}", "later": ""}
            _, states, _ = self.call(planned, scripts, minutes=LONG / 60, out=out)
            self.assertEqual(states["slow"], "over its limit")
            _, states, _ = self.call(planned, {**scripts, "slow": ""}, minutes=LONG / 60, out=out, go_on=True)
            self.assertEqual(states["slow"], expected)

    def test_a_new_call_moves_earlier_results_aside(self):
        for _ in range(2):
            self.call([step("a")], {"a": ""})
        self.assertEqual(sorted(os.listdir(self.folder)), ["out", "out.1"])

    def test_a_signal_ends_the_step_and_the_report_is_still_written(self):
        note = self.folder / "pid"
        for number in (signal.SIGTERM, signal.SIGINT):
            note.unlink(missing_ok=True)
            script = (
                f"import test_first_light as t, first_light as f, sys\n"
                f"scripts = {{'a': '', 'b': 'echo $$ >{note}; sleep {LONG}; :', 'c': ''}}\n"
                f"options, planned = t.options_for({str(self.folder)!r}), [t.step(key) for key in scripts]\n"
                f"sys.exit(f.Call(options, planned, t.shell(scripts)).run())"
            )
            here = pathlib.Path(__file__).parent
            with subprocess.Popen(
                [sys.executable, "-B", "-c", script], cwd=here, stdout=-1, stderr=subprocess.DEVNULL, text=True
            ) as process:
                while not (note.exists() and note.read_text()):
                    time.sleep(0.02)
                process.send_signal(number)
                report, _ = process.communicate(timeout=20)
            self.assertEqual(process.returncode, 130)
            self.assertFalse(is_running(int(note.read_text())))
            for row in ("| a | ok |", "| b | interrupted |", "| c | interrupted |"):
                self.assertIn(row, report)
            self.assertEqual((self.folder / "out" / "report.md").read_text(), report)


class Plans(unittest.TestCase):
    def test_the_shares_fit_into_thirteen_minutes_and_every_step_can_begin(self):
        calls, rest = plan.split(plan.steps(), [13])
        self.assertLessEqual(sum(step.share for step in calls[0][1]) + plan.RESERVE, 780)
        self.assertEqual([step.share for step in rest], [0] * len(rest))
        for each in plan.steps():
            self.assertLessEqual(each.least, each.share or each.most)
            self.assertLessEqual(each.share, each.most)

    def test_a_step_cannot_take_what_belongs_to_later_ones(self):
        later = [step("b", share=30), step("c", share=20)]
        self.assertEqual(plan.allot(step("a", share=10, most=100), later, 70), 20)
        self.assertEqual(plan.allot(step("a", share=10, most=15), later, 70), 15)
        # Where not all of them fit, the first ones count.
        self.assertEqual(plan.allot(step("a", share=10, most=100), later, 45), 15)
        self.assertEqual(plan.allot(step("a", share=10, most=100), [step("b", share=40), step("c", share=20)], 45), 45)
        self.assertEqual(plan.allot(step("a", share=10, least=3, most=100), later, 5), 5)
        self.assertIsNone(plan.allot(step("a", share=10, least=3), later, 2))

    def test_a_slower_machine_gets_longer_limits(self):
        self.assertEqual([3 * each.most for each in plan.steps()], [each.most for each in plan.steps(slower=3)])
        self.assertEqual([3 * each.share for each in plan.steps()], [each.share for each in plan.steps(slower=3)])

    def test_steps_are_chosen_by_key_or_kind(self):
        keys = [each.key for each in plan.chosen(plan.steps(), ["tests", "time/ours/2"])]
        self.assertEqual((len(keys), keys[-1]), (9, "tests/test-run"))
        self.assertEqual(plan.chosen(plan.steps(), None), plan.steps())

    def test_every_step_has_an_action(self):
        self.assertLessEqual({step.key.split("/")[0] for step in plan.steps()}, set(steps.ACTIONS))


class Reports(unittest.TestCase):
    def report(self, lines, states=None, **changed):
        return verdict.write(lines, [step("a")], states or {}, options_for("/nowhere", **changed))

    def test_figures_are_marked(self):
        lines = [
            {"stage": "time", "machine": "m", "batch": 256, "side": "ours", "pairs_per_s": 130.0, "step_ms": 2.0},
            {"stage": "time", "machine": "m", "batch": 256, "side": "eager", "pairs_per_s": 100.0, "step_ms": 2.6},
            {"stage": "time", "machine": "m", "batch": 256, "side": "default", "pairs_per_s": 150.0, "step_ms": 1.7},
            {"stage": "memory", "batch": 1024, "pairs_per_s": 99.0, "peak_gib": 66.0, "gib": 55.0},
            {"stage": "threads", "threads": 16, "pairs_per_s": 7100.0},
        ]
        report = self.report(lines)
        self.assertIn("ours is 1.30 x | ≥ 1.2 x | ok |", report)
        self.assertIn("ours is 0.87 x | ≥ 1.0 x | **short** |", report)
        self.assertIn("(+20.0 %) | ± 10 % of the estimate | **short** |", report)
        self.assertIn("7100 pairs/s, 444 a core | ≥ 7000 | ok |", report)
        # What is asked holds for that step on a GPU alone.
        self.assertNotIn("short", self.report(lines, device="cpu"))

    def test_machines_are_not_compared(self):
        lines = [
            {"stage": "time", "machine": machine, "batch": 256, "side": side, "pairs_per_s": speed, "step_ms": 1.0}
            for machine, side, speed in (
                ("m", "ours", 100.0),
                ("m", "eager", 50.0),
                ("n", "ours", 300.0),
                ("o", "eager", 10.0),
            )
        ]
        self.assertIn("ours is 2.00 x", self.report(lines))
        self.assertIn("not timed on that machine", self.report(lines[1:]))

    def test_lines_that_are_not_what_they_should_be_are_named(self):
        report = self.report([{"stage": "memory"}, {"stage": "threads", "threads": 1}, {"no": "stage"}])
        self.assertIn("| memory | cannot be shown: KeyError", report)
        self.assertIn("| loading | cannot be shown: KeyError", report)

    def test_a_report_is_no_longer_than_what_is_kept(self):
        with tempfile.TemporaryDirectory() as folder:
            options = options_for(folder)
            (options.out / "logs").mkdir(parents=True)
            states = {}
            for each in plan.steps():
                verdict.log_path(options.out, each.key).write_text("x" * 10_000 + "\n" + ("y" * 150 + "\n") * 10)
                states[each.key] = {"state": "failed", "seconds": 1, "limit": 2, "why": "w" * 1000}
            report = verdict.write([], plan.steps(), states, options)
        self.assertLessEqual(len(report), verdict.MOST_CHARACTERS)
        # A log is shown whole or not at all.
        self.assertTrue(report.endswith("y\n```"))

    def test_timings_of_different_work_do_not_count(self):
        self.assertIn("no speed below counts", self.report([], {"agree": {"state": "failed"}}))
        self.assertNotIn("no speed below counts", self.report([], {"agree": {"state": "ok"}}))


class Failures(unittest.TestCase):
    def test_the_reason_is_the_last_error_else_the_last_line(self):
        text = "Traceback\ntorch._inductor.exc.InductorError: a.so: file too short\n\nSet TORCHDYNAMO_VERBOSE"
        self.assertIn("file too short", machine.reason(text))
        self.assertEqual(machine.reason("one\ntwo\n"), "two")
        self.assertEqual(machine.reason(""), "no message")

    def test_failed_tests_are_named_with_what_their_panics_say(self):
        text = "test a::b ... ok\ntest a::c ... FAILED\n\nthread 'a::c' (7) panicked at x.rs:1:2:\n3e-3 > 1e-4\nnote"
        self.assertEqual(tests.failures(text), "a::c; 3e-3 > 1e-4")
        self.assertEqual(tests.failures("test a::b ... ok\n"), "")


class Archives(unittest.TestCase):
    def test_what_is_packed_is_unpacked_once(self):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "program").write_bytes(os.urandom(1000))
            with (
                mock.patch.multiple(archive, PACK=folder, PROGRAMS=folder / "p.tar.xz"),
                mock.patch.object(tempfile, "gettempdir", return_value=str(folder)),
            ):
                archive.write({"renamed": folder / "program"})
                first, second = archive.unpacked(), archive.unpacked()
                self.assertEqual(first, second)
                self.assertEqual((first / "renamed").read_bytes(), (folder / "program").read_bytes())


class Results(unittest.TestCase):
    def test_a_line_that_was_cut_off_spoils_no_other(self):
        with tempfile.TemporaryDirectory() as folder:
            results.append(folder, {"a": 1})
            with open(pathlib.Path(folder) / results.NAME, "a") as file:
                file.write(json.dumps({"b": 2})[:-3])
            results.append(folder, {"c": 3})
            self.assertEqual(results.read(folder), [{"a": 1}, {"c": 3}])


if __name__ == "__main__":
    unittest.main()
