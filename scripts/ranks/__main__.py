"""Several ranks that are disturbed: killed, stopped, cut off, misled. What `scripts/test --all` runs beside the tests.

    .venv/bin/python -B scripts/ranks                  all of it, a quarter of an hour on two cores, more on busy ones
    .venv/bin/python -B scripts/ranks --only killed    what has this in its name
    .venv/bin/python -B scripts/ranks --list           the names

The programs are those of target/release, or of the folder BIN. Everything runs on the CPU, over Gloo. Two hosts are two
network namespaces of this machine, for which it takes root; without, that is left out, and said.
"""

import argparse
import pathlib
import shutil
import sys
import tempfile
import time
import traceback

import hosts
import kills
import stops
import worlds
from ground import Ground
from jobs import Failed, clear, nothing_is_left, supervise

# Functions, and what each is called with beside the ground.
SCENARIOS = [
    (worlds.ranks_share_the_frames_and_losses_of_one_process, ()),
    *((kills.killed_ranks_are_started_again_by_torchrun, (size,)) for size in (1, 2, 4)),
    *((kills.killed_ranks_are_started_again_by_the_same_command, (size,)) for size in (1, 2, 4)),
    (stops.a_rank_that_hangs_ends_all_and_is_named, (2, "in a step")),
    (stops.a_rank_that_hangs_ends_all_and_is_named, (0, "in a step")),
    (stops.a_rank_that_hangs_ends_all_and_is_named, (0, "in a checkpoint")),
    (stops.a_rank_that_hangs_is_ended_with_the_command, ()),
    (stops.a_killed_rank_ends_all_at_once_and_is_named, (1, "in a step")),
    (stops.a_killed_rank_ends_all_at_once_and_is_named, (0, "in a checkpoint")),
    *((stops.a_rank_that_differs_is_refused_by_name, (what,)) for what in ("shards", "config", "program")),
    *((stops.a_rank_without_memory_ends_all_and_is_named, (when,)) for when in ("at the start", "in mid-run")),
    (stops.a_signal_stops_all_after_the_same_step, ()),
    (worlds.a_run_goes_on_in_another_world, ()),
    (hosts.an_outage_below_the_limit_changes_nothing, ()),
    (hosts.an_outage_above_the_limit_ends_all_and_names_the_host, ("in a step",)),
    (hosts.an_outage_above_the_limit_ends_all_and_names_the_host, ("in a checkpoint",)),
    (hosts.torchrun_joins_two_hosts, ()),
]


def name_of(scenario):
    function, arguments = scenario
    return " ".join([function.__name__.replace("_", " "), *(f"({argument})" for argument in arguments)])


def play(ground, scenario):
    """One line of what holds; `Failed` if it does not."""
    function, arguments = scenario
    began = time.monotonic()
    try:
        said = function(ground, *arguments)
        nothing_is_left()
        ground.clean()
    finally:
        clear()
    return f"{said}  {time.monotonic() - began:.0f} s"


def parse():
    parser = argparse.ArgumentParser(prog="ranks", description="Several ranks that are disturbed.")
    parser.add_argument("--only", default="", metavar="TEXT", help="scenarios that have this in their name")
    parser.add_argument("--list", action="store_true", help="print the names, and end")
    parser.add_argument("--keep", type=pathlib.Path, metavar="DIR", help="work there, and leave it all behind")
    return parser.parse_args()


def main():
    args = parse()
    chosen = [scenario for scenario in SCENARIOS if args.only in name_of(scenario)]
    if args.list:
        print("\n".join(map(name_of, chosen)))
        return
    supervise.adopt_orphans()
    folder = args.keep or pathlib.Path(tempfile.mkdtemp(prefix="ranks-"))
    folder.mkdir(parents=True, exist_ok=True)
    failures = 0
    try:
        ground = Ground(folder.resolve())
        ground.make()
        for scenario in chosen:
            print(f"{name_of(scenario)}: ", end="", flush=True)
            try:
                print(play(ground, scenario), flush=True)
            except hosts.Skipped as skipped:
                print(f"skipped: {skipped}", flush=True)
            except Failed as failed:
                failures += 1
                print(f"FAILED\n    {failed}", flush=True)
            except Exception:
                failures += 1
                print(f"FAILED\n{traceback.format_exc()}", flush=True)
    except Failed as failed:
        sys.exit(f"ranks: {failed}")
    finally:
        clear()
        if not args.keep:
            shutil.rmtree(folder, ignore_errors=True)
    if failures or not chosen:
        sys.exit(f"ranks: {failures} of {len(chosen)} failed")
    print(f"all {len(chosen)} hold")


main()
