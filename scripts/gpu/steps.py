"""What the steps of `first-light` do, each in a process of its own: figures go into the results, words into its log.

A step that cannot run here raises `Skip` with the reason. Whatever else it raises is its failure.
"""

import importlib.util
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys

import agree
import plan
import results
import timing
import tracing
import training_run
from machine import ROOT, Failed, OutOfMemory, say

import sampler
import tests

CARD = "name,driver_version,memory.total,clocks.max.sm,power.limit"


class Skip(Exception):
    """Why a step cannot run here."""


def set_of(machine):
    """Folder of the shards: what was given, or where they are rendered."""
    return machine.options.shards or machine.options.work / "set" / "shards"


def has_set(machine):
    return (set_of(machine) / "catalog.parquet").exists()


def first_line(*command):
    """First line that a command prints, or why there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", timeout=20)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"absent ({type(error).__name__})"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[0] if done.returncode == 0 and lines else f"failed (code {done.returncode})"


def describe_machine(machine, _rest):
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    facts = {
        "card": first_line("nvidia-smi", f"--query-gpu={CARD}", "--format=csv,noheader"),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(memory),
        "python": platform.python_version(),
        "kernel": platform.release(),
        "gcc": first_line("gcc", "--version"),
    }
    # What has been found so far stays, should torch end this process.
    machine.record("facts", **facts)
    import torch

    triton = importlib.util.find_spec("triton")
    machine.record(
        "facts",
        torch=torch.__version__,
        cuda=torch.version.cuda,
        gpus=torch.cuda.device_count(),
        triton="there" if triton else "absent",
    )
    if not machine.is_cpu and not torch.cuda.is_available():
        raise Failed("torch sees no GPU")


def kernels(machine, _rest):
    """Whether the kernels have passed the program's own check, or why it works without them."""
    if machine.is_cpu:
        raise Skip("kernels are compiled for a GPU only")
    try:
        state = machine.trainer(8, "--steps", 1, "--warmup", 1)["fused_kernels"]
    except Failed as error:
        # A fault inside a kernel ends the program: what follows is measured without them.
        state = f"off: {error}"
        machine.record("kernels", on=False, why=state, fatal=True)
        machine.trainer(8, "--steps", 1, "--warmup", 1)
        raise
    machine.record("kernels", on=state == "on", why=state)
    if state != "on":
        raise Failed(f"fused kernels are {state}")


def gpu_tests(machine, rest):
    if machine.is_cpu:
        raise Skip("these tests need a GPU")
    why = tests.run_one(machine, rest)
    if why:
        raise Failed(why)


def compare(machine, _rest):
    agree.run(machine)


def one_turn(machine, rest):
    side, turn = rest.split("/")
    result = timing.run_one(machine, side, machine.options.batch, int(turn))
    say(f"{side}: {result['pairs_per_s']:.1f} pairs/s")


def render(machine, _rest):
    if machine.options.shards:
        raise Skip("--shards was given")
    folder = machine.options.work / "set"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    sampler.make_shards(machine, machine.options.batch, folder)


def expected_bytes(machine, batch):
    """What the program expects to need of the device."""
    o = machine.options
    sets = [f"model.arch={o.arch}", f"augment.view_px={o.size}", f"optim.precision={machine.precision}"]
    command = [machine.program("trainer"), "run", set_of(machine), "--dry-run", "--json", "--device", o.device]
    command += ["--batch", batch] + [word for value in sets for word in ("--set", value)]
    memory = json.loads(machine.run(command))["memory"]
    # Those are in main memory.
    return sum(count for name, count in memory.items() if name != "slots")


def estimated(machine, batch):
    """GiB that the program expects of a batch larger than the set has frames: a line through two smaller ones."""
    large = machine.options.batch
    small = max(large // 2, 1)
    at_small, at_large = (expected_bytes(machine, pairs) for pairs in (small, large))
    return (at_large + (at_large - at_small) * (batch - large) / max(large - small, 1)) / 2**30


def large(machine, _rest):
    batch = 4 * machine.options.batch
    try:
        result = timing.run_one(machine, "ours", batch, 1)
    except OutOfMemory:
        batch //= 2
        say(f"tried again with {batch} pairs")
        result = timing.run_one(machine, "ours", batch, 1)
    found = {"batch": batch, "pairs_per_s": result["pairs_per_s"], "peak_gib": result["peak_gib"]}
    machine.record("memory", **found, gib=None)
    if has_set(machine):
        machine.record("memory", **found, gib=estimated(machine, batch))


def train(machine, _rest):
    machine.record("train", **training_run.measure(machine, set_of(machine), machine.options.work))


def sampler_alone(machine, rest):
    cores = len(os.sched_getaffinity(0))
    if int(rest) > cores:
        raise Skip(f"this machine has {cores} cores")
    pin = [] if machine.is_cpu else ["--pinned"]
    command = [machine.program("sampler"), "bench", set_of(machine), "--threads", rest, "--seconds", 3, "--json", *pin]
    command += ["--output", machine.options.size, "--batch", machine.options.batch]
    # The program prints its object over many lines.
    code, text = machine.finish([str(word) for word in command], machine.seconds_left())
    if code != 0:
        raise RuntimeError(f"sampler bench ended with code {code}")
    found = json.loads(text)
    keys = ("pairs_per_s", "cpu_ms_per_pair", "pinned", "host_to_device_gb_per_s", "others_cpu_share", "simd")
    machine.record("threads", threads=int(rest), **{key: found.get(key) for key in keys})


def one_trace(machine, rest):
    tracing.run_one(machine, rest, machine.options.batch)


def ranks(machine, _rest):
    """A group of one by NCCL, and how fast two ranks talk by Gloo."""
    if not machine.is_cpu:
        why = tests.run_one(machine, "test-nccl")
        if why:
            raise Failed(why)
    command = [machine.program("trainer"), "doctor", set_of(machine), "--device", "cpu", "--batch", 2]
    command += ["--set", f"model.arch={machine.options.arch}", "--processes", 2, "--json"]
    machine.record("ranks", **json.loads(machine.run(command)))


def loader(_machine, _rest):
    if importlib.util.find_spec("multisiam") is None:
        raise Skip("this Python has no package multisiam")
    raise RuntimeError("there is a package multisiam now: this step has to be written")


def ablation(machine, _rest):
    """The next run that is missing."""
    o = machine.options
    if o.data is None:
        raise Skip("no labelled images were given (--data DIR)")
    small = ["--reduced"] if machine.is_cpu else ["--no-fcn"]
    command = [sys.executable, ROOT / "scripts" / "ablation", "--data", o.data, "--out", machine.out / "ablation"]
    environment = {**machine.environment(), "BIN": str(pathlib.Path(machine.program("trainer")).parent)}
    words = [str(word) for word in [*command, "--device", o.device, "--next", *small]]
    before = len(results.read(machine.out / "ablation"))
    subprocess.run(words, env=environment, check=True)
    new = results.read(machine.out / "ablation")[before:]
    if not new:
        raise Skip("no run is missing")
    machine.record("ablation", run=new[-1]["key"], miou=new[-1]["probe"]["c5"]["miou"])


ACTIONS = {
    "machine": describe_machine,
    "kernels": kernels,
    "tests": gpu_tests,
    "agree": compare,
    "time": one_turn,
    "set": render,
    "large": large,
    "train": train,
    "sampler": sampler_alone,
    "trace": one_trace,
    "ranks": ranks,
    "loader": loader,
    "ablation": ablation,
}


def run(machine, key):
    """Runs the step of that key in this process."""
    if key not in {step.key for step in plan.steps()}:
        raise Skip(f"there is no step {key}")
    name, _, rest = key.partition("/")
    ACTIONS[name](machine, rest)
