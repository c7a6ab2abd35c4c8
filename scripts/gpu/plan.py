"""The steps of `first-light` in their order, and how a call's seconds are shared among them.

Every step owns a share that no earlier step can take: the shares together fit into the call. What earlier steps leave
of theirs is added to the next one's, up to the most that it may take. So a step that hangs costs its own time alone.
Steps without a share have what is left at the end.
"""

import dataclasses

# Seconds at the end that belong to the table.
RESERVE = 15.0
COMPILED = "default"
TUNED = "max-autotune-no-cudagraphs"
THREADS = [1, 2, 4, 8, 16]
ABLATION_RUNS = 8


@dataclasses.dataclass(frozen=True)
class Step:
    """A process with a limit of its own; seconds."""

    key: str
    title: str
    share: float
    # It is not begun with less, and killed after this.
    least: float
    most: float
    # Step that has to have succeeded.
    needs: str = ""
    # Step that has to have succeeded on this machine, whoever called: another one's figures are no comparison.
    beside: str = ""


def timed(side, turn, share, least, most):
    beside = "" if turn == 1 or side == "ours" else f"time/{side}/1"
    return Step(f"time/{side}/{turn}", f"pairs/s of {side}, turn {turn}", share, least, most, beside=beside)


def steps(slower=1.0):
    """All of them, with seconds of a machine that is so many times slower than one with an H100."""
    scaled = []
    for step in usual_steps():
        times = {name: slower * getattr(step, name) for name in ("share", "least", "most")}
        scaled.append(dataclasses.replace(step, **times))
    return scaled


def chosen(planned, names):
    """Those that are named, by their key or its first part; all where none is."""
    return [step for step in planned if not names or {step.key, step.key.split("/")[0]} & set(names)]


def usual_steps():
    return [
        Step("machine", "card, driver, torch, compilers", 20, 5, 90),
        Step("kernels", "do the kernels compile, and are they right?", 20, 5, 90),
        Step("tests/test-kernels", "GPU tests: kernels beside float64", 25, 5, 90),
        Step("tests/test-native", "GPU tests: streams, events, uploads", 12, 5, 60),
        Step("tests/test-second-gpu", "GPU tests: no context on another GPU", 5, 3, 30),
        Step("tests/test-model", "GPU tests: seeds of clusters", 8, 5, 60),
        Step("tests/test-upload", "GPU tests: views of a batch", 8, 5, 60),
        Step("tests/test-oracle", "GPU tests: whole steps, the gate", 25, 5, 90),
        Step("tests/test-sampler", "GPU tests: pinned memory", 10, 5, 60),
        Step("agree", "losses and gradients beside PyTorch's", 50, 10, 150),
        timed("ours", 1, 25, 10, 90),
        timed("eager", 1, 25, 10, 90),
        timed(COMPILED, 1, 120, 40, 270),
        timed("ours", 2, 22, 10, 60),
        timed("eager", 2, 22, 10, 60),
        timed(COMPILED, 2, 45, 20, 120),
        Step("tests/test-run", "GPU tests: run, kill and resume", 40, 10, 120),
        Step("set", "a set of shards, rendered", 30, 10, 120),
        Step("large", "four times the pairs, and memory beside the estimate", 35, 10, 90),
        Step("train", "a run from shards: waiting, kill -9, resuming", 60, 20, 180, needs="set"),
        *(Step(f"sampler/{n}", f"the sampler alone on {n} cores", 9, 5, 30, needs="set") for n in THREADS),
        Step("trace/ours", "three steps by class of kernel: ours", 25, 10, 90),
        Step("trace/eager", "the same: PyTorch, eager", 30, 10, 90),
        Step(f"trace/{COMPILED}", "the same: PyTorch, compiled", 40, 20, 120),
        Step("ranks", "two ranks by Gloo, one by NCCL", 12, 5, 60, needs="set"),
        Step("loader", "the Python loader on the device", 3, 2, 60),
        timed(TUNED, 1, 0, 90, 330),
        *(Step(f"ablation/{n}", f"run {n} of the small ablation", 0, 45, 600) for n in range(1, ABLATION_RUNS + 1)),
    ]


def allot(step, later, left):
    """Seconds that a step may take of those left for all, or None where they are too few for it."""
    if left < step.least:
        return None
    kept = 0.0
    for other in later:
        if step.share + kept + other.share > left:
            break
        kept += other.share
    return min(step.most, left - kept)


def split(planned, minutes):
    """Steps by call: those whose shares fit, in their order; then those that have what is left."""
    calls, todo = [], [step for step in planned if step.share]
    for length in minutes:
        left, here = 60 * length - RESERVE, []
        while todo and todo[0].share <= left:
            left -= todo[0].share
            here.append(todo.pop(0))
        calls.append((length, here))
    return calls, todo + [step for step in planned if not step.share]


def describe(planned, minutes):
    """The plan as text."""
    calls, rest = split(planned, minutes)
    lines = []
    for number, (length, here) in enumerate(calls, 1):
        total = sum(step.share for step in here)
        lines.append(f"call {number}, {length:g} minutes: seconds that are kept for a step, and the most it may take")
        lines += [f"  {step.key:34} {step.share:5.0f} {step.most:5.0f}  {step.title}" for step in here]
        lines.append(f"  {'the table':34} {RESERVE:5.0f}")
        lines.append(f"  {'total':34} {total + RESERVE:5.0f} of {60 * length:.0f}")
    lines.append("with what is left:")
    lines += [f"  {step.key:34} from {step.least:.0f} to {step.most:.0f}  {step.title}" for step in rest]
    return "\n".join(lines)
