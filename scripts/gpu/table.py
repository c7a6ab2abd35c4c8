"""Results as Markdown: speed, memory, and where the time goes."""

import statistics

import classes
import results
from machine import fail

TITLES = {
    "ours": "trainer",
    "eager": "PyTorch, eager",
    "default": "PyTorch, compiled",
    "max-autotune-no-cudagraphs": "PyTorch, compiled, max-autotune",
}


def read(folders):
    """All lines of the folders' results."""
    lines = []
    for folder in folders:
        if not (folder / results.NAME).exists():
            fail(f"no {results.NAME} in {folder}")
        lines += results.read(folder)
    return lines


def grouped(lines, stage):
    """Lines of a stage by batch, arch, size and precision, then side."""
    groups = {}
    for line in lines:
        if line["stage"] == stage and ("pairs_per_s" in line or "ms" in line):
            key = (line["batch"], line["arch"], line["size"], line["precision"])
            groups.setdefault(key, {}).setdefault(line["side"], []).append(line)
    return groups


def table(head, rows):
    """A Markdown table; the first column is text."""
    lines = [head, ["---"] + ["---:"] * (len(head) - 1), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def ordered(sides):
    return [side for side in TITLES if side in sides]


def speeds(sides, loaded, options):
    """Rows of one batch: pairs/s, ratio, step, use of the device, memory, hours."""

    def median(lines, key):
        return statistics.median(line[key] for line in lines)

    ours = median(sides["ours"], "pairs_per_s") if "ours" in sides else None
    work = sides["ours"][0]["tflop_per_step"] if "ours" in sides else None

    def row(title, lines):
        speed, step = median(lines, "pairs_per_s"), median(lines, "step_ms")
        ratio = f"{ours / speed:.2f} x" if ours and lines[0]["side"] != "ours" else ""
        use = f"{100 * work / (step / 1e3) / options.peak_tflops:.1f} %" if work else ""
        peaks = [line["peak_gib"] for line in lines if line["peak_gib"] is not None]
        memory = f"{max(peaks):.1f}" if peaks else ""
        hours = options.frames * options.epochs / speed / 3600
        wait = [line["data_wait_share"] for line in lines if "data_wait_share" in line]
        waited = f"{100 * statistics.median(wait):.2f} %" if wait else ""
        return [title, f"{speed:.1f}", ratio, f"{step:.2f}", use, memory, waited, f"{hours:.1f}"]

    rows = [row(TITLES[side], sides[side]) for side in ordered(sides)]
    if loaded:
        rows.append(row("trainer with its loader", loaded))
    return rows


def write(lines, options):
    """Everything that was measured."""
    parts = []
    loads = grouped(lines, "sampler")
    for key, sides in sorted(grouped(lines, "time").items()):
        batch, arch, size, precision = key
        parts.append(f"{arch}, {batch} pairs of {size} px, {precision}:")
        head = ["", "pairs/s", "trainer is", "ms/step", "MFU", "GiB", "data wait", f"hours for {options.epochs} epochs"]
        parts.append(table(head, speeds(sides, loads.get(key, {}).get("ours"), options)))
    for (batch, arch, size, precision), sides in sorted(grouped(lines, "trace").items()):
        parts.append(f"ms a step by class of kernel, {arch}, {batch} pairs of {size} px, {precision}:")
        names = ordered(sides)
        # The last trace of a side counts.
        spent = {side: sides[side][-1]["ms"] for side in names}
        rows = [[kind, *(f"{spent[side][kind]:.2f}" for side in names)] for kind in classes.NAMES]
        rows.append(["sum", *(f"{sum(spent[side].values()):.2f}" for side in names)])
        parts.append(table(["", *(TITLES[side] for side in names)], rows))
    agreed = {}
    for line in lines:
        if line["stage"] == "agree":
            agreed[line["arch"], line["size"], line["side"]] = line
    if agreed:
        parts.append("agreement before the timing:")
        rows = [
            [
                f"{arch}, {size} px, {side}",
                f"{line['loss_apart']:.1e}",
                f"{line['least_cosine']:.5f}",
                f"{line['like_fp32']:.4f}",
                f"{line['peer_like_fp32']:.4f}",
            ]
            for (arch, size, side), line in agreed.items()
        ]
        head = ["", "losses apart", "least cosine of a gradient", "median with fp32's", "the peer's"]
        parts.append(table(head, rows))
    lacking = sorted({(line["batch"], TITLES[line["side"]]) for line in lines if line.get("out_of_memory")})
    parts += [f"{batch} pairs did not fit: {title}." for batch, title in lacking]
    broken = sorted({(TITLES[line["side"]], line["failed"]) for line in lines if line.get("failed")})
    parts += [f"{title} failed: {why}" for title, why in broken]
    if not parts:
        fail("there is nothing in these results")
    return "\n\n".join(parts)
