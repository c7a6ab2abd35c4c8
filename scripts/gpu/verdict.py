"""What `first-light` found: figures beside what is asked of them, how every step ended, and the ends of failed logs.

All of it fits into what a remote shell keeps of an output.
"""

import statistics

import plan
from agree import BF16_SLACK, LEAST_COSINE, LOSS_LIMITS

MOST_CHARACTERS = 11_000
LOG_LINES, LOG_WIDTH, WHY_WIDTH = 8, 180, 110
# Ends of steps whose logs are shown.
SHOWN = ("failed", "over its limit")
FASTER_THAN = {"eager": 1.2, plan.COMPILED: 1.0, plan.TUNED: 1.0}
TITLES = {
    "eager": "PyTorch, eager",
    plan.COMPILED: "PyTorch, compiled",
    plan.TUNED: "PyTorch, compiled with max-autotune",
}
MOST_WAIT = 0.02
LEAST_PAIRS, ON_CORES = 7000, 16
MEMORY_SLACK = 0.1


def mark(is_reached):
    """`ok`, `short`, or nothing where nothing is asked."""
    return "" if is_reached is None else "ok" if is_reached else "**short**"


def last(lines, stage, **wanted):
    """The latest line of a stage, or None."""
    found = [line for line in lines if line.get("stage") == stage and wanted.items() <= line.items()]
    return found[-1] if found else None


def facts(lines):
    """The card, and whether ours works as it should on it."""
    found = {key: value for line in lines if line.get("stage") == "facts" for key, value in line.items()}
    if found:
        software = ", ".join(f"{key} {found[key]}" for key in ("torch", "cuda", "triton", "gcc") if found.get(key))
        yield "card (name, driver, memory, clock, power)", str(found.get("card")), "", None
        yield "machine", f"{found.get('cores')} cores, {found.get('memory_gib')} GiB, {software}", "", None
    kernels = last(lines, "kernels")
    if kernels:
        yield "kernels, after their check", str(kernels["why"]), "on", kernels["on"]
    tests = {line["side"]: line for line in lines if line.get("stage") == "tests"}
    for name, line in tests.items():
        whole = line["passed"] > 0 and not line["not_passed"]
        yield name, f"{line['passed']} passed, {line['not_passed']} failed", "all", whole


def agreement(lines):
    for side, limit in LOSS_LIMITS.items():
        line = last(lines, "agree", side=side)
        if line is None:
            continue
        apart, cosine = line["loss_apart"], line["least_cosine"]
        yield f"losses apart, {side}", f"{apart:.1e}", f"≤ {limit:.0e}", apart <= limit
        text = f"{cosine:.5f} ({line['of']}), median {line['median_cosine']:.5f}"
        # In bf16 rounding alone turns gradients by more than that: they are held against PyTorch's below.
        aim, near = (f"≥ {LEAST_COSINE}", cosine >= LEAST_COSINE) if side == "fp32" else ("", None)
        yield f"least cosine of {line['gradients']} gradients, {side}", text, aim, near
        if side == "bf16":
            ours, theirs = line["like_fp32"], line["peer_like_fp32"]
            aim = f"≥ {theirs - BF16_SLACK:.5f}"
            yield (
                "bf16 gradients beside fp32's, median cosine",
                f"{ours:.5f}, PyTorch's {theirs:.5f}",
                aim,
                ours >= theirs - BF16_SLACK,
            )


def speeds(lines, options):
    """Only what ran on one machine is compared: the next call may have another card."""
    by_side = {}
    for line in lines:
        if line.get("stage") == "time" and line.get("batch") == options.batch and "pairs_per_s" in line:
            by_side.setdefault(line["side"], {}).setdefault(line["machine"], []).append(line)
    ours = by_side.get("ours", {})
    for side, machines in by_side.items():
        # The last one that timed ours, too.
        here = [machine for machine in machines if machine in ours] or list(machines)
        turns = machines[here[-1]]
        speed = statistics.median(line["pairs_per_s"] for line in turns)
        text = f"{speed:.1f} pairs/s in {len(turns)} turns, {turns[-1]['step_ms']:.1f} ms a step"
        if side == "ours":
            yield "ours", text, "", None
        elif here[-1] in ours:
            ratio = statistics.median(line["pairs_per_s"] for line in ours[here[-1]]) / speed
            yield TITLES[side], f"{text}; ours is {ratio:.2f} x", f"≥ {FASTER_THAN[side]} x", ratio >= FASTER_THAN[side]
        else:
            yield TITLES[side], f"{text}; ours was not timed on that machine", f"≥ {FASTER_THAN[side]} x", None


def memory(lines):
    line = last(lines, "memory")
    if line is None:
        return
    peak, expected = line["peak_gib"], line["gib"]
    text = f"{line['pairs_per_s']:.1f} pairs/s"
    within = None
    if peak is not None:
        text += f", {peak:.1f} GiB at most"
    if expected is not None:
        text += f", {expected:.1f} GiB estimated"
    if peak is not None and expected is not None:
        text += f" ({100 * (peak / expected - 1):+.1f} %)"
        within = abs(peak / expected - 1) <= MEMORY_SLACK
    yield f"ours, {line['batch']} pairs", text, f"± {100 * MEMORY_SLACK:.0f} % of the estimate", within


def loading(lines):
    run = last(lines, "train")
    if run:
        share = run["data_wait_share"]
        text = f"{run['pairs_per_s']:.1f} pairs/s, {100 * share:.2f} % of it waiting for data"
        yield "a run from shards", text, f"< {100 * MOST_WAIT:.0f} %", share < MOST_WAIT
        whole = run["resumed_after"] is not None and run["step"] == run["steps"]
        again = f"killed after step {run['killed_at']}, resumed after {run['resumed_after']}, ended at {run['step']}"
        if run["loss_apart"] is not None:
            again += f"; losses of steps done twice at most {run['loss_apart']:.1e} apart"
        yield "kill -9", again, "goes on", whole
    alone = {line["threads"]: line for line in lines if line.get("stage") == "threads"}
    for threads, line in sorted(alone.items()):
        text = f"{line['pairs_per_s']:.0f} pairs/s, {line['pairs_per_s'] / threads:.0f} a core"
        if line.get("host_to_device_gb_per_s"):
            text += f", {line['host_to_device_gb_per_s']:.1f} GB/s to the device"
        judged = threads == ON_CORES
        enough = line["pairs_per_s"] >= LEAST_PAIRS if judged else None
        yield f"sampler alone, {threads} threads", text, f"≥ {LEAST_PAIRS}" if judged else "", enough


def traces(lines):
    for side in ("ours", *TITLES):
        line = last(lines, "trace", side=side)
        if line:
            spent = sorted(line["ms"].items(), key=lambda entry: -entry[1])
            text = ", ".join(f"{name} {ms:.1f}" for name, ms in spent if ms >= 0.05)
            yield f"trace, {TITLES.get(side, side)}", f"{sum(line['ms'].values()):.1f} ms a step: {text}", "", None
    for line in lines:
        if line.get("stage") == "ablation":
            yield f"ablation, {line['run']}", f"mIoU {line['miou']:.1f}", "", None


def guarded(source, *arguments):
    """Rows of a source; where a line is not what it should be, a row says so."""
    try:
        yield from source(*arguments)
    except Exception as error:
        yield source.__name__, f"cannot be shown: {type(error).__name__}: {error}", "", None


def figures(lines, options):
    """Rows of the first table. What is asked holds for the paper's step on a GPU."""
    asked = options.device != "cpu" and (options.arch, options.size, options.batch) == ("resnet50", 224, 256)
    asked = asked and options.precision in (None, "bf16")
    rows = []
    always = [guarded(facts, lines), guarded(agreement, lines)]
    sized = [guarded(speeds, lines, options), guarded(memory, lines), guarded(loading, lines), guarded(traces, lines)]
    for is_judged, sources in ((True, always), (asked, sized)):
        for source in sources:
            rows += [[name, text, aim, mark(ok if is_judged else None)] for name, text, aim, ok in source]
    return rows


def table(head, rows):
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "/") for cell in row) + " |" for row in [head, ["---"] * len(head), *rows]
    )


def tail(path):
    """The last lines of a log, each cut."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, path.stat().st_size - 20_000))
            text = file.read().decode(errors="replace")
    except OSError as error:
        return f"no log: {error}"
    return "\n".join(line[:LOG_WIDTH] for line in text.splitlines()[-LOG_LINES:])


def ends(planned, states):
    """Rows of the second table; steps of one kind that ended alike without running share one."""
    rows, before = [], None
    for step in planned:
        state = states.get(step.key, {"state": "not begun"})
        took = f"{state['seconds']:.0f} of {state['limit']:.0f}" if state.get("limit") else ""
        alike = (step.key.split("/")[0], state["state"], took, str(state.get("why") or "")[:WHY_WIDTH])
        if alike == before and not took:
            rows[-1][0] = f"{rows[-1][0].split(' …')[0]} … {step.key}"
        else:
            rows.append([step.key, *alike[1:]])
        before = alike
    return rows


def log_path(out, key):
    return out / "logs" / (key.replace("/", "-") + ".log")


def write(lines, planned, states, options):
    """The whole report: at most MOST_CHARACTERS, the ends of logs are cut first."""
    parts = ["## First light"]
    if states.get("agree", {}).get("state") not in (None, "ok"):
        parts.append("**The programs have not been shown to do the same work: no speed below counts.**")
    parts.append(table(["", "found", "asked", ""], figures(lines, options)))
    parts.append(table(["step", "ended", "s", "why"], ends(planned, states)))
    text = "\n\n".join(parts)
    for key in (step.key for step in planned if states.get(step.key, {}).get("state") in SHOWN):
        end = tail(log_path(options.out, key))
        more = f"\n\n{key}:\n\n```\n{end}\n```" if end else ""
        if len(text) + len(more) <= MOST_CHARACTERS:
            text += more
    return text[:MOST_CHARACTERS]
