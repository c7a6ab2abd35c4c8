#!/usr/bin/env python3
"""Writes optim.json of trainer/model/tests/fixtures: trajectories of LARS and SGD, learning rates, EMA coefficients.

    .venv/bin/python scripts/golden/optim.py [OUT_DIR]

Plain Python floats, but for SGD and the stairs, which are torch.optim's own.
"""

import json
import math
import re
import sys
from pathlib import Path

import torch


def norm(v):
    return math.sqrt(sum(x * x for x in v))


def lars(tensors, grads, rates, arithmetic, excluded, momentum, wd, eta, eps):
    """Plain Python floats; `grads[step][name]`. Returns the parameters after each step."""
    p = {k: list(v) for k, v in tensors.items()}
    b = {k: [0.0] * len(v) for k, v in tensors.items()}
    history = []
    for lr, grad in zip(rates, grads, strict=True):
        for k in p:
            g = grad[k]
            if excluded[k]:
                d, trust = g, 1.0
            else:
                d = [gi + wd * pi for gi, pi in zip(g, p[k], strict=True)]
                np_, ng, nd = norm(p[k]), norm(g), norm(d)
                if arithmetic == "openselfsup":
                    trust = eta * np_ / (ng + wd * np_ + eps) if np_ > 0 and ng > 0 else 1.0
                else:
                    trust = eta * np_ / (nd + (eps if arithmetic == "pixpro" else 0.0)) if np_ > 0 and nd > 0 else 1.0
            inside, outside = (lr, 1.0) if arithmetic == "openselfsup" else (1.0, lr)
            b[k] = [momentum * bi + inside * trust * di for bi, di in zip(b[k], d, strict=True)]
            p[k] = [pi - outside * bi for pi, bi in zip(p[k], b[k], strict=True)]
        history.append({k: list(v) for k, v in p.items()})
    return history


def sgd(tensors, grads, rates, momentum, wd):
    """torch.optim.SGD itself."""
    p = {k: torch.tensor(v, dtype=torch.float64, requires_grad=True) for k, v in tensors.items()}
    opt = torch.optim.SGD(p.values(), lr=1.0, momentum=momentum, weight_decay=wd)
    history = []
    for lr, grad in zip(rates, grads, strict=True):
        opt.param_groups[0]["lr"] = lr
        for k, t in p.items():
            t.grad = torch.tensor(grad[k], dtype=torch.float64)
        opt.step()
        history.append({k: t.tolist() for k, t in p.items()})
    return history


def byol_rate(step, peak, warmup, total):
    if step < warmup:
        return peak * step / warmup
    return peak * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def openselfsup_rate(step, peak, warmup, total, per_epoch):
    regular = peak * (1 + math.cos(math.pi * (step // per_epoch) / (total // per_epoch))) / 2
    return regular * (1 - (1 - step / warmup) * (1 - 1e-4)) if step < warmup else regular


def openselfsup_runner(peak, warmup, batches, accumulate, epochs):
    """mmcv's epoch runner with OpenSelfSup's optimizer hook, counted batch by batch: the rate of an epoch is set when
    it begins, and the optimizer runs at every `accumulate`-th batch of the whole run. Rates of its steps."""
    rates, passed = [], 0
    for epoch in range(epochs):
        regular = peak * (1 + math.cos(math.pi * epoch / epochs)) / 2
        for _ in range(batches):
            passed += 1
            if passed % accumulate == 0:
                step = len(rates)
                rates.append(regular * (1 - (1 - step / warmup) * (1 - 1e-4)) if step < warmup else regular)
    return rates


def stairs(peak, warmup, batches, accumulate, epochs):
    """Such a run's rates at both ends, and on both sides of some of its stairs."""
    rates = openselfsup_runner(peak, warmup, batches, accumulate, epochs)
    edges = [s for s in range(warmup + 1, len(rates)) if rates[s] != rates[s - 1]]
    shown = [0, 1, len(rates) - 1]
    for edge in edges[:2] + edges[len(edges) // 2 :][:2] + edges[-3:]:
        shown += [edge - 1, edge]
    return dict(
        batches=batches,
        accumulate=accumulate,
        epochs=epochs,
        warmup_steps=warmup,
        total_steps=len(rates),
        rates=[(s, rates[s]) for s in sorted(set(shown))],
    )


def pixpro_rate(step, peak, warmup, total):
    if step <= warmup:
        return peak / 100 * (99 * step / warmup + 1)
    return 1e-6 + (peak - 1e-6) * (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2


def step_rate(step, peak, warmup, total, drops):
    """torch's own MultiStepLR, stepped until `step`; before it, a linear warm-up."""
    if step < warmup:
        return peak * step / warmup
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=peak)
    schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [int(d * total + 0.5) for d in drops], gamma=0.1)
    for _ in range(step):
        optimizer.step()
        schedule.step()
    return schedule.get_last_lr()[0]


def byol_tau(k, total, base):
    return 1 - (1 - base) * (math.cos(math.pi * k / total) + 1) / 2


def write_optim(out):
    gen = torch.Generator().manual_seed(5)

    def draw(n, scale):
        return (torch.randn(n, generator=gen, dtype=torch.float64) * scale).tolist()

    shapes = {
        "conv1.weight": 12,
        "layer1.0.bn1.weight": 4,
        "layer1.0.downsample.1.weight": 3,
        "projector.0.bias": 4,
        "zero.weight": 6,
        "still.weight": 6,
    }
    axes = {k: 2 if k in ("conv1.weight", "zero.weight", "still.weight") else 1 for k in shapes}
    tensors = {k: [0.0] * n if k == "zero.weight" else draw(n, 2.0) for k, n in shapes.items()}
    rates = [4.0, 2.0, 0.5, 3.0]
    grads = [{k: [0.0] * n if k == "still.weight" else draw(n, 0.1) for k, n in shapes.items()} for _ in rates]
    pattern = re.compile(r"(bn|gn)(\d+)?.(weight|bias)|bias")
    rules = {
        "one-axis": {k: axes[k] == 1 for k in shapes},
        "name-pattern": {k: bool(pattern.search(k)) for k in shapes},
    }
    trajectories = []
    for arithmetic in ("openselfsup", "byol", "pixpro"):
        for rule, excluded in rules.items():
            for eps in (1e-8, 0.0):
                knobs = dict(momentum=0.9, weight_decay=1e-2, eta=1e-3, eps=eps)
                history = lars(tensors, grads, rates, arithmetic, excluded, 0.9, 1e-2, 1e-3, eps)
                trajectories.append(dict(config=dict(knobs, arithmetic=arithmetic, exclude=rule), after=history[-1]))
    peak, warmup, total, per_epoch, drops = 4.0, 70, 700, 7, (0.6, 0.8)
    steps = [0, 1, 6, 7, 35, 69, 70, 71, 350, 419, 420, 559, 560, 698, 699]
    (out / "optim.json").write_text(
        json.dumps(
            dict(
                axes=axes,
                tensors=tensors,
                grads=grads,
                rates=rates,
                lars=trajectories,
                sgd=dict(config=dict(momentum=0.9, weight_decay=1e-2), after=sgd(tensors, grads, rates, 0.9, 1e-2)[-1]),
                lr=dict(
                    peak=peak,
                    warmup_steps=warmup,
                    total_steps=total,
                    steps_per_epoch=per_epoch,
                    drops=drops,
                    steps=steps,
                    byol=[byol_rate(s, peak, warmup, total) for s in steps],
                    openselfsup=[openselfsup_rate(s, peak, warmup, total, per_epoch) for s in steps],
                    pixpro=[pixpro_rate(s, peak, warmup, total) for s in steps],
                    step=[step_rate(s, peak, warmup, total, drops) for s in steps],
                    stairs=[
                        stairs(peak, 0, 771, 4, 325),
                        stairs(peak, 20, 3, 4, 2000),
                        stairs(peak, 5, 7, 2, 1501),
                        stairs(peak, 5, 5, 1, 9),
                    ],
                ),
                tau=dict(
                    base=0.996,
                    total=100,
                    steps=[0, 1, 33, 50, 99, 100],
                    plain=[byol_tau(k, 100, 0.996) for k in (0, 1, 33, 50, 99, 100)],
                    by_four=[byol_tau(4 * k + 3, 400, 0.996) for k in (0, 1, 33, 50, 99)],
                ),
            ),
            indent=1,
        )
        + "\n"
    )


if __name__ == "__main__":
    write_optim(
        Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parents[2] / "trainer/model/tests/fixtures"
    )
