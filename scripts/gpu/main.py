"""`scripts/bench-gpu`: options, and which stages run."""

import argparse
import pathlib
import sys

import agree
import first_light
import pack
import table
import timing
import tracing
from archive import PACK, ROOT
from machine import Failed, Machine, fail, say

import sampler
import tests

STAGES = {"tests": tests.run, "agree": agree.run, "time": timing.run, "trace": tracing.run, "sampler": sampler.run}
PURPOSES = {
    "tests": "the tests that need a GPU",
    "agree": "the same weights and views in both programs: are losses and gradients the same?",
    "time": "pairs/s of ours and of the peer, eager and compiled, in turns",
    "trace": "where each program's step goes, by class of kernel",
    "sampler": "ours with the real loader on all cores",
    "all": "these five in one call",
}


def add_sizes(stage):
    """Options of every stage that measures."""
    add = stage.add_argument
    add("--device", default="cuda", help="cuda, or cpu for checking (cuda)")
    add("--precision", choices=["bf16", "fp32"], help="what is timed (bf16; on a CPU fp32)")
    add("--arch", default="resnet50")
    add("--size", type=int, default=224, metavar="PX", help="side of a view (224)")
    add("--shards", type=pathlib.Path, metavar="DIR", help="set for what reads one (a made-up one)")


def add_first_light(stages):
    stage = stages.add_parser("first-light", help="all that has to be known of a new machine, in some minutes")
    add_sizes(stage)
    add = stage.add_argument
    add("--minutes", type=float, default=13, metavar="M", help="the call is over then, its report included (13)")
    add("--continue", "--resume", dest="go_on", action="store_true", help="do what an earlier call has not done")
    add("--retry", action="store_true", help="with --continue: what failed, too")
    add("--only", nargs="+", metavar="STEP", help="these steps; all of a kind by its first word, as in time (all)")
    add("--plan", "--dry-run", action="store_true", help="print what would run, and its seconds")
    add("--split", type=float, nargs="+", metavar="M", help="print the plan for calls of so many minutes")
    add("--batch", type=int, default=256, metavar="N", help="pairs in a step; four times as many once (256)")
    add("--steps", type=int, default=10, metavar="N", help="steps in each of three blocks (10)")
    add("--warmup", type=int, default=6, metavar="N", help="steps before them (6)")
    add("--slower", type=float, default=1, metavar="F", help="longer limits, for a rehearsal without a GPU (1)")
    add("--data", type=pathlib.Path, metavar="DIR", help="labelled images for the ablation's runs (none: left out)")
    add(
        "--out",
        type=pathlib.Path,
        default=ROOT / "target" / "first-light",
        metavar="DIR",
        help="results (target/first-light)",
    )
    add("--deliver", type=pathlib.Path, metavar="DIR", help="four files there: report, results, logs, traces")
    add("--step", help=argparse.SUPPRESS)


def parse():
    parser = argparse.ArgumentParser(prog="bench-gpu", description="The training step beside PyTorch's.")
    stages = parser.add_subparsers(dest="stage", required=True)
    packing = stages.add_parser("pack", help="programs and tests into .gpu/, to be carried to the machine")
    packing.add_argument("--built", action="store_true", help="those that are built already, in BIN or target/release")
    tabling = stages.add_parser("table", help="results as Markdown")
    tabling.add_argument("folders", nargs="+", type=pathlib.Path, metavar="DIR", help="folders of results.jsonl")
    tabling.add_argument("--peak-tflops", type=float, default=989.0, help="of the GPU, dense bf16 (989: H100, H200)")
    tabling.add_argument("--frames", type=int, default=790_000, help="images of the set (790000: Waymo)")
    tabling.add_argument("--epochs", type=int, default=325, help="passes over it (325)")
    for name, purpose in PURPOSES.items():
        stage = stages.add_parser(name, help=purpose)
        add_sizes(stage)
        add = stage.add_argument
        add("--batch", type=int, nargs="+", default=[256, 1024], metavar="N", help="pairs in a step (256 1024)")
        add("--steps", type=int, default=30, metavar="N", help="steps in each of three blocks (30)")
        add("--warmup", type=int, default=8, metavar="N", help="steps before them (8)")
        add("--repeats", type=int, default=2, metavar="N", help="turns of every program (2)")
        add("--sides", nargs="+", choices=timing.SIDES, help="programs (all; on a CPU ours and eager)")
        add("--minutes", type=float, default=1440, metavar="M", help="begin nothing that may end later (a day)")
        add("--out", type=pathlib.Path, default=PACK / "out", metavar="DIR", help="results (.gpu/out)")
    add_first_light(stages)
    return parser.parse_args()


def main():
    options = parse()
    if options.stage == "pack":
        return pack.run(options)
    if options.stage == "table":
        return print(table.write(table.read(options.folders), options))
    if options.stage == "first-light":
        sys.exit(first_light.run(options))
    machine = Machine(options)
    if options.stage == "all":
        for stage in STAGES.values():
            stage(machine)
    else:
        # Nothing is measured of programs that do different work.
        if options.stage not in ("tests", "agree") and not machine.has_agreed():
            agree.run(machine)
        STAGES[options.stage](machine)
    say(f"results: {machine.out / 'results.jsonl'}")


if __name__ == "__main__":
    try:
        main()
    except Failed as error:
        fail(error)
    except KeyboardInterrupt:
        fail("interrupted")
