"""How a loader is measured: options, warm-up, repeats, and the JSON line that it prints."""

import argparse
import json
import statistics

import numpy as np
import quiet
from pairs import BATCH, FILES, HOME


def parse(add_options=None):
    """Options of a loader's script; `add_options` adds its own."""
    if not FILES:
        raise SystemExit(f"no images in {HOME / 'images'}: run benchmarks/setup")
    parser = argparse.ArgumentParser()
    add = parser.add_argument
    add(
        "--mode",
        choices=["full", "crops"],
        default="full",
        help="everything as float32, or only cut, resized and flipped",
    )
    add("--workers", type=int, default=2, help="threads or processes (2)")
    add("--seconds", type=float, default=8, help="about how long a repeat takes (8)")
    add("--repeats", type=int, default=3, help="how often it is measured (3)")
    add("--tries", type=int, default=3, help="how often a disturbed repeat is made again (3)")
    add("--dump", metavar="FILE", help="write the first batch's views as .npz, and measure nothing")
    if add_options:
        add_options(parser)
    return parser.parse_args()


def bench(options, version, epoch):
    """Measures `epoch(n)`, which gives n batches of (first views, second views, boxes, flips), ready for a trainer."""
    if options.dump:
        first, second, *_ = next(iter(epoch(1)))
        np.savez(options.dump, first=np.asarray(first), second=np.asarray(second))
        return
    few = 2 * options.workers
    # The first pass compiles, starts workers and fills the page cache; the second tells the speed.
    run(epoch, few)
    watch = quiet.Stopwatch()
    speed = run(epoch, few) / watch.read()[0]
    # As many for every worker.
    batches = options.workers * max(1, round(options.seconds * speed / BATCH / options.workers))
    repeats = [quiet.measured(lambda: run(epoch, batches), options.tries) for _ in range(options.repeats)]
    result = {
        "version": version,
        "pairs_per_s": [pairs / seconds for pairs, seconds, _, _ in repeats],
        "cpu_ms_per_pair": statistics.median(1e3 * cpu / pairs for pairs, _, cpu, _ in repeats),
        "noise_cores": max(noise for *_, noise in repeats),
    }
    print(json.dumps(result), flush=True)


def run(epoch, batches):
    """Takes that many batches as a trainer would; returns how many pairs they held."""
    pairs = 0
    for batch in epoch(batches):
        pairs += batch[0].shape[0]
        # Touches what came last.
        float(batch[1].reshape(-1)[-1])
        del batch
    return pairs
