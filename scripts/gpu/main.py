"""`scripts/bench-gpu`: options, and which stages run."""

import argparse
import pathlib

import agree
import pack
import table
import timing
import tracing
from machine import PACK, Failed, Machine, fail, say

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


def parse():
    parser = argparse.ArgumentParser(prog="bench-gpu", description="The training step beside PyTorch's.")
    stages = parser.add_subparsers(dest="stage", required=True)
    stages.add_parser("pack", help="programs and tests into .gpu/, to be carried to the machine")
    tabling = stages.add_parser("table", help="results as Markdown")
    tabling.add_argument("folders", nargs="+", type=pathlib.Path, metavar="DIR", help="folders of results.jsonl")
    tabling.add_argument("--peak-tflops", type=float, default=989.0, help="of the GPU, dense bf16 (989: H100, H200)")
    tabling.add_argument("--frames", type=int, default=790_000, help="images of the set (790000: Waymo)")
    tabling.add_argument("--epochs", type=int, default=325, help="passes over it (325)")
    for name, purpose in PURPOSES.items():
        stage = stages.add_parser(name, help=purpose)
        add = stage.add_argument
        add("--device", default="cuda", help="cuda, or cpu for checking (cuda)")
        add("--precision", choices=["bf16", "fp32"], help="what is timed (bf16; on a CPU fp32)")
        add("--arch", default="resnet50")
        add("--size", type=int, default=224, metavar="PX", help="side of a view (224)")
        add("--batch", type=int, nargs="+", default=[256, 1024], metavar="N", help="pairs in a step (256 1024)")
        add("--steps", type=int, default=30, metavar="N", help="steps in each of three blocks (30)")
        add("--warmup", type=int, default=8, metavar="N", help="steps before them (8)")
        add("--repeats", type=int, default=2, metavar="N", help="turns of every program (2)")
        add("--sides", nargs="+", choices=timing.SIDES, help="programs (all; on a CPU ours and eager)")
        add("--shards", type=pathlib.Path, metavar="DIR", help="set for the stage sampler (a made-up one)")
        add("--minutes", type=float, default=1440, metavar="M", help="begin nothing that may end later (a day)")
        add("--out", type=pathlib.Path, default=PACK / "out", metavar="DIR", help="results (.gpu/out)")
    return parser.parse_args()


def main():
    options = parse()
    if options.stage == "pack":
        return pack.run()
    if options.stage == "table":
        return print(table.write(table.read(options.folders), options))
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
