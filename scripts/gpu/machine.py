"""The machine that measures: where its programs lie, how they are started, where results go."""

import contextlib
import glob
import importlib.util
import json
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import threading
import time

import archive
import results
from archive import PROGRAMS, ROOT

# The same step in PyTorch.
PEER = ROOT / "benchmarks" / "step.py"
# Tests that need a GPU lie in these, by the names that they travel under.
TESTS = {
    "test-native": ["-p", "native", "--lib"],
    "test-second-gpu": ["-p", "native", "--test", "second_gpu"],
    "test-nccl": ["-p", "native", "--test", "nccl"],
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
    # Nobody may be reading any more.
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)


class OutOfMemory(Exception):
    """The device has not enough memory for this batch."""


class OutOfTime(Exception):
    """The call would take longer than it may."""


class Failed(Exception):
    """A program ended with an error."""


def compiled():
    """Folder of what PyTorch has compiled on this machine."""
    return archive.temporary("inductor")


def reason(messages):
    """The line that says why a program failed: its last error, else its last line."""
    lines = messages.strip().splitlines() or ["no message"]
    errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception): ", line)]
    return (errors or lines)[-1]


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
        # What the last program wrote on its standard error.
        self.messages = ""

    def program(self, name):
        """Path of one of our programs: the build's, else the packed one's; of a test, the packed one's."""
        if name not in TESTS and (BUILT / name).exists():
            return BUILT / name
        if not PROGRAMS.exists():
            fail(f"neither {BUILT / name} nor {PROGRAMS}: run scripts/bench-gpu pack where there is Rust")
        return archive.unpacked() / name

    def scratch(self):
        """A folder that ends with this call."""
        self.folder = self.folder or tempfile.TemporaryDirectory(prefix="bench-gpu-")
        return pathlib.Path(self.folder.name)

    def environment(self):
        """Libraries of the torch that this Python has, and threads that rest when they wait."""
        spec = importlib.util.find_spec("torch")
        if spec is None:
            fail(f"{sys.executable} has no torch")
        torch = pathlib.Path(spec.origin).parent
        nvidia = glob.glob(str(torch.parent / "nvidia" / "*" / "lib"))
        libraries = [str(torch / "lib"), *nvidia, os.environ.get("LD_LIBRARY_PATH", "")]
        cache = compiled()
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
        code, text = self.finish([str(word) for word in command], left)
        if code != 0:
            if "out of memory" in self.messages.lower() or "outofmemory" in self.messages.lower():
                raise OutOfMemory
            raise Failed(f"{pathlib.Path(command[0]).name} ended with code {code}: {reason(self.messages)}")
        return (text.strip().splitlines() or [""])[-1]

    def finish(self, command, seconds, shown=False, **variables):
        """Exit code and standard output of a command, which can be shown in a log as it comes. What it says on standard
        error is kept, and shown there always."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "errors": "replace"}
        environment = {**self.environment(), **variables}
        with subprocess.Popen(command, **pipes, env=environment) as process:
            messages = []
            listener = threading.Thread(target=self.listen, args=(process.stderr, messages), daemon=True)
            listener.start()
            timer = threading.Timer(seconds, process.kill)
            timer.start()
            try:
                text = "".join(self.passed_on(process.stdout, shown))
                code = process.wait()
            finally:
                process.kill()
                is_late = not timer.is_alive()
                timer.cancel()
            listener.join(timeout=1)
        self.messages = "".join(messages)
        if is_late:
            raise OutOfTime
        return code, text

    def listen(self, stream, messages):
        messages.extend(self.passed_on(stream, shown=True))

    def passed_on(self, stream, shown):
        """A stream's parts as they come."""
        while part := os.read(stream.fileno(), 65536).decode(errors="replace"):
            if shown and self.options.stage == "first-light":
                with contextlib.suppress(OSError):
                    sys.stderr.write(part)
                    sys.stderr.flush()
            yield part

    def trainer(self, batch, *more, precision=None):
        """One result of `trainer bench`, or None where it prints none."""
        o = self.options
        sets = [f"model.arch={o.arch}", f"augment.view_px={o.size}", f"optim.precision={precision or self.precision}"]
        sets += self.without_kernels()
        command = [self.program("trainer"), "bench", "--device", o.device, "--batch", batch, "--json", *more]
        text = self.run(command + [word for value in sets for word in ("--set", value)])
        return json.loads(text) if text else None

    def without_kernels(self):
        """The setting that leaves out kernels which end the program."""
        fatal = any(line.get("stage") == "kernels" and line.get("fatal") for line in results.read(self.out))
        return ["run.fused_kernels=false"] if fatal else []

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
            "machine": archive.machine_id(),
            "precision": self.precision,
            "arch": self.options.arch,
            "size": self.options.size,
            **result,
        }
        results.append(self.out, line)

    def has_agreed(self):
        """Whether an earlier call into the same folder has compared both programs as they are asked for now."""
        asked = {"stage": "agree", "arch": self.options.arch, "size": self.options.size, "agreed": True}
        found = [line for line in results.read(self.out) if asked.items() <= line.items()]
        return {"fp32", "bf16"} <= {line["side"] for line in found}
