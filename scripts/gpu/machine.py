"""The machine that measures: where its programs lie, how they are started, where results go."""

import glob
import importlib.util
import json
import os
import pathlib
import subprocess
import sys
import tarfile
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
# What travels: ignored by git.
PACK = ROOT / ".gpu"
PROGRAMS = PACK / "programs.tar.xz"
# The same step in PyTorch.
PEER = ROOT / "benchmarks" / "step.py"
# Tests that need a GPU lie in these, by the names that they travel under.
TESTS = {
    "test-native": ["-p", "native", "--lib"],
    "test-second-gpu": ["-p", "native", "--test", "second_gpu"],
    "test-kernels": ["-p", "native-emulator", "--test", "device"],
    "test-model": ["-p", "model", "--lib"],
    "test-upload": ["-p", "trainer", "--lib"],
    "test-oracle": ["-p", "trainer", "--test", "oracle"],
    "test-run": ["-p", "trainer", "--test", "run"],
    "test-sampler": ["-p", "sampler", "--lib"],
}
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
BUILT = pathlib.Path(os.environ.get("BIN", TARGET)).resolve()


def fail(message):
    sys.exit(f"bench-gpu: {message}")


def say(text):
    print(text, file=sys.stderr, flush=True)


class OutOfMemory(Exception):
    """The device has not enough memory for this batch."""


class OutOfTime(Exception):
    """The call would take longer than it may."""


class Failed(Exception):
    """A program ended with an error."""


class Machine:
    """Programs, options and results of one call."""

    def __init__(self, options):
        self.options = options
        self.is_cpu = options.device == "cpu"
        self.precision = options.precision or ("fp32" if self.is_cpu else "bf16")
        self.out = pathlib.Path(options.out)
        self.out.mkdir(parents=True, exist_ok=True)
        self.deadline = time.monotonic() + 60 * options.minutes
        self.folder = None

    def program(self, name):
        """Path of one of our programs: the build's, else the packed one's; of a test, the packed one's."""
        if name not in TESTS and (BUILT / name).exists():
            return BUILT / name
        if not PROGRAMS.exists():
            fail(f"neither {BUILT / name} nor {PROGRAMS}: run scripts/bench-gpu pack where there is Rust")
        unpacked = self.scratch() / "programs"
        if not unpacked.exists():
            with tarfile.open(PROGRAMS) as archive:
                archive.extractall(unpacked, filter="data")
        return unpacked / name

    def scratch(self):
        """A folder that ends with this call."""
        self.folder = self.folder or tempfile.TemporaryDirectory(prefix="bench-gpu-")
        return pathlib.Path(self.folder.name)

    def environment(self):
        """Libraries of the torch that this Python has, and threads that rest when they wait."""
        torch = pathlib.Path(importlib.util.find_spec("torch").origin).parent
        nvidia = glob.glob(str(torch.parent / "nvidia" / "*" / "lib"))
        libraries = [str(torch / "lib"), *nvidia, os.environ.get("LD_LIBRARY_PATH", "")]
        cache = pathlib.Path(tempfile.gettempdir()) / "bench-gpu-inductor"
        return {
            **os.environ,
            "LD_LIBRARY_PATH": ":".join(filter(None, libraries)),
            "OMP_WAIT_POLICY": "PASSIVE",
            # Compiled once a machine, not once a call.
            "TORCHINDUCTOR_CACHE_DIR": os.environ.get("TORCHINDUCTOR_CACHE_DIR", str(cache)),
        }

    def seconds_left(self):
        return self.deadline - time.monotonic()

    def run(self, command):
        """Last line on the standard output of a program, which has the time that is left."""
        left = self.seconds_left()
        if left <= 0:
            raise OutOfTime
        try:
            command = [str(word) for word in command]
            done = subprocess.run(command, capture_output=True, text=True, env=self.environment(), timeout=left)
        except subprocess.TimeoutExpired as error:
            raise OutOfTime from error
        if done.returncode != 0:
            if "out of memory" in done.stderr.lower() or "outofmemory" in done.stderr.lower():
                raise OutOfMemory
            raise Failed(f"{pathlib.Path(command[0]).name}: {(done.stderr.strip().splitlines() or ['no message'])[-1]}")
        return (done.stdout.strip().splitlines() or [""])[-1]

    def trainer(self, batch, *more, precision=None):
        """One result of `trainer bench`, or None where it prints none."""
        o = self.options
        sets = [f"model.arch={o.arch}", f"augment.view_px={o.size}", f"optim.precision={precision or self.precision}"]
        command = [self.program("trainer"), "bench", "--device", o.device, "--batch", batch, "--json", *more]
        text = self.run(command + [word for value in sets for word in ("--set", value)])
        return json.loads(text) if text else None

    def peer(self, batch, mode, steps, warmup, *more):
        """The result of the peer's script."""
        o = self.options
        amp = "bf16" if self.precision == "bf16" else "off"
        sizes = ["--batch", batch, "--size", o.size, "--arch", o.arch, "--steps", steps, "--warmup", warmup]
        ways = ["--device", o.device, "--amp", amp, "--compile", "off" if mode == "eager" else mode]
        return json.loads(self.run([sys.executable, PEER, *sizes, *ways, *more]))

    def record(self, stage, **result):
        """Adds a line to the results."""
        line = {
            "stage": stage,
            "precision": self.precision,
            "arch": self.options.arch,
            "size": self.options.size,
            **result,
        }
        with open(self.out / "results.jsonl", "a") as results:
            results.write(json.dumps(line) + "\n")

    def has_agreed(self):
        """Whether an earlier call into the same folder has compared both programs as they are asked for now."""
        results = self.out / "results.jsonl"
        lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
        asked = {"stage": "agree", "arch": self.options.arch, "size": self.options.size}
        return any(all(line.get(key) == value for key, value in asked.items()) for line in lines)
