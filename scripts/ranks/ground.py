"""What all scenarios share: programs, shards, a config of seconds, and runs that nothing disturbs."""

import os
import pathlib
import shutil
import subprocess
import sys

from jobs import ROOT, Job, check, environment, free_port

# ResNet-18, views of 32 pixels, 2 x 2 cells: the least that all methods take.
CONFIG = """\
# A run of seconds.
seed = 5
[augment]
view_px = 32
[model]
arch = "resnet18"
layer4_stride = 1
hidden = 64
dim = 32
[schedule]
total_steps = 12
warmup_steps = 2
[run]
log_every_steps = 1
pictures_every_steps = 0
checkpoint_every_steps = 2
keep_checkpoints = 2
threads = 1
rank_timeout_s = 60
"""
STEPS = 12
# Pairs in a step of all ranks together.
PAIRS = 8
# Nothing here takes longer on two busy cores; a scenario that hangs should not take all day.
PATIENCE = 300


class Ground:
    """A folder with all that scenarios need; each works in a folder of its own below it."""

    def __init__(self, folder):
        built = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release"
        programs = pathlib.Path(os.environ.get("BIN", built)).resolve()
        self.trainer, self.ingest = programs / "trainer", programs / "ingest"
        self.torchrun = pathlib.Path(sys.executable).parent / "torchrun"
        for program in (self.trainer, self.ingest, self.torchrun):
            check(program.is_file(), f"{program} is missing")
        self.folder = folder
        self.shards, self.others = folder / "shards", folder / "others"
        self.config = folder / "small.toml"
        self.references, self.places = {}, []

    def make(self):
        self.config.write_text(CONFIG)
        data = self.folder / "data"
        self.call(self.ingest, "demo", "--out", data, "--frames", 40)
        self.call(self.ingest, "soda10m", data / "soda10m", "--out", self.shards)
        self.call(self.ingest, "waymo", data / "waymo", "--out", self.others)

    def call(self, *command):
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, env=environment())
        check(done.returncode == 0, f"{' '.join(map(str, command))}: {done.stderr.strip()}")

    def place(self, name):
        """A new folder for a scenario."""
        self.places.append(self.folder / name)
        shutil.rmtree(self.places[-1], ignore_errors=True)
        self.places[-1].mkdir()
        return self.places[-1]

    def clean(self):
        """Removes the folders of scenarios that hold."""
        for place in self.places:
            shutil.rmtree(place)
        self.places.clear()

    def command(self, out, *more, shards=None, pairs=PAIRS, program=None):
        """`trainer run` on the shared shards and config."""
        words = [program or self.trainer, "run", shards or self.shards, "--config", self.config, "--device", "cpu"]
        return [*words, "--out", out, *(["--global-batch", pairs] if pairs else []), *more]

    def alone(self, place, out, *more, log="log", **options):
        """The program as it is, which may start its own ranks."""
        return Job(self.command(out, *more, **options), place / log)

    def by_torchrun(self, place, out, size, *more, restarts=0, log="torchrun"):
        """torchrun on this machine."""
        options = ["--no-python", "--standalone", "--nproc-per-node", size, "--monitor-interval", 0.1]
        command = [self.torchrun, *options, "--max-restarts", restarts, *self.command(out, *more)]
        return Job(command, place / log, environment(OMP_NUM_THREADS=1))

    def ranks(self, place, out, size, *more, others=None, **options):
        """Ranks that nobody watches over, by rank; `others` are commands of some of them."""
        port, jobs = free_port(), []
        for rank in range(size):
            command = (others or {}).get(rank) or self.command(out, *more, **options)
            jobs.append(Job(command, place / f"rank{rank}", rank_environment(rank, size, port)))
        return jobs

    def reference(self, size):
        """The run of so many ranks that nothing disturbs."""
        if size not in self.references:
            out = self.folder / f"undisturbed{size}"
            self.alone(self.folder, out, "--processes", size).ends(PATIENCE, 0)
            self.references[size] = out
        return self.references[size]


def rank_environment(rank, size, port, address="127.0.0.1", local=None):
    local_rank, local_size = local or (rank, size)
    return environment(
        RANK=rank,
        WORLD_SIZE=size,
        LOCAL_RANK=local_rank,
        LOCAL_WORLD_SIZE=local_size,
        MASTER_ADDR=address,
        MASTER_PORT=port,
    )
